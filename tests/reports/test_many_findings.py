"""Very many findings in one request: whatever walks all of them does so off the event loop, or in short steps."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway.call import Call, Finding, Redaction, Span, Subject
from gateway.config.sections import Pii
from gateway.detect.personal.placeholders import LIKE
from gateway.detect.personal.scanner import canonical
from gateway.output.exfiltration import Exfiltration
from gateway.output.screen import Screen
from gateway.redaction.known import Known
from gateway.redaction.redact import Redactor
from gateway.redaction.vault import Seal
from gateway.scheduling.lanes import SMALL

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
    made.spans = [Span({"content": text}, "content", text, "user", None) for text in texts]
    made.found = list(zip(made.spans, found, strict=True))
    return made


def addresses(many: int) -> tuple[str, list[Finding]]:
    """A text of so many addresses of ten characters, all different, and what is found in it."""
    text = "".join(f"10.{at // 65536:1d}.{at // 256 % 256:03d}.{at % 256:03d}"[:12].ljust(13) for at in range(many))
    return text, [Finding(13 * at, 13 * at + 12, "IP_ADDRESS", 1.0) for at in range(many)]


@pytest.mark.parametrize("shape", ["one text", "many texts", "alike"])
async def test_redaction_never_holds_the_loop(shape: str) -> None:
    """One long text, many short ones, and what looks like placeholders beside values."""
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
    stage = Redactor(Pii(), Numbers(), Seal(b"k" * 32), canonical)
    assert await Effort().of(stage.redact(call)) < MOST
    assert call.redaction.counts == {"IP_ADDRESS": MANY}
    sent = "".join(span.holder["content"] for span in call.spans)
    assert "10.0." not in sent
    assert "<IP_ADDRESS_1>" in sent
    back = {value: placeholder for placeholder, value in call.redaction.restore.items()}
    assert all(back[text[one.start : one.end]] in sent for one in found[:: MANY // 50])
    again = a_call([text], [found])  # numbers are the same
    await stage.redact(again)
    assert {one: call.redaction.restore[one] for one in again.redaction.restore} == again.redaction.restore


async def test_an_answer_is_prepared_off_the_loop() -> None:
    """What look-ups of values and placeholders need is made once; a look-up after that is short."""
    call = a_call([], [])
    values = {f"<PHONE_{at}>": f"+49 170 {at:07d}" for at in range(MANY)}
    call.redaction = Redaction(restore=values, known=frozenset(values.values()))
    made = Screen(None, None, lambda _: False).filter(call)  # type: ignore[arg-type]
    made.prepare()

    async def looks() -> None:
        assert made._restoration.plain.value("[phone 7]") == "+49 170 0000007"
        assert "0170 0000008" in made._known
        assert "0171 0000008" not in made._known
        assert not any(f"0171 {at:07d}" in made._known for at in range(20))

    assert await Effort().of(looks()) < MOST
    Exfiltration().text(call, "https://a.example/b https://a.example/c")
    assert len(call.redaction.longest or ()) == 256


DIGITS = st.text("0127", min_size=5, max_size=14)


@given(values=st.lists(DIGITS, max_size=6), said=DIGITS)
def test_a_number_is_known_as_it_was(values: list[str], said: str) -> None:
    """Part of a value, or another only in a country code and a leading zero: as the definition says it, one by one."""

    def alike(one: str) -> bool:
        if one == said:
            return True
        short, long = sorted((said.lstrip("0"), one.lstrip("0")), key=len)
        number = len(short) >= 7 and len(long) - len(short) <= 3 and long.endswith(short)
        return len(said) >= 7 and (said in one or number)

    assert (said in Known(frozenset(values))) == any(map(alike, values))
