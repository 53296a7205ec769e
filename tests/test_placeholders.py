"""Placeholders: every spelling of a model, in any pieces; placeholders cannot be forged."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from gateway.call import Call, Redaction, Subject
from gateway.config.sections import Output, Pii
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import placeholders
from gateway.detect.personal.scanner import PiiScanner, canonical
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.unscannable import Beside
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.output.screen import Screen
from gateway.redaction.redact import Replacer
from gateway.redaction.vault import Seal
from gateway.stores import Vault
from gateway.texts import Finding, Slot

VALUES = {
    "<EMAIL_1>": "ann@example.org",
    "<PHONE_2>": "+49 30 1234567",
    "<US_SSN_1>": "078-05-1120",
    "<PERSON_12>": 'Ann "the\\cat" & <O\'Hara>\n2nd line',
}
PHONE = VALUES["<PHONE_2>"]
SPELLED = [
    "<PHONE_2>",
    "<phone_2>",
    "< PHONE_2 >",
    "<Phone_2>",
    "<PHONE 2>",
    "<PHONE-2>",
    "<PHONE2>",
    r"<PHONE\_2>",
    r"\<PHONE\_2\>",
    "[PHONE_2]",
    "[phone 2]",
    "{{PHONE_2}}",
    "{{ phone_2 }}",
    "&lt;PHONE_2&gt;",
    "&lt;phone_2&gt;",
    "\uff1cPHONE_2\uff1e",
    "\u27e8PHONE_2\u27e9",
]
AROUND = {
    "**PHONE_2**": f"**{PHONE}**",
    "(PHONE_2)": f"({PHONE})",
    "\u201cPHONE_2\u201d": f"\u201c{PHONE}\u201d",
    "`PHONE_2`": f"`{PHONE}`",
    "call PHONE_2.": f"call {PHONE}.",
    "[PHONE_2](tel:PHONE_2)": f"[{PHONE}](tel:{PHONE})",
    "[at PHONE_2]": f"[at {PHONE}]",
    "<us ssn 1>, <US-SSN-1>": "078-05-1120, 078-05-1120",
    r"\u003cPHONE_2\u003e": PHONE,
    r"{\"a\": \"\u003cPERSON_12\u003e\"}": r"{\"a\": \"Ann \"the\\cat\" & <O'Hara>\n2nd line\"}",
    "&lt;PERSON_12&gt;": 'Ann "the\\cat" &amp; &lt;O\'Hara&gt;\n2nd line',
    "https://x.org/?q=%3CEMAIL_1%3E": "https://x.org/?q=ann%40example.org",
    "<<PHONE_2>>": f"<{PHONE}>",
}
LEFT_ALONE = [
    "phone_2 is a variable",
    "$PHONE_2 and ${PHONE_2}",
    "MY_PHONE_2 PHONE_23 PHONE_2A XPHONE_2",
    "<PHONE_3> [EMAIL_2] {{US_SSN_9}}",
    "<EMAIL> <PHONE:00ff>",
    "[Figure 2] <h1> {{ item }} &lt;b&gt; table[2]",
]


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """The filter as the gateway builds it."""
    mine = {placeholders.PLACEHOLDER: placeholders.WRITTEN}
    others = {placeholders.LIKE: placeholders.SPELLINGS}
    return Screen(Output(), StreamScanner(pii, SecretScanner(), mine, weak=others), lambda _: False)


def call(values: dict[str, str] = VALUES, **body: Any) -> Call:
    """A call whose request contained the values."""
    made = calls.call(body=body)
    made.redaction = Redaction(restore=values, known=frozenset(values.values()))
    return made


def streamed(screen: Screen, made: Call, pieces: list[str]) -> str:
    """The text that a client puts together from an answer in pieces."""
    codec, answer = OPENAI_CHAT.stream(keep_usage=False), screen.filter(made)
    sent: list[bytes] = []
    for piece in [*pieces, None]:
        choice = {"index": 0, "delta": {} if piece is None else {"content": piece}}
        event = {"id": "c", "choices": [{**choice, "finish_reason": "stop" if piece is None else None}]}
        for chunk in codec.feed(b"data: " + json.dumps(event).encode() + b"\n\n"):
            sent += answer.feed(chunk, codec)
    sent += answer.close(codec)
    events = [json.loads(part[6:]) for part in b"".join(sent).decode().split("\n\n") if part.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for one in events for choice in one["choices"])


def cuts(text: str, places: list[int]) -> list[str]:
    """The text in pieces."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(marks)]


