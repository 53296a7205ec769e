"""Secrets: the purpose of each rule, and texts that all rules leave alone."""

from __future__ import annotations

import pytest

from gateway.detect.core import index
from gateway.detect.core.rules import RuleSet
from gateway.detect.secrets.issued import ISSUED
from gateway.detect.secrets.scanner import SECRETS, SecretScanner

ALNUM = "a8Fj3kL9sQ2xZ7mNbV5cR1tY6uW4pE0dGhJ7kS2wQ9zX3vB8nM5lK1jH4gF6"
HEX = "3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c4d5e6f708192a3b4c5d6e7f8"
UUID = "3f2a9c71-d0b8-4e65-91a2-c3d4e5b6a7f8"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n"
    + "\n".join([ALNUM] * 4)
    + "\nabcd1234==\n-----END RSA PRIVATE KEY-----"
)

# entity, the text before, the secret, the text after. Written in two pieces where a key scanner might take offence.
FOUND = [
    ("SECRET_OPENAI_KEY", "use ", "sk-" + ALNUM[:48], "."),
    ("SECRET_OPENAI_KEY", "OPENAI=", "sk-proj-" + ALNUM[:40] + "_x-Y", "\n"),
    ("SECRET_ANTHROPIC_KEY", "(", "sk-" + "ant-api03-" + ALNUM[:50], ")"),
    ("SECRET_OPENROUTER_KEY", "", "sk-or-v1-" + HEX, ""),
    ("SECRET_GROQ_KEY", "", "gsk_" + ALNUM[:52], ""),
    ("SECRET_XAI_KEY", "", "xai-" + ALNUM[:60], ""),
    ("SECRET_HUGGINGFACE_TOKEN", "login ", "hf_" + ALNUM[:34], " ok"),
    ("SECRET_REPLICATE_TOKEN", "", "r8_" + ALNUM[:37], ""),
    ("SECRET_MESHGATE_KEY", "your key: ", "mg-" + ALNUM[:43], ""),
    ("SECRET_GITHUB_TOKEN", "", "gh" + "p_" + ALNUM[:36], ""),
    ("SECRET_GITHUB_TOKEN", "", "github" + "_pat_" + ALNUM[:22] + "_" + ALNUM[:50], ""),
    ("SECRET_GITLAB_TOKEN", "", "gl" + "pat-" + ALNUM[:20], ""),
    ("SECRET_SLACK_TOKEN", "", "xox" + "b-123456789012-" + ALNUM[:24], ""),
    ("SECRET_SLACK_WEBHOOK", "", "https://hooks.slack.com/services/T0" + "0000000/B00000000/" + ALNUM[:24], ""),
    ("SECRET_DISCORD_TOKEN", "", "M" + ALNUM[:23] + "." + ALNUM[:6] + "." + ALNUM[:38], ""),
    ("SECRET_TELEGRAM_TOKEN", "bot ", "123456789:AA" + ALNUM[:33], ""),
    ("SECRET_STRIPE_KEY", "", "sk" + "_live_" + ALNUM[:24], ""),
    ("SECRET_STRIPE_KEY", "", "wh" + "sec_" + ALNUM[:32], ""),
    ("SECRET_SQUARE_TOKEN", "", "sq0" + "atp-" + ALNUM[:22], ""),
    ("SECRET_SHOPIFY_TOKEN", "", "shp" + "at_" + HEX[:32], ""),
    ("SECRET_TWILIO_KEY", "", "SK" + HEX[:32], ""),
    ("SECRET_SENDGRID_KEY", "", "SG." + ALNUM[:22] + "." + ALNUM[:43], ""),
    ("SECRET_MAILGUN_KEY", "", "key-" + HEX[:32], ""),
    ("SECRET_AWS_KEY_ID", "aws_access_key_id = ", "AKIA" + "IOSFODNN7EXAMPLE", ""),
    ("SECRET_AWS_KEY", 'aws_secret_access_key: "', "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzKq8LmT3vN", '"'),
    ("SECRET_GOOGLE_KEY", "", "AIza" + ALNUM[:35], ""),
    ("SECRET_GOOGLE_OAUTH", "", "GOCSPX-" + ALNUM[:28], ""),
    ("SECRET_AZURE_KEY", "AccountName=x;AccountKey=", ALNUM[:60] + ALNUM[:26] + "==", ";Endpoint=y"),
    ("SECRET_AZURE_CLIENT", "", "abc8Q~" + ALNUM[:34], ""),
    ("SECRET_AZURE_SAS", "https://a.blob.core.windows.net/c?sv=2022&sig=", ALNUM[:42] + "%3D", "&se=2026"),
    ("SECRET_DIGITALOCEAN_TOKEN", "", "dop" + "_v1_" + HEX, ""),
    ("SECRET_DATABRICKS_TOKEN", "", "dapi" + HEX[:32], ""),
    ("SECRET_VAULT_TOKEN", "", "hvs." + ALNUM[:24], ""),
    ("SECRET_LINEAR_KEY", "", "lin_api_" + ALNUM[:40], ""),
    ("SECRET_NPM_TOKEN", "", "npm_" + ALNUM[:36], ""),
    ("SECRET_PYPI_TOKEN", "", "pypi-AgEIcHlwaS5vcmc" + ALNUM, ""),
    ("SECRET_PERPLEXITY_KEY", "", "pplx-" + ALNUM[:48], ""),
    ("SECRET_TOGETHER_KEY", "", "tgp_v1_" + ALNUM[:43], ""),
    ("SECRET_FIREWORKS_KEY", "", "fw_" + ALNUM[:24], ""),
    ("SECRET_CEREBRAS_KEY", "", "csk-" + ALNUM[:48].lower(), ""),
    ("SECRET_NVIDIA_KEY", "", "nvapi-" + ALNUM[:60], ""),
    ("SECRET_LANGSMITH_KEY", "", "lsv2_pt_" + HEX[:32] + "_" + HEX[:10], ""),
    ("SECRET_PINECONE_KEY", "", "pcsk_" + ALNUM[:6] + "_" + ALNUM[:50], ""),
    ("SECRET_TAVILY_KEY", "", "tvly-dev-" + ALNUM[:32], ""),
    ("SECRET_SUPABASE_TOKEN", "", "sbp_" + HEX[:40], ""),
    ("SECRET_GRAFANA_TOKEN", "", "glsa_" + ALNUM[:32] + "_" + HEX[:8], ""),
    ("SECRET_SENTRY_TOKEN", "", "sntrys_" + ALNUM[:50], ""),
    ("SECRET_NEWRELIC_KEY", "", "NRAK-" + ALNUM[:27].upper(), ""),
    ("SECRET_NOTION_TOKEN", "", "ntn_" + ALNUM[:46], ""),
    ("SECRET_FIGMA_TOKEN", "", "figd_" + ALNUM[:40], ""),
    ("SECRET_ATLASSIAN_TOKEN", "", "ATATT3" + "xFf" + ALNUM[:60], ""),
    ("SECRET_DOCKER_TOKEN", "", "dckr_pat_" + ALNUM[:27], ""),
    ("SECRET_AGE_KEY", "", "AGE-SECRET-KEY-1" + (ALNUM[:58]).upper(), ""),
    ("SECRET_POSTMAN_KEY", "", "PMAK-" + HEX[:24] + "-" + HEX[:34], ""),
    ("SECRET_PLANETSCALE_TOKEN", "", "pscale_tkn_" + ALNUM[:43], ""),
    ("SECRET_DOPPLER_TOKEN", "", "dp.pt." + ALNUM[:43], ""),
    ("SECRET_JWT", "token ", JWT, " end"),
    ("SECRET_PRIVATE_KEY", "here:\n", PEM, "\nThat was it."),
    ("SECRET_PRIVATE_KEY", '{"key": "', PEM.replace("\n", "\\n"), '"}'),
    ("SECRET_CONNECTION_STRING", "postgres://app:", "s3cr3t-Pa55", "@db.internal:5432/app"),
    ("SECRET_CONNECTION_STRING", "redis://:", "hunter22", "@cache:6379/0"),
    ("SECRET_BEARER", "Authorization: Bearer ", ALNUM[:40], "\n"),
    ("SECRET_BASIC_AUTH", '"authorization": "Basic ', "dXNlcjpwYXNzd29yZDEyMw==", '"'),
    ("SECRET_KEYWORD", 'api_key = "', "9sQ2xZ7mNbV5cR1tY6uW", '"'),
    ("SECRET_KEYWORD", "client_secret: ", "Zk8~Q.tY6uW4pE0dGhJ7kS2", ""),
    ("SECRET_KEYWORD", "the access token is ", "a8Fj3kL9sQ2xZ7mNbV5c", " ok"),
    ("SECRET_PASSWORD", "Password: ", "Tr0ub4dor&3", "\n"),
    ("SECRET_PASSWORD", 'DB_PASSWORD="', "xK9#mQ2$vL", '"'),
    ("SECRET_PASSWORD", r'{"env": "DB_PASSWORD=\"', "xK9#mQ2$vL", r'\" # live"}'),
    ("SECRET_KEYWORD", r'{"code": "api_key = \"', "9sQ2xZ7mNbV5cR1tY6uW", r'\""}'),
    ("SECRET_BASIC_AUTH", r"{\"authorization\": \"Basic ", "dXNlcjpwYXNzd29yZDEyMw==", r"\"}"),
    (
        "SECRET_TEAMS_WEBHOOK",
        "",
        "https://acme.webhook.office.com/webhookb2/" + UUID + "@" + UUID + "/IncomingWebhook/" + HEX[:32] + "/" + UUID,
        "",
    ),
    ("SECRET_DISCORD_WEBHOOK", "", "https://discord.com/api/webhooks/123456789012345678/" + ALNUM + ALNUM[:8], ""),
    ("SECRET_FLY_TOKEN", "", "fo1_" + ALNUM[:43], ""),
    ("SECRET_VERCEL_TOKEN", "", "vcp_" + ALNUM[:40], ""),
    ("SECRET_CLOUDFLARE_KEY", "", "v1.0-" + HEX[:24] + "-" + HEX + HEX + HEX[:18], ""),
    ("SECRET_1PASSWORD_KEY", "", "A3-ASWWYB-798JRYLJVD4-23DC2-86TVM-H43EB", ""),
    ("SECRET_AIRTABLE_TOKEN", "", "pat" + ALNUM[:14] + "." + HEX, ""),
    ("SECRET_ARTIFACTORY_TOKEN", "", "cmVmd" + ALNUM[:59], ""),
    ("SECRET_BEDROCK_KEY", "", "ABSK" + ALNUM + ALNUM, ""),
    ("SECRET_ALIBABA_KEY_ID", "", "LTAI" + ALNUM[:20], ""),
    ("SECRET_PULUMI_TOKEN", "", "pul-" + HEX[:40], ""),
    ("SECRET_RUBYGEMS_KEY", "", "rubygems_" + HEX[:48], ""),
    ("SECRET_TERRAFORM_TOKEN", "", ALNUM[:14] + ".atlasv1." + ALNUM + ALNUM[:4], ""),
    ("SECRET_BREVO_KEY", "", "xkeysib-" + HEX + "-" + ALNUM[:16], ""),
    ("SECRET_SHIPPO_TOKEN", "", "shippo_live_" + HEX[:40], ""),
    ("SECRET_MAILCHIMP_KEY", "", HEX[:32] + "-us12", ""),
    ("SECRET_HEROKU_KEY", "", "HRKU-AA" + ALNUM[:58], ""),
    ("SECRET_OPENSHIFT_TOKEN", "", "sha256~" + ALNUM[:43], ""),
    ("SECRET_CURL_USER", "curl -u admin:", "xK9mQ2vL", " https://example.com"),
    ("SECRET_NETRC", "machine api.example.com login me password ", "xK9mQ2vL", "\n"),
    ("SECRET_PGPASS", "db.internal:5432:app:me:", "xK9mQ2vL", "\n"),
    ("SECRET_VENDOR_KEY", "use ", "tskey-auth-" + ALNUM[:12] + "CNTRL-" + ALNUM[20:44], " now"),
    ("SECRET_VENDOR_KEY", "", "acme_token_" + ALNUM[:24], ""),
    ("SECRET_VENDOR_KEY", "use zzq_", ALNUM[:36], " now"),
    ("SECRET_VENDOR_KEY", "", "dvc_server_" + ALNUM[:14], ""),
    ("SECRET_KEYWORD", "crunchbase = ", ALNUM[:32], ""),
    ("SECRET_SLACK_WEBHOOK", "", "hooks.slack.com/triggers/" + ALNUM[:44], ""),
    ("SECRET_FLY_TOKEN", "", "FlyV1 " + ALNUM + ALNUM, ""),
    ("SECRET_DOCKER_AUTH", '"auth": "', "dXNlcjpwYXNzd29yZDEyMw==", '"'),
]

