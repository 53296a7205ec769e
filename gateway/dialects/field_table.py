"""Tables of the fields of a dialect, and the unknown fields of a request.

Policies see unknown fields by name. Unknown fields pass, unless a provider or a policy is strict: then they are
removed, or the call is refused with the name of the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gateway.bodies import Json

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Table(NamedTuple):
    """The keys of an object, each with the table of its value; None: any content, which belongs to the caller.

    The table of a plain value, or of a list of plain values, has no keys.
    """

    keys: Mapping[str, Table | None]

    def unknown(self, body: Json) -> list[str]:
        """Top-level fields that the table does not have, sorted; `?` replaces keys that are not names."""
        if body.keys() <= self.keys.keys():
            return []
        return sorted({_shown(key) for key in body.keys() - self.keys.keys()})

    def foreign(self, body: Json) -> list[str]:
        """All fields that the table does not have, as paths such as `messages[].x`, without duplicates, in order."""
        return list(dict.fromkeys(path for _, _, path in _foreign(body, self, "")))

    def drop_foreign(self, body: Json) -> bool:
        """Remove these fields; True if there were any."""
        found = [(holder, key) for holder, key, _ in _foreign(body, self, "")]
        for holder, key in found:
            del holder[key]
        return bool(found)


_PLAIN: Final = Table({})


def table(names: str = "", **below: Table | None) -> Table:
    """A table of names of plain values, and of names with a nested table."""
    return Table({**dict.fromkeys(names.split(), _PLAIN), **below})


def _foreign(value: Any, table: Table, path: str) -> Iterator[tuple[Json, str, str]]:
    if type(value) is list:
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                yield from _foreign(inner, table, f"{path}[]")
    elif type(value) is dict:
        for key, inner in value.items():
            at = f"{path}.{_shown(key)}" if path else _shown(key)
            if key not in table.keys:
                yield value, key, at
            elif (below := table.keys[key]) is not None:
                yield from _foreign(inner, below, at)


def _shown(key: str) -> str:
    return key if _NAME.fullmatch(key) else "?"
