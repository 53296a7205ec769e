"""Texts or token ids of embeddings and completions: one text, a list of texts, one list of token ids or a list of such.

Token ids are numbers that no scanner reads, so each list of them counts as an unscannable part of kind `tokens`.
"""

from __future__ import annotations

from typing import Any, Final

_TOKEN: Final = 1_000_000  # no vocabulary is larger, and no smaller number is personal data
WANTED: Final = (
    f"must be a string, a list of strings, a list of token ids from 0 to {_TOKEN - 1} or a list of such lists, and not "
    "empty"
)
"""What a field must be, after its name."""


def are_inputs(said: Any) -> bool:
    """Whether a value has one of these forms: texts or token ids, and only one kind of them."""
    if type(said) is not list or not said:
        return type(said) is str
    return set(map(type, said)) == {str} or _are_tokens(said) or all(map(_are_tokens, said))


def _are_tokens(values: Any) -> bool:
    """Whether a value is a list of token ids."""
    return type(values) is list and set(map(type, values)) == {int} and min(values) >= 0 and max(values) < _TOKEN


def token_lists(said: Any) -> list[list[int]]:
    """The lists of token ids of a checked value."""
    if type(said) is str or type(said[0]) is str:
        return []
    return [said] if type(said[0]) is int else said


def number(said: Any) -> int:
    """The number of inputs of a checked value."""
    return 1 if type(said) is str or type(said[0]) is int else len(said)