@pytest.mark.parametrize("spelled", SPELLED)
def test_a_model_may_spell_it_so(screen: Screen, spelled: str) -> None:
    """Case, blanks, brackets: restored with its brackets, whole and character by character."""
    text = f"Call {spelled} now."
    assert screen.filter(call()).text(text) == f"Call {PHONE} now."
    assert streamed(screen, call(), list(text)) == f"Call {PHONE} now."


@pytest.mark.parametrize("text", AROUND)
def test_what_stands_around_it_stays(screen: Screen, text: str) -> None:
    """Markdown and quotes stay; HTML, JSON and URLs get the value as they write it."""
    assert screen.filter(call()).text(text) == AROUND[text]
    assert streamed(screen, call(), list(text)) == AROUND[text]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_ordinary_text_is_left_alone(screen: Screen, text: str) -> None:
    """Words and numbers that are not placeholders of this request are unchanged."""
    assert screen.filter(call()).text(text) == text
    assert streamed(screen, call(), list(text)) == text


@settings(max_examples=examples(50, nightly=1500), deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([*SPELLED, *AROUND, *LEFT_ALONE, " ", "<", "[", "PHONE", "_2", "größer "]), max_size=6
    ),
    places=st.lists(st.integers(0, 300), max_size=40),
)
def test_any_cut_restores_the_same(screen: Screen, parts: list[str], places: list[int]) -> None:
    """With any cut, an answer reads like the whole answer."""
    text = "".join(parts)
    assert streamed(screen, call(), cuts(text, places)) == screen.filter(call()).text(text)


def test_brackets_hide_no_personal_data(screen: Screen) -> None:
    """Text that only looks like a placeholder is judged like any text."""
    for text in (
        "[SSN 078051121]",
        "[my SSN is 078-05-1121]",
        "<PHONE 2125550123>",
        "[212-555-0123]",
        "[+12125550123]",
    ):
        out = screen.filter(call()).text(text)
        assert not re.search(r"\d{4}", out), text


def test_json_stays_json_where_json_was_asked_for(screen: Screen) -> None:
    """An answer with a response_format contains escaped values, whole and streamed."""
    text = json.dumps({"who": "<PERSON_12>", "mail": "email_1 <EMAIL_1>"})
    made = call(response_format={"type": "json_object"})
    expected = {"who": VALUES["<PERSON_12>"], "mail": "email_1 ann@example.org"}
    assert json.loads(streamed(screen, made, list(text))) == expected
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    screen.filter(made).whole(answer)
    assert json.loads(answer["choices"][0]["message"]["content"]) == expected  # type: ignore[index]


# What the caller's own text may look like


class Numbers:
    """A vault that numbers as the stores do."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, bytes], int] = {}

    async def seal(self, _team: str, _id: str, items: list[tuple[str, bytes, bytes]], _ttl: float) -> list[int]:
        for entity, digest, _ in items:
            taken = sum(1 for one, _ in self.known if one == entity)
            self.known.setdefault((entity, digest), taken + 1)
        return [self.known[entity, digest] for entity, digest, _ in items]


def replacer(**pii: Any) -> Replacer:
    """The stage with a vault in memory."""
    return Replacer(Pii.model_validate(pii), cast("Vault", Numbers()), Seal(b"k" * 32), canonical)


@pytest.fixture(scope="module")
def look(pii: PiiScanner) -> Callable[[str], list[Finding]]:
    """The findings in a text of a request."""
    beside = Beside(pii.scan)
    return lambda text: list(beside.scan(text))


async def sent(look: Callable[[str], list[Finding]], stage: Replacer, texts: list[str]) -> tuple[list[str], Call]:
    """The texts of messages as they leave."""
    holders = [{"content": text} for text in texts]
    made = calls.call(correlation_id="w", subject=Subject("a", "red"))
    slots = [Slot(holder, "content", text, "user", None) for holder, text in zip(holders, texts, strict=True)]
    made.request.found = [(slot, findings) for slot in slots if (findings := look(slot.text))]
    await stage.redact(made)
    return [holder["content"] for holder in holders], made


FORGED = [
    *SPELLED,
    *AROUND,
    "<EMAIL_1>",
    "[email 1]",
    "EMAIL_1",
    "<LITERAL_1>",
    "LITERAL_2",
    "[literal 1]",
    "<EMAIL_7>",
]


@settings(max_examples=examples(50, nightly=1500), deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            [*FORGED, *FORGED, " ", "ann@example.org ", "212-555-0123 ", "plain ", "<", "]", "%3CEMAIL_1%3E", "E", "_1"]
        ),
        max_size=8,
    )
)
async def test_text_comes_back_as_it_was(
    screen: Screen, look: Callable[[str], list[Finding]], parts: list[str]
) -> None:
    """For any text of a caller: a model that repeats the request returns the caller's own text."""
    text = "".join(parts)
    [left], made = await sent(look, replacer(), [text])
    assert "ann@example.org" not in left
    assert screen.filter(made).text(left) == text
    assert streamed(screen, made, list(left)) == text