CLEAN = [
    # Identifiers behind a mark: which, not who may.
    "call_" + ALNUM[:40],
    "msg_" + ALNUM[:36] + " and resp_" + HEX[:50],
    *(f"{kind}_{ALNUM[:36]}" for kind in ("cntr", "cfile", "vsfb")),
    "zzq_" + ALNUM[:27],
    "zzq_" + HEX[:40],
    "see file_" + ALNUM[:40],
    "from fw_configuration_of_the_network import sbp_management_of_the_whole_session_state",
    "sbp_management_of_sessions_and_users_table and fw_rules",
    "550e8400-e29b-41d4-a716-446655440000",
    "token: 550e8400-e29b-41d4-a716-446655440000",
    "commit 3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c fixes it",
    "sha256:3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c4d5e6f708192a3b4c5d6e7f8",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO",
    "The secret of a good token is that nobody notices it: the key to success.",
    "password: please choose one with at least eight characters",
    "Your password is required. The password must contain a digit.",
    "api_key = os.environ['OPENAI_API_KEY']",
    "token = get_access_token(user_id, tenant_id2)",
    "const secretToken = config.auth.secretTokenValue;",
    "max_tokens: 1000000000000, total_tokens=12345678901234",
    "csrf_token: request.headers.get('x-csrf-token-v2')",
    "postgres://user:password@localhost/db",
    "postgres://user:${DB_PASSWORD}@localhost/db",
    "https://example.com:8080/path@2x.png",
    "mailto:maria@example.com and http://host:80/a:b@c",
    "sk-learn, sk-12345 and task-a8Fj3kL9sQ2xZ7mNbV5cR1tY6uW4pE0d",
    "the eyJ prefix. eyJhbGci.eyJub3Q.short",
    "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----",
    "-----BEGIN PRIVATE KEY----- is how such a file begins.",
    "Authorization: Bearer <your-token-goes-here>",
    "kubectl get secret my-app-credentials-production -o yaml",
    "class SecretKeywordDetectorFactory: token_type = 'urn:ietf:params:oauth:token-type:jwt'",
    "for (const [key, value] of Object.entries(headers)) { result[key.toLowerCase()] = value; }",
    "<EMAIL_1> wrote to <PHONE_2> about <SECRET_OPENAI_KEY_3>",
]


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    return SecretScanner()


