"""Names that refer to nothing: roles unknown to the policy data, patterns that match no name, model patterns hidden by
an earlier one, and in the policy data, types of personal data that are none. Pure.

They are not errors: tokens may bring agents, and the code of a policy may know further roles. Most are typing errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from gateway.config.grammar import Config
from gateway.config.messages import suggest
from gateway.upstream.wildcards import Pattern

_ANY: Final = "gpt-4o"  # text in place of a `*`, such as any model has


def doubts(config: Config, roles: Sequence[str] | None) -> Iterator[str]:
    """A warning for each such name. `roles`: the roles in the policy data; None if the data has no table of roles."""
    for name, agent in config.agents.items():
        for role in agent.roles:
            if doubt := of_role(role, roles):
                yield f"agents.{name}.roles: {doubt}"
    yield from _hidden(config)
    known = _names(config, roles)
    for path, match in _matches(config):
        for field, names in known.items():
            pattern = getattr(match, field, "*")
            if names and pattern != "*" and not _fits(pattern, names):
                yield f"{path}.match.{field}: no {field} here matches {pattern!r}{suggest(pattern, sorted(names))}"


def of_role(role: str, roles: Sequence[str] | None) -> str:
    """The warning for a role that the policy data does not have, with a suggestion; "" without one. See `doubts`."""
    if roles is None or role in roles:
        return ""
    return f"the policy data has no role {role!r}{suggest(role, roles)}"


def of_types(data: Mapping[str, object], known: Collection[str], canonical: Callable[[str], str]) -> Iterator[str]:
    """A warning for each key of `residency` in policy data that no finding has: such a rule has no effect.

    `known`: the types of findings. `canonical`: the name of a type by any of its names.
    """
    table = data.get("residency")
    for name in table if isinstance(table, dict) else ():
        if name != "*" and name not in known:
            named = canonical(name)
            words = f"policies know this type as {named}" if named in known else "is not a known entity"
            yield f"data.residency.{name}: {words}{'' if named in known else suggest(name, sorted(known))}"


def _hidden(config: Config) -> Iterator[str]:
    """Patterns of models that no call reaches: of those that fit a name, the first decides."""
    earlier: list[Pattern] = []
    for name, model in config.models.items():
        if "*" not in name:
            continue
        sample = name.replace("*", _ANY)
        if first := next((pattern.name for pattern in earlier if pattern.rest(sample) is not None), None):
            yield f"models.{name}: is never used, because {first!r} stands before it and fits the same names"
        earlier.append(Pattern(name, model))


def _matches(config: Config) -> Iterator[tuple[str, object]]:
    for index, limit in enumerate(config.limits):
        yield f"limits[{index}]", limit.match
    for index, rule in enumerate(config.pii.rules if config.pii else ()):
        yield f"pii.rules[{index}]", rule.match


def _names(config: Config, roles: Iterable[str] | None) -> dict[str, Collection[str]]:
    """The known names for each field of a match; empty for fields whose names may come from tokens or the store."""
    return {"model": config.models.keys(), "provider": config.providers.keys(), "role": list(roles or ())}


def _fits(pattern: str, names: Iterable[str]) -> bool:
    # The name of a model may be a pattern itself: then each may match the other.
    return any(fnmatchcase(name, pattern) or ("*" in name and fnmatchcase(pattern, name)) for name in names)
