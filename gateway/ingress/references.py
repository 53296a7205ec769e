"""Reads what a call wants of a state that a provider stores: `GET /v1/responses/{id}/input_items?limit=20`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from gateway.call import Reference
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
}
_VERSION: Final = "api-version"  # of Azure's clients


def read(kind: str, values: Mapping[str, str], method: str, below: str, query: bytes) -> Reference:
    """The reference in a path and its query. Raises Refusal(invalid_request).

    `kind`: what the path is about: "response". `values`: the parameters of the path. `below`: its template below the
    id.
    """
    for name, value in values.items():
        if not ID.fullmatch(value):
            what = kind if name == "id" else name
            words = f"There is no {what} with this id."
            raise Refusal("invalid_request", words, param=f"{what}_id", status=404)
    reads = method == "POST" and not below.endswith("/cancel")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=32)
    except ValueError:
        raise Refusal("invalid_request", "The query of the path is not valid.") from None
    pairs = [pair for pair in pairs if pair[0] != _VERSION]
    names = _NAMES.get((method, below), frozenset())
    for name, value in pairs:
        if name not in names or not _VALUE.fullmatch(value):
            known = ", ".join(sorted(names)) or "none"
            raise Refusal("invalid_request", f"The path takes other parameters in its query: {known}.")
        if name == "stream" and value != "false":
            raise Refusal("invalid_request", "A stored response is not streamed: leave `stream` out.", param="stream")
    path = below.replace("{item}", values.get("item", ""))
    return Reference(values["id"], method, path, urlencode([pair for pair in pairs if pair[0] != "stream"]), reads)
