"""What a LiteLLM file says beside its models: fallbacks, aliases, timeouts, rates of models.

A fallback is a further rank of targets, tried after those of the model; it is not a further call. Fallbacks for other
reasons (context windows, content policies) and everything else without a counterpart are named in warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_ROUTED: Final = frozenset({"fallbacks", "default_fallbacks", "model_group_alias", "timeout"})
_LITELLM: Final = frozenset({"fallbacks", "default_fallbacks", "request_timeout"})
SECTIONS: Final[Mapping[str, frozenset[str]]] = {"router_settings": _ROUTED, "litellm_settings": _LITELLM}
"""The keys of each section that are taken over."""


def fallbacks(section: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(model, fallback) in their order. `names`: the models, each of which has the default fallbacks."""
    said = section.get("fallbacks")
    for one in said if isinstance(said, list) else ():
        for name, others in one.items() if isinstance(one, dict) else ():
            yield from ((str(name), str(other)) for other in (others if isinstance(others, list) else ()))
    defaults = section.get("default_fallbacks")
    for other in defaults if isinstance(defaults, list) else ():
        yield from ((name, str(other)) for name in names if name != other)


def rates(facts: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(unit, number in a minute) of the rates of one entry; a number that is none is left out."""
    for key, unit in (("rpm", "requests"), ("tpm", "tokens")):
        if number := number_of(facts.get(key)):
            yield unit, int(number)


def number_of(value: Any) -> float:
    """A number above 0, which the file may have as a string; 0 for any other value."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0
    return number if 0 < number < 1e12 else 0.0
