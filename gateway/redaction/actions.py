"""The action for each type of personal data: by configuration, caller, providers and policy.

Config keys: `pii.default`, `pii.entities`, `pii.rules`, `pii.secrets`. The first rule that matches decides. If a call
may go to several providers (failover), or a policy has an obligation, the strictest action applies for each type.
Strictest first: block, redact, hash, partial, mask, allow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase

from gateway.call import Call, Subject
from gateway.config.sections import Action, Pii, PiiMatch, PiiRule
from gateway.config.tools import ToolRedact
from gateway.detect.secrets.own import ENTITY as OWN
from gateway.detect.secrets.scanner import TYPES as SECRET_TYPES

ORDER: tuple[Action, ...] = ("allow", "mask", "partial", "hash", "redact", "block")
"""The actions, from least strict to strictest."""
_RANK: Mapping[str, int] = {action: rank for rank, action in enumerate(ORDER)}
_REMEMBERED = 4096


class Actions:
    """The action for each entity type. Immutable."""

    __slots__ = ("default", "entities")

    def __init__(self, default: Action, entities: Mapping[str, Action]) -> None:
        self.default: Action = default
        self.entities = entities

    def of(self, entity: str) -> Action:
        """The action for one entity type."""
        return self.entities.get(entity, self.default)

    def allows(self, entity: str) -> bool:
        """Whether values of this type may leave unchanged."""
        return self.entities.get(entity, self.default) == "allow"

    def tightened(self, demands: Mapping[str, Action]) -> Actions:
        """These actions, made stricter for the entity types of a policy's obligation."""
        stricter = {entity: _strictest([self.of(entity), action]) for entity, action in demands.items()}
        return Actions(self.default, {**self.entities, **stricter})


def together(several: Sequence[Actions]) -> Actions:
    """The strictest of several actions for each entity type."""
    if len(several) == 1:
        return several[0]
    entities = {entity for one in several for entity in one.entities}
    return Actions(
        _strictest([one.default for one in several]),
        {entity: _strictest([one.of(entity) for one in several]) for entity in entities},
    )


def _strictest(actions: Sequence[Action]) -> Action:
    return max(actions, key=_RANK.__getitem__)


class Rules:
    """The rules of `pii.rules`, compiled. They determine the actions for a call."""

    def __init__(
        self, config: Pii, canonical: Callable[[str], str], tools: Mapping[str, ToolRedact] | None = None
    ) -> None:
        self._secrets: dict[str, Action] = dict.fromkeys(SECRET_TYPES, config.secrets)
        # Permanently: the gateway's own secrets are never restored for a caller.
        self._secrets[OWN] = "block" if config.secrets == "block" else "redact"
        self.base = Actions(config.default, self._with(_named(config.entities, canonical)))
        self._rules = [(rule.match, self._actions(rule, canonical)) for rule in config.rules]
        self._known: dict[Hashable, Actions] = {}
        self._tools = {
            server: Actions(row.default, self._with(_named(row.entities, canonical)))
            for server, row in (tools or {}).items()
        }

    def of(self, call: Call) -> Actions:
        """The actions for this call, the strictest over all providers that may receive the call."""
        if self._tools and call.resource.kind == "tool":
            own = self._tools.get(call.resource.name.partition("/")[0])
            if own is not None:
                return own
        if not self._rules:
            return self.base
        subject, model = call.subject, call.authorization.served_as or call.resource.name
        assert subject is not None, "redaction comes after identify"
        providers = frozenset([target.provider for target in call.admission.targets])
        key = (subject.agent, subject.team, subject.roles, model, providers)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = together([self._first(subject, model, provider) for provider in providers or ("",)])
            self._known[key] = known
        return known

    def _actions(self, rule: PiiRule, canonical: Callable[[str], str]) -> Actions:
        entities = _named(rule.entities, canonical)
        if rule.default is not None:
            return Actions(rule.default, self._with(entities))
        return Actions(self.base.default, self._with({**self.base.entities, **entities}))

    def _with(self, entities: Mapping[str, Action]) -> dict[str, Action]:
        return {**self._secrets, **entities, OWN: self._secrets[OWN]}

    def _first(self, subject: Subject, model: str, provider: str) -> Actions:
        for match, actions in self._rules:
            if _matches(match, subject, model, provider):
                return actions
        return self.base


def _matches(match: PiiMatch, subject: Subject, model: str, provider: str) -> bool:
    return (
        fnmatchcase(subject.agent, match.agent)
        and fnmatchcase(subject.team, match.team)
        and fnmatchcase(model, match.model)
        and fnmatchcase(provider, match.provider)
        and (match.role == "*" or any(fnmatchcase(role, match.role) for role in subject.roles))
    )


def _named(entities: Mapping[str, Action], canonical: Callable[[str], str]) -> dict[str, Action]:
    return {canonical(name): action for name, action in entities.items()}
