"""Names of services whose keys have no form of their own: beside one of them a random value is a key.

`stripe: V`, `heroku_api = V`, `datadog.key V`. The names are those of services with API keys,
less ordinary words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WORDS: Final = (
    "abstractapi", "abuseipdb", "adafruit", "adobe", "aftership", "agora", "ahrefs", "airbrake", "airtable", "akamai",
    "alchemy_", "alchemyapi", "algolia", "alibaba", "aliyun", "alphavantage", "amplitude", "anypoint", "apideck",
    "apify", "appcues", "artifactory", "asaas", "asana", "assemblyai", "atera", "audd", "auth0", "autodesk", "avalara",
    "aviationstack", "axonaut", "aylien", "bannerbear", "baremetrics", "baseten", "betterstack", "bintray",
    "bitbucket", "bitfinex", "bitly", "bitrise", "bittrex", "blockcypher", "bombbomb", "borgbase", "braintree",
    "brandfetch", "browserbase", "browserstack", "browshot", "buddyns", "bugherd", "bugsnag", "buildkite", "bulksms",
    "buttercms", "calendly", "calorieninja", "canva", "capsulecrm", "carboninterface", "caspio", "censys", "cerebras",
    "chargebee", "checkly", "circleci", "civo", "clearbit", "clearout", "clickhouse", "clicksend", "clickup",
    "clockify", "cloudant", "cloudconvert", "cloudflare", "cloudinary", "cloudmersive", "cloudsmith", "cloverly",
    "codacy", "codeclimate", "codecov", "codemagic", "cohere", "coinapi", "coinbase", "coinlayer", "coinmarketcap",
    "confluent", "contentful", "contentstack", "convertkit", "couchbase", "coveralls", "crowdin", "currencycloud",
    "currencylayer", "customerio", "dashscope", "databricks", "datadog", "datastax", "dd_api", "dd_app", "debounce",
    "deepai", "deepgram", "deepinfra", "deepl", "deepseek", "delighted", "detectify", "devcycle", "digicert",
    "digitalocean", "discord", "disqus", "docparser", "docusign", "dotdigital", "droneci", "dropbox", "dwolla",
    "dynatrace", "dyspatch", "e2b_", "easypost", "edamam", "edenai", "elasticemail", "elevenlabs", "endorlabs",
    "etherscan", "ethplorer", "etsy", "eventbrite", "everhour", "exchangerate", "exoscale", "facebook", "fastly",
    "faunadb", "fibery", "figma", "finicity", "finnhub", "firebase", "firecrawl", "fireworks_", "fixerio", "flatio",
    "flickr", "flutterwave", "flyio", "formio", "foursquare", "frameio", "freshbooks", "freshdesk", "freshsales",
    "geoapify", "geocodio", "getresponse", "gitter", "glassnode", "gocardless", "godaddy", "graphcms", "graphhopper",
    "groq", "gtmetrix", "gumroad", "gyazo", "happyscribe", "hashicorp", "hasura", "hcloud", "helicone", "hellosign",
    "helpcrunch", "helpscout", "heroku", "hetzner", "highnote", "holidayapi", "honeycomb", "hubspot", "huggingface",
    "hunterio", "hunyuan", "hyperbolic", "ibmcloud", "iconfinder", "imagekit", "imagga", "infomaniak", "infracost",
    "infura", "insightly", "instamojo", "integromat", "intercom", "intra42", "intrinio", "ipapi", "ipgeolocation",
    "ipify", "ipinfo", "ipstack", "jfrog", "jina_", "jotform", "jumpcloud", "keenio", "keycloak", "kickbox", "kinde",
    "klaviyo", "kontent", "kraken", "kucoin", "lambdalabs", "langfuse", "lastfm", "launchdarkly", "leadfeeder",
    "lepton", "lighton", "linkedin", "linode", "litellm", "livestorm", "llamacloud", "llamaparse", "logdna", "loggly",
    "lokalise", "looker", "lunchmoney", "magicbell", "mailboxlayer", "mailchimp", "mailerlite", "mailersend",
    "mailgun", "mailjet", "mailsac", "mandrill", "mapbox", "mapquest", "marketo", "mattermost", "maxmind",
    "meilisearch", "mem0", "meraki", "messagebird", "metabase", "milvus", "mindmeister", "minimax", "mistral",
    "mixmax", "mixpanel", "mockaroo", "monkeylearn", "moonshot", "moosend", "moralis", "namecheap", "netlify",
    "neutrinoapi", "new-relic", "new-york-times", "new_relic", "newrelic", "newsapi", "newscatcher", "newyorktimes",
    "nexmo", "nftport", "ngrok", "novita", "nozbe", "nuget", "numverify", "nylas", "nytimes", "oanda", "okta",
    "omnisend", "onelogin", "onepagecrm", "onesignal", "onfido", "opencage", "openrouter", "openuv", "openweather",
    "opsgenie", "optimizely", "ovhcloud", "owlbot", "packagecloud", "paddle", "pagerduty", "pandadoc", "papertrail",
    "parseur", "partnerstack", "paymongo", "paypal", "paystack", "pendo", "perplexity", "phantombuster", "pinata",
    "pinecone", "pingdom", "pinterest", "pipedream", "pipedrive", "plaid", "planetscale", "plivo", "podio",
    "portainer", "portkey", "positionstack", "posthog", "postman", "postmark", "prefect", "printful", "prismic",
    "privateai", "prodpad", "proxycrawl", "pubnub", "pulumi", "pushbullet", "pusher", "qase", "qdrant", "qianfan",
    "qualaroo", "qubole", "quickbooks", "ramp_", "rapidapi", "rawg", "razorpay", "rechargepayments", "redirectpizza",
    "replit", "ringcentral", "roboflow", "rocketreach", "rollbar", "rootly", "runpod", "salesflare", "salesforce",
    "salesmate", "samsara", "saucelabs", "scaleway", "scalr", "scalyr", "scrapeowl", "scraperapi", "scrapestack",
    "scrapfly", "scrapingbee", "screenshotapi", "screenshotlayer", "scrutinizer", "seatgeek", "securitytrails",
    "selectpdf", "sendbird", "sendgrid", "sendinblue", "sentry", "serpapi", "serper", "serphouse", "serpstack",
    "shippo", "shodan", "shopify", "shotstack", "shutterstock", "sidekiq", "signalwire", "siliconflow", "simfin",
    "sinch", "slack", "smartsheet", "smartystreets", "snipcart", "snowflake", "snyk", "sonar_", "sonarcloud",
    "sonarqube", "sourcegraph", "sparkpost", "splunk", "spoonacular", "spotify", "squarespace", "squareup", "sslmate",
    "statuscake", "statuspage", "stitchdata", "stockdata", "stormglass", "storyblok", "strava", "stripe", "stytch",
    "sumologic", "supabase", "surveymonkey", "surveysparrow", "swiftype", "tableau", "tailscale", "tatum", "tavily",
    "taxjar", "teamgate", "telegr", "telnyx", "ticketmaster", "ticktick", "tiingo", "timecamp", "todoist", "toggl",
    "tomorrowio", "tomtom", "tradier", "transferwise", "transifex", "travelpayouts", "travis_", "travisci", "trello",
    "tumblr", "twelvedata", "twilio", "twitch", "twitter", "typeform", "ubidots", "unkey", "unsplash", "unstructured",
    "upcloud", "uploadcare", "upstash", "uptimerobot", "userstack", "uservoice", "vastai", "vatlayer", "vercel",
    "verimail", "veriphone", "versioneye", "vimeo", "virustotal", "visualcrossing", "vonage", "voyageai", "vpnapi",
    "vultr", "wakatime", "walkscore", "weatherbit", "weatherstack", "weaviate", "webex", "webscraper", "wepay",
    "wistia", "wolfram", "woocommerce", "workos", "wrike", "wufoo", "xero", "yandex", "yelp", "yousign", "zapier",
    "zendesk", "zenrows", "zenscrape", "zenserp", "zeplin", "zerobounce", "zhipu", "zoho", "zoominfo", "zulip",
)  # fmt: skip
_TOLD: Final = 10


def _tree(words: Iterable[str]) -> str:
    """A pattern that shares what words begin with; none of them begins with another."""
    ways: dict[str, list[str]] = {}
    for word in words:
        ways.setdefault(word[:1], []).append(word[1:])
    if not ways or "" in ways:
        return ""
    return "(?:" + "|".join(first + _tree(rest) for first, rest in sorted(ways.items())) + ")"


ANY: Final = _tree(WORDS)
BEGINNING: Final = _tree(word[:_TOLD] for word in WORDS)
"""At least as much, in fewer states: the first letters."""
