"""Very many findings in one request: code that visits all of them runs in a thread, or in short steps."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from re import _parser  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from gateway.call import Call, Redaction, Subject
from gateway.config.sections import Ner, Pii
from gateway.detect.core.rules import RuleSet
from gateway.detect.personal import national
from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.placeholders import LIKE
from gateway.detect.personal.scanner import canonical
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.output.exfiltration import Exfiltration
from gateway.output.screen import Screen
from gateway.redaction import names
from gateway.redaction.known import Known
from gateway.redaction.names import Names
from gateway.redaction.redact import Replacer
from gateway.redaction.vault import Seal
from gateway.scheduling.lanes import SMALL, apart
from gateway.stores import Vault
from gateway.texts import Finding, Slot

MANY = 20_000
MOST = 8 * SMALL  # calls of functions between two turns of the loop


class Numbers:
    """A vault in memory, which numbers values on the event loop as stores do."""

    def __init__(self) -> None:
        self.known: dict[bytes, int] = {}

    async def seal(self, team: str, correlation_id: str, items: list[Any], ttl: float) -> list[int]:
        return [self.known.setdefault(digest, len(self.known) + 1) for _, digest, _ in items]


class Effort:
    """Counts the calls of functions on this thread between two turns of the event loop."""

    def __init__(self) -> None:
        self.most = self._now = 0

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            self._now += 1
            self.most = max(self.most, self._now)

    async def of(self, work: Any) -> int:
        """The most of them while some work is done."""
        ended = asyncio.Event()

        async def turns() -> None:
            while not ended.is_set():
                self._now = 0
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(turns())
        sys.setprofile(self)
        try:
            await work
        finally:
            sys.setprofile(None)
            ended.set()
            await counting
        return self.most


def a_call(texts: list[str], found: list[list[Finding]]) -> Call:
    """A call in which all this was found."""
    made = calls.call()
    made.subject = Subject("a", "t")
    made.request.slots = [Slot({"content": text}, "content", text, "user", None) for text in texts]
    made.request.found = list(zip(made.request.slots, found, strict=True))
    return made


def addresses(many: int) -> tuple[str, list[Finding]]:
    """A text with this number of different addresses of ten characters, and its findings."""
    text = "".join(f"10.{at // 65536:1d}.{at // 256 % 256:03d}.{at % 256:03d}"[:12].ljust(13) for at in range(many))
    return text, [Finding(13 * at, 13 * at + 12, "IP_ADDRESS", 1.0) for at in range(many)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["one text", "many texts", "alike"])
async def test_redaction_never_holds_the_loop(shape: str) -> None:
    """One long text, many short texts, and look-alike placeholders next to values."""
    text, found = addresses(MANY)
    if shape == "one text":
        call = a_call([text], [found])
    elif shape == "many texts":
        parts = [text[one.start : one.end] for one in found]
        call = a_call(parts, [[Finding(0, 12, "IP_ADDRESS", 1.0)] for _ in parts])
    else:
        likes = "<IP_ADDRESS_7>" * MANY
        size = len("<IP_ADDRESS_7>")
        call = a_call([text, likes], [found, [Finding(size * at, size * at + size, LIKE, 0.1) for at in range(MANY)]])
    stage = Replacer(Pii(), cast("Vault", Numbers()), Seal(b"k" * 32), canonical)
    assert await Effort().of(stage.redact(call)) < MOST
    assert call.redaction.counts == {"IP_ADDRESS": MANY}
    sent = "".join(slot.holder["content"] for slot in call.request.slots)
    assert "10.0." not in sent
    assert "<IP_ADDRESS_1>" in sent
    back = {value: placeholder for placeholder, value in call.redaction.restore.items()}
    assert all(back[text[one.start : one.end]] in sent for one in found[:: MANY // 50])
    again = a_call([text], [found])  # numbers are the same
    await stage.redact(again)
    assert {one: call.redaction.restore[one] for one in again.redaction.restore} == again.redaction.restore


async def test_an_answer_is_prepared_off_the_loop() -> None:
    """The data for look-ups of values and placeholders is computed once; later look-ups are short."""
    call = a_call([], [])
    values = {f"<PHONE_{at}>": f"+49 170 {at:07d}" for at in range(MANY)}
    call.redaction = Redaction(restore=values, known=frozenset(values.values()))
    made = Screen(None, SimpleNamespace(scan=lambda _: []), lambda _: False).filter(call)
    made.prepare()

    async def looks() -> None:
        assert made._restoration.plain.value("[phone 7]") == "+49 170 0000007"
        assert "0170 0000008" in made._known
        assert "0171 0000008" not in made._known
        assert not any(f"0171 {at:07d}" in made._known for at in range(20))

    assert await Effort().of(looks()) < MOST
    Exfiltration().text(call, "https://a.example/b https://a.example/c")
    assert len(call.redaction.longest or ()) == 256


async def test_the_policy_hears_who_wrote_personal_data() -> None:
    """The roles of texts with personal data: not of secrets, of placeholders, or of findings in other texts."""
    texts = ["a@b.example", "sk-12345678901", "<EMAIL_1>", "nothing"]
    kinds = ["EMAIL", "SECRET_KEY", LIKE]
    found = [[Finding(0, len(text), kind, 1.0)] for text, kind in zip(texts, kinds, strict=False)]
    call = a_call(texts, [*found, found[0][:0]])
    roles = ("tool", "user", "assistant", "system")
    call.request.slots = [slot._replace(role=role) for slot, role in zip(call.request.slots, roles, strict=True)]
    call.request.found = [
        (slot, these) for slot, (_, these) in zip(call.request.slots, call.request.found, strict=True)
    ]
    await Replacer(Pii(secrets="mask"), cast("Vault", Numbers()), Seal(b"k" * 32), canonical).redact(call)
    assert call.redaction.roles == {"tool"}


class Reader:
    """A pool that finds every third word of ten characters to be a name."""

    async def find(self, texts: list[str], deadline: float, team: str = "") -> dict[str, list[Finding]]:
        return await asyncio.to_thread(self._find, texts)

    def _find(self, texts: list[str]) -> dict[str, list[Finding]]:
        return {text: [Finding(at, at + 9, "PERSON", 0.9) for at in range(0, len(text) - 9, 30)] for text in texts}


async def test_names_are_joined_off_the_loop() -> None:
    """Very many names in one or many texts, with very many findings and guards."""
    words = "abcdefghi " * MANY
    patterns = [Finding(10 * at, 10 * at + 9, LIKE if at % 2 else "EMAIL", 0.5) for at in range(1, MANY, 3)]
    short = [f"name {chr(97 + at % 26)}{at:05d}" for at in range(MANY)]
    for texts, found in (([words], [patterns]), (short, [patterns[:0] for _ in short])):
        call = a_call(texts, found)
        stage, named = Names(Ner(), Reader()), list[Any]()  # type: ignore[arg-type]

        async def add(call: Call = call, stage: Names = stage, named: list[Any] = named) -> None:
            named[:] = await stage.add(call.request.slots, call.request.found, "t", partial(apart, call))

        assert await Effort().of(add()) < MOST
        assert len(named) == len(texts)


@given(
    guards=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8),
    name=st.tuples(st.integers(0, 30), st.integers(1, 6)),
)
def test_a_name_is_free_where_no_guard_is(guards: list[tuple[int, int]], name: tuple[int, int]) -> None:
    """Compared with the definition: no guard overlaps the finding, not even an empty guard inside it."""
    at, placed = 0, list[Finding]()
    for gap, size in guards:
        placed.append(Finding(at + gap, at + gap + size, LIKE, 0.1))
        at += gap + max(size, 1)
    one = Finding(name[0], sum(name), "PERSON", 0.9)
    free = not any(one.start < guard.end and guard.start < one.end for guard in placed)
    assert names._free(one, placed) is free


def test_tool_calls_of_a_stream_count_where_they_are_judged() -> None:
    """They are held to the end of the stream: the event that ends it is as long as all of them."""
    clean = SimpleNamespace(scan=lambda _: [])
    made = Screen(None, clean, lambda _: False).filter(a_call([], []))
    codec = OPENAI_CHAT.stream(keep_usage=False)
    piece = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "x" * 1000}}
    said = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]}
    (chunk,) = codec.feed(b"data: " + json.dumps(said).encode() + b"\n\n")
    assert codec.due() == 0
    made.feed(chunk, codec)
    assert codec.due() > 1000
    assert codec.due(chunk) == 0
    (end,) = codec.feed(b"data: [DONE]\n\n")
    assert codec.due(end) == codec.due()


class Searches:
    """In place of a compiled pattern that matches nothing: records how many characters each search reads."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def search(self, text: str, start: int, end: int) -> None:
        self.sizes.append(end - start)


