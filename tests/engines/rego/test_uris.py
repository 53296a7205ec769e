"""URIs and signed requests: what OPA makes of the same texts."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from engines import opa_server
from gateway.policy.engines.rego import compile_bundle

PIECES = (
    "http", "HTTPS", "ftp", "mailto", "://", "//", "/", ":", "a", "b.c", "[::1]", "[fe80::1%25eth0]", "[1.2.3.4]",
    "%20", "%2f", "%", "%zz", "?", "#", "@", "u:p@", "80", ":80", "&", "=", "!", "(", "é", "%c3%a9", "%ff", " ", "*",
    "<", '"', "|", "..", ".", "%21", "[", "]", "~", "%41", "%25", "+", "-", "$", "'", "\x01",
)  # fmt: skip
URIS = """package m

valid contains [text, uri.is_valid(text)] if some text in input

parsed contains [text, uri.parse(text)] if some text in input
"""
SIGNED = """package m

signed contains [index, providers.aws.sign_req(request, config, time)] if some index, [request, config, time] in input
"""


def test_uris(tmp_path: Path) -> None:
    """Any text is a URI, or is none, with the parts that OPA finds."""
    rng = random.Random(0)
    starts = ("", "", "http://", "ftp://", "//", "http://u:p@")
    texts = ["".join((rng.choice(starts), *rng.choices(PIECES, k=rng.randrange(1, 8)))) for _ in range(3000)]
    document = list(dict.fromkeys(texts))
    found, wanted = _both(tmp_path, URIS, document)
    assert len(wanted["parsed"]) > 500
    assert found == wanted


def test_signed_requests(tmp_path: Path) -> None:
    """Headers, bodies and settings of every kind."""
    rng = random.Random(0)
    times = (0, 1, -1, 1451311705000000000, 1.5, 2**63 - 1, 2**63, -(2**63), -62135596800000000000)
    found, wanted = _both(tmp_path, SIGNED, [[_request(rng), _settings(rng), rng.choice(times)] for _ in range(500)])
    assert len(wanted["signed"]) > 100
    assert found == wanted


def _request(rng: random.Random) -> dict[str, Any]:
    hosts, paths = ("h.example", "h:80", "u:p@h", "[::1]:8", "é.x", "%ff"), ("", "/", "/a%20b", "/a b/é", "/%2f!", "/*")
    url = "".join(map(rng.choice, (("http://", "//", "mailto:", ""), hosts, paths, ("", "?", "?a=b&c", "?b=%20 x#f"))))
    made: dict[str, Any] = {"method": rng.choice(("get", "POST")), "url": url}
    names = ("foo", "User-Agent", "Authorization", "host", "X-Amz-Date", "é", "Zz")
    extra: dict[str, Any] = {
        "headers": {name: rng.choice(("x", "", 3, "é", None)) for name in rng.sample(names, rng.randrange(4))},
        "body": rng.choice(({"a": [1, "<é>"]}, "s", 1.5, None, [])),
        "raw_body": rng.choice(("x", 3, "")),
    }
    made |= {name: value for name, value in extra.items() if rng.random() < 0.5}
    odd: dict[str, Any] = {"odd": 1, "headers": [], "url": 1, "method": None}
    return made | {name: value for name, value in odd.items() if rng.random() < 0.05}


def _settings(rng: random.Random) -> dict[str, Any]:
    made = {"aws_access_key": "K", "aws_secret_access_key": rng.choice(("S", "é")), "aws_region": "eu"}
    made["aws_service"] = rng.choice(("s3", "glacier", "iam"))
    odd: dict[str, Any] = {
        "aws_session_token": rng.choice(("T", "", 3)),
        "disable_payload_signing": rng.choice((True, False, 1)),
        "aws_region": 1,
    }
    return made | {name: value for name, value in odd.items() if rng.random() < 0.2}


def _both(folder: Path, source: str, document: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the compiler and OPA come to, by rule: pairs of a question and its answer."""
    (folder / "m.rego").write_text(source)
    (folder / "input.json").write_text(json.dumps(document))
    command = [opa_server.program(), "eval", "-d", str(folder / "m.rego"), "-i", str(folder / "input.json"), "data.m"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    program = compile_bundle({"m.rego": source})
    found = program.document(("data", "m"), program.env(document))
    wanted = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    return ({rule: dict(map(tuple, pairs)) for rule, pairs in one.items()} for one in (found, wanted))  # type: ignore[return-value]
