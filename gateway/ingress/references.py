"""Reads what a call wants of a state that a provider stores: `GET /v1/responses/{id}/input_items?limit=20`.

Or of a list of such states: `GET /v1/files?limit=20&after=file-1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from gateway.bodies import Cursor, Page
from gateway.call import Reference
from gateway.dialects.listed import Paging
from gateway.dialects.responses_items import ID
from gateway.errors import Refusal

_VALUE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,256}")
_PAGE: Final = frozenset({"limit", "order", "after", "before", "include", "include[]"})
_INCLUDE: Final = frozenset({"include", "include[]"})
_NAMES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("GET", ""): _INCLUDE | {"stream"},
    ("GET", "/input_items"): _PAGE,
    ("GET", "/items"): _PAGE,
    ("POST", "/items"): _INCLUDE,
    ("GET", "/items/{item}"): _INCLUDE,
    ("GET", "/files"): _PAGE | {"filter"},
    ("GET", "/file_batches/{batch}/files"): _PAGE | {"filter"},
}
_INSIDE: Final = re.compile(r"\{(\w+)\}")
_IGNORED: Final = frozenset({"api-version", "beta"})  # of Azure's and Anthropic's clients
_DIGITS: Final = re.compile(r"[0-9]{1,5}")
_CURSOR: Final = re.compile(r"[A-Za-z0-9_.:-]{1,2048}")


def read(kind: str, values: Mapping[str, str], method: str, below: str, query: bytes) -> Reference:
    """The reference in a path and its query. Raises Refusal(invalid_request).

    `kind`: what the path is about: "response". `values`: the parameters of the path. `below`: its template below the
    id.
    """
    for name, value in values.items():
        if not ID.fullmatch(value):
            what = kind if name == "id" else name
            words = f"There is no {what.replace('_', ' ')} with this id."
            raise Refusal("invalid_request", words, param=f"{what}_id", status=404)
    reads = method == "POST" and not below.endswith("/cancel")
    pairs = _pairs(query, _NAMES.get((method, below), frozenset()), _VALUE)
    for name, value in pairs:
        if name == "stream" and value != "false":
            raise Refusal("invalid_request", "Stored state is not streamed: leave `stream` out.", param="stream")
    path = _INSIDE.sub(lambda found: values[found[1]], below)
    return Reference(values["id"], method, path, urlencode([pair for pair in pairs if pair[0] != "stream"]), reads)


def page(paging: Paging, query: bytes) -> Page:
    """The page of a list that a query asks for. Raises Refusal(invalid_request)."""
    pairs = _pairs(query, paging.chosen.union(paging.cursors, (paging.limit, paging.back or paging.limit)), _CURSOR)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Refusal("invalid_request", "The query of the path says a parameter twice.")
    limit = fields.pop(paging.limit, str(paging.usual))
    if not _DIGITS.fullmatch(limit) or not 0 < int(limit) <= paging.most:
        words = f"`{paging.limit}` must be a number from 1 to {paging.most}."
        raise Refusal("invalid_request", words, param=paging.limit)
    cursors = [Cursor(name, fields.pop(name)) for name in (*paging.cursors, paging.back) if name in fields]
    until = ""
    if len(cursors) == 2 and cursors[1].name == paging.back:  # the SDKs send both after a page that was asked for so
        until = cursors.pop().value
    if len(cursors) > 1:
        words = f"Give one of {' and '.join(one.name for one in cursors)}."
        raise Refusal("invalid_request", words, param=cursors[1].name)
    return Page(int(limit), cursors[0] if cursors else Cursor(), tuple(fields.items()), until)


def _pairs(query: bytes, names: frozenset[str], form: re.Pattern[str]) -> list[tuple[str, str]]:
    """The fields of a query. Raises Refusal(invalid_request) for others than `names`, or of another form."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=32)
    except ValueError:
        raise Refusal("invalid_request", "The query of the path is not valid.") from None
    pairs = [pair for pair in pairs if pair[0] not in _IGNORED]
    for name, value in pairs:
        if name not in names or not form.fullmatch(value):
            known = ", ".join(sorted(names)) or "none"
            raise Refusal("invalid_request", f"The path takes other parameters in its query: {known}.")
    return pairs