def test_a_long_stretch_is_searched_in_short_steps() -> None:
    """A search by `re` holds the interpreter lock until it ends: 50,000 addresses are one run of digits."""
    some, text, _ = Searches(), *addresses(MANY)
    assert not national._may_match(some, text, 7, len(text) - 3)  # type: ignore[arg-type]
    assert max(some.sizes) <= national._PIECE + national._LONGEST
    assert sum(some.sizes) >= len(text) - 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3 * 4096), st.sampled_from(["12-34-567", "1 85 05 78 006 084 36", "ABCD850101HDFRRR09"]))
def test_a_seam_hides_no_number(at: int, number: str) -> None:
    """At any offset, the pieces give the findings of the whole text."""
    text = f"{'.' * at} {number} {'.' * (3 * 4096 - at)}"
    some = national._some((rf"(?<![\w-]){number}(?![\w-])",), 0)
    assert national._may_match(some, text, 0, len(text))


def test_no_number_is_longer_than_pieces_overlap() -> None:
    """For every form without context, including the neighboring characters of its assertions."""
    forms = [
        kind.source
        for identity in IDENTITIES
        for _, kind in national._kinds("0", identity)
        if kind.alone and "\\1" not in kind.source
    ]
    assert forms
    assert max(_parser.parse(form).getwidth()[1] for form in forms) + RuleSet.MARGIN <= national._LONGEST


DIGITS = st.text("0127", min_size=5, max_size=14)


@given(values=st.lists(DIGITS, max_size=6), said=DIGITS)
def test_a_number_is_known_as_it_was(values: list[str], said: str) -> None:
    """Parts of values, and values that differ only by country code and leading zero: as in the definition."""

    def alike(one: str) -> bool:
        if one == said:
            return True
        short, long = sorted((said.lstrip("0"), one.lstrip("0")), key=len)
        number = len(short) >= 7 and len(long) - len(short) <= 3 and long.endswith(short)
        return len(said) >= 7 and (said in one or number)

    assert (said in Known(frozenset(values))) == any(map(alike, values))