@pytest.mark.parametrize(("entity", "before", "secret", "after"), FOUND)
def test_finds(scanner: SecretScanner, entity: str, before: str, secret: str, after: str) -> None:
    """Exactly the whole secret is found, at its place."""
    start = len(before)
    found = scanner.scan(before + secret + after)
    assert [finding[:3] for finding in found] == [(start, start + len(secret), entity)]


@pytest.mark.parametrize("text", CLEAN)
def test_leaves_alone(scanner: SecretScanner, text: str) -> None:
    """Identifiers, digests, images, code and prose are not secrets."""
    assert scanner.scan(text) == []


def test_each_rule_has_a_sample() -> None:
    """Every rule has an example text."""
    # Samples of what tells by its beginning, and of commands, are in tests/reports/test_secrets.py.
    elsewhere = {"SECRET_SQL_PASSWORD", "SECRET_COMMAND_PASSWORD", *(entity for entity, _ in ISSUED)}
    assert {secret.entity for secret in SECRETS} - elsewhere == {entity for entity, *_ in FOUND}


@pytest.mark.slow
def test_slow_path_agrees(scanner: SecretScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Hyperscan the findings are the same."""
    monkeypatch.setattr(index, "hyperscan", None)
    slow = RuleSet(scanner.rules, 1.0)
    for text in [before + secret + after for _, before, secret, after in FOUND] + CLEAN:
        assert slow.scan(text) == scanner.scan(text)
