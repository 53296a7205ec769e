"""A half of a character at the end of a piece of a text: its event waits for the next.

If the next event ends the text, the half is U+FFFD in the event that waited: the deltas join to the whole text, and no
event is added, because events are numbered. Else the half begins the next piece (see `surrogates.Halves`).
"""

from __future__ import annotations

import re
from typing import Final

from gateway.bodies import Json
from gateway.dialects import items, sse, surrogates
from gateway.dialects.responses_forms import ENDS, encode
from gateway.dialects.responses_tables import kind

_MAY_END: Final = re.compile(rb'(?:\\u[dD][89abAB][0-9a-fA-F]{2}|\xed[\xa0-\xaf][\x80-\xbf])"')


def ends_in_half(event: sse.SSE) -> bool:
    """Whether an event holds a piece of a text that ends with a first half. Raises ValueError, Refusal."""
    if not event.data or _MAY_END.search(event.data) is None:
        return False
    data = _read(event.data)
    delta = data.get("delta")
    return type(delta) is str and kind(data).endswith(".delta") and "\ud800" <= delta[-1:] <= "\udbff"


def before(waited: sse.SSE, event: sse.SSE) -> sse.SSE:
    """An event that has waited for the next one, as it is now read. Raises Refusal."""
    assert waited.data is not None, "it has a text"
    try:
        last, data = _read(waited.data), _read(event.data or b"{}")
    except ValueError:  # the reader of the stream says what is wrong
        return waited
    said = kind(data)
    if said not in ENDS and not (said.endswith(".done") and data.get("output_index") == last.get("output_index")):
        return waited
    raw = encode(surrogates.mend(last))
    return sse.SSE(raw, waited.event, next(sse.datas(raw)))


def _read(data: bytes) -> Json:
    items.check_event(data, "an event")
    said, _ = surrogates.with_halves(data)
    return said if type(said) is dict else {}
