"""Names of services whose keys have no form of their own: beside one of them a random value is a key.

`stripe: V`, `heroku_api = V`, `datadog.key V`. The names are those that public lists of services with API keys share,
less ordinary words, and those whose keys tell by their form (`secrets`, `issued`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WORDS: Final = (
    "abuseipdb", "adafruit", "airbrake", "akamai", "alchemyapi", "algolia", "alphavantage", "amplitude", "apify",
    "asana", "assemblyai", "auth0", "bitbucket", "bitly", "bittrex", "braintree", "browserstack", "bugsnag",
    "buildkite", "calendly", "censys", "chargebee", "circleci", "clearbit", "clickup", "cloudant", "cloudflare",
    "cloudinary", "codacy", "codeclimate", "codecov", "coinbase", "contentful", "coveralls", "crowdin", "datadog",
    "dd_api", "dd_app", "deepgram", "deepl", "digitalocean", "docusign", "droneci", "dropbox", "dynatrace",
    "elevenlabs", "etherscan", "etsy", "eventbrite", "fastly", "finicity", "finnhub", "flickr", "foursquare",
    "freshbooks", "freshdesk", "gocardless", "godaddy", "helpscout", "heroku", "honeycomb", "hubspot", "ibmcloud",
    "infura", "intercom", "intra42", "ipinfo", "ipstack", "jfrog", "jotform", "jumpcloud", "keycloak", "klaviyo",
    "kraken", "kucoin", "launchdarkly", "linode", "logdna", "loggly", "mailchimp", "mailgun", "mailjet", "mailsac",
    "mapbox", "mattermost", "messagebird", "mixpanel", "moralis", "netlify", "new_relic", "newrelic", "ngrok",
    "nytimes", "okta", "onesignal", "onfido", "openweather", "opsgenie", "pagerduty", "papertrail", "paypal",
    "paystack", "pendo", "pinecone", "pipedrive", "plaid", "postmark", "prismic", "privateai", "pubnub", "quickbooks",
    "rapidapi", "razorpay", "rollbar", "salesforce", "saucelabs", "scaleway", "scalr", "scrapingbee", "sendbird",
    "sendgrid", "sendinblue", "sentry", "shodan", "sidekiq", "slack", "snowflake", "snyk", "sonarcloud", "sonarqube",
    "splunk", "spotify", "squarespace", "statuspage", "strava", "stripe", "surveymonkey", "telegram", "travisci",
    "trello", "tumblr", "twilio", "twitch", "twitter", "unsplash", "virustotal", "vonage", "vultr", "wakatime",
    "weatherstack", "webex", "wepay", "wolfram", "woocommerce", "xero", "yandex", "zapier", "zendesk", "zerobounce",
    "zoho", "zoominfo",
)  # fmt: skip
ANY: Final = "(?:" + "|".join(WORDS) + ")"
_TOLD: Final = 7


def _tree(words: Iterable[str]) -> str:
    """A pattern that shares what words begin with."""
    ways: dict[str, list[str]] = {}
    for word in words:
        ways.setdefault(word[:1], []).append(word[1:])
    if not ways or "" in ways:
        return ""
    return "(?:" + "|".join(first + _tree(rest) for first, rest in sorted(ways.items())) + ")"


BEGINNING: Final = _tree(word[:_TOLD] for word in WORDS)
"""At least as much, in fewer states: the first letters."""
