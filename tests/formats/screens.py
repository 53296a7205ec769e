"""The judging of answers in tests of codecs: filters, cuts, and values that may not leave."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

import calls
from formats.wires import Whole, Wire
from gateway.call import Redaction
from gateway.config.sections import Output, Sql
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER, SPELLINGS, WRITTEN
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.output.exfiltration import Exfiltration
from gateway.output.screen import AnswerFilter, Screen
from gateway.output.sqlgate import SqlGate

RESTORE = {"<EMAIL_1>": "ann@example.org", "<PHONE_2>": 'say "hi" \\ 0', "<LITERAL_3>": "<EMAIL_1>"}
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
CARD = "4539 1488 0343 6467"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def scanner_of(pii: PiiScanner) -> StreamScanner:
    """A scanner of everything that answers are searched for."""
    return StreamScanner(pii, SecretScanner(), {PLACEHOLDER: WRITTEN}, weak={LIKE: SPELLINGS})


def judge(
    wire: Whole,
    scanner: StreamScanner,
    *,
    gates: bool = False,
    tools: Sequence[Any] = (),
    restores: bool = True,
    **output: Any,
) -> AnswerFilter:
    """The filter of one answer to a request that offers `tools`; `send`, by default.

    `restores`: the request held values, which are restored in the answer.
    """
    call = calls.call(wire.codec)
    if restores:
        call.redaction = Redaction(restore=dict(RESTORE), known=frozenset(RESTORE.values()))
    offered = [*tools] or ([dict(wire.offer)] if wire.offer else [])
    call.request.body = wire.request(("user", "hi"), **({"tools": offered} if offered else {}))
    both = (Exfiltration(), SqlGate(Sql(dialect="postgres"))) if gates else ()
    return Screen(Output.model_validate({"secrets": "redact", **output}), scanner, lambda _: False, both).filter(call)


def streamed(wire: Wire, made: AnswerFilter, events: list[bytes]) -> bytes:
    """What a client receives of a stream."""
    codec = wire.codec.stream(keep_usage=True)
    sent = [part for raw in events for chunk in codec.feed(raw) for part in made.feed(chunk, codec)]
    sent += [part for chunk in codec.rest() for part in made.feed(chunk, codec)]
    codec.close()
    sent += made.close(codec)
    return b"".join([*sent, codec.finish()])


def in_pieces(text: str, places: list[int]) -> list[str]:
    """A text cut at these places."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[low:high] for low, high in pairwise(marks)]