@pytest.mark.parametrize(
    "text",
    [
        "<PHONE_2>https://x.org/?q=%3CEMAIL_1%3ELITERAL_2",
        "%3CEMAIL_1%3EEMAIL_1",
        "[EMAIL_1]LITERAL_1%3CEMAIL_2%3E",
        "%3CEMAIL_1%3ELITERAL_1LITERAL_2 EMAIL_1",
        "%3CEMAIL_1%3ELITERAL_1<EMAIL_1>LITERAL_2<EMAIL_1>",
        "ann@example.org%3CEMAIL_1%3EEMAIL_1[EMAIL_1]",
    ],
)
async def test_what_adjoins_a_placeholder_is_none(
    screen: Screen, look: Callable[[str], list[Finding]], text: str
) -> None:
    """A word that only becomes a look-alike after an adjacent redaction is restored."""
    [left], made = await sent(look, replacer(), [text])
    assert screen.filter(made).text(left) == text
    assert streamed(screen, made, list(left)) == text


@settings(max_examples=100, deadline=None)
@given(forged=st.lists(st.sampled_from(FORGED), min_size=1, max_size=5))
async def test_nothing_the_caller_did_not_send_is_revealed(
    screen: Screen, look: Callable[[str], list[Finding]], forged: list[str]
) -> None:
    """Placeholders of the workflow without a value in this request stay unchanged, in every turn."""
    stage = replacer()
    await sent(look, stage, ["secret.person@example.org, 212-555-0199"])
    text = " ".join(forged)
    [left], made = await sent(look, stage, [text])
    for said in (left, text):
        assert "secret.person" not in screen.filter(made).text(said)
        assert "0199" not in screen.filter(made).text(said)
    assert screen.filter(made).text(left) == text
    both, made = await sent(look, stage, [text, "ann@example.org"])
    assert both == [left, "<EMAIL_2>"]
    assert screen.filter(made).text(both[0]) == text


async def test_escapes_are_stable_in_a_workflow(look: Callable[[str], list[Finding]]) -> None:
    """The same look-alike leaves as the same placeholder, as agents resend it."""
    stage = replacer()
    first, _ = await sent(look, stage, ["ann@example.org", "see <EMAIL_1>"])
    again, _ = await sent(look, stage, ["ann@example.org", "see <EMAIL_1>", "and [EMAIL_1]"])
    assert first == ["<EMAIL_1>", "see <LITERAL_1>"]
    assert again == [*first, "and <LITERAL_2>"]


async def test_only_what_may_be_a_placeholder_is_escaped(look: Callable[[str], list[Finding]]) -> None:
    """Types that are masked, whether or not a value of theirs is there; words in brackets are words."""
    texts = ["[email 1] and <EMAIL_7>", "PHONE_2", "[Figure 2] <h1> {{ item1 }} SHA_256", "[us ssn 3]"]
    left, _ = await sent(look, replacer(), texts)
    assert left == ["<LITERAL_1> and <LITERAL_2>", "<LITERAL_3>", texts[2], "<LITERAL_4>"]
    left, _ = await sent(look, replacer(default="redact", secrets="redact", entities={"PHONE": "mask"}), texts)
    assert left == [texts[0], "<LITERAL_1>", texts[2], texts[3]]
    left, _ = await sent(look, replacer(default="hash", secrets="block"), texts)
    assert left == texts


async def test_without_restoring_nothing_is_escaped(look: Callable[[str], list[Finding]]) -> None:
    """A caller that gets placeholders sends them back: they count as the gateway's own."""
    [_, left], made = await sent(look, replacer(restore=False), ["ann@example.org", "mail <EMAIL_1>"])
    assert left == "mail <EMAIL_1>"
    assert made.redaction.restore == {}
