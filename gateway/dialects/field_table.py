"""Tables of the fields that a dialect has, and what of a request they do not have.

What is not in the table is told to policies by name. It passes, unless a provider or a policy is strict: then it is
taken out, or the call refused by the name of the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gateway.call import Json

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Table(NamedTuple):
    """The keys of an object, each with those of what lies below; None: the caller's own, whatever it is."""

    keys: Mapping[str, Table | None]

    def unknown(self, body: Json) -> list[str]:
        """Fields at the top that the table does not have, sorted; `?` stands for what is no name."""
        if body.keys() <= self.keys.keys():
            return []
        return sorted({_shown(key) for key in body.keys() - self.keys.keys()})

    def foreign(self, body: Json) -> list[str]:
        """Every field that the table does not have, as a path such as `messages[].x`; each once, in order."""
        return list(dict.fromkeys(path for _, _, path in _foreign(body, self, "")))

    def drop_foreign(self, body: Json) -> bool:
        """Take those fields out; True if there were any."""
        found = [(holder, key) for holder, key, _ in _foreign(body, self, "")]
        for holder, key in found:
            del holder[key]
        return bool(found)


def table(names: str, **below: Table | None) -> Table:
    """A table of names, and of names with a table of their own."""
    return Table({**dict.fromkeys(names.split()), **below})


def _foreign(value: Any, table: Table, path: str) -> Iterator[tuple[Json, str, str]]:
    if type(value) is list:
        for inner in value:
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
