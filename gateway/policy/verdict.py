"""Parses the result of a policy: `data.gateway.decision` -> `Decision`. If rules disagree, the higher class wins.

A deny holds unless the class of the allow is higher. The obligations of several rules are merged: the strictest
redaction, the lowest limit, and all tools, labels and approvals that any rule demands; of a route or an attribute, the
value of the rule with the highest class. A result that does not follow docs/policies.md is malformed and denies: a
misspelled key would be an obligation without effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.amounts import LABELS
from gateway.call import Decision, Deny, Json, Obligations
from gateway.detect.sql.read import KINDS
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.labels import A_LABEL, is_label
from gateway.redaction.actions import ORDER
from gateway.upstream.fields import FIELDS

CLASSES: Mapping[str, int] = {"safety": 100, "compliance": 90, "cost": 50, "performance": 10}
"""If rules disagree, the higher class wins."""
LONGEST = 30 * 86_400
"""Most seconds that a policy can have an answer kept."""
_HIGHEST = "safety"
_RESULT = frozenset({"allow", "deny", "obligations", "class"})
_DENY = frozenset({"code", "message", "class"})
_OBLIGATIONS = frozenset(
    {
        "redact",
        "require_approval",
        "limit",
        "route",
        "strip_tools",
        "labels",
        "attributes",
        "sql",
        "fields",
        "no_restore",
        "cache",
        "store",
    }
)
_SPEAKER = frozenset({"code", "class"})
# A code is a label of metrics: short, one of few, and without any value of the call.
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class RuleObligations(NamedTuple):
    """The obligations of one rule."""

    code: str
    cls: str
    wants: Obligations


class Reading(NamedTuple):
    """A parsed result: the denies (the first wins), the overruled denies, and the obligations of each rule."""

    allow: bool
    cls: str | None
    deny: tuple[Deny, ...]
    overruled: tuple[Deny, ...]
    obligations: tuple[RuleObligations, ...]

    @property
    def rule(self) -> str:
        """The rule that won: the code of a deny, `allow`, or `default` if no rule allowed the call."""
        return self.deny[0].code if self.deny else "allow" if self.allow else "default"


def read(result: Json, version: str) -> Decision:
    """The decision in the result of an engine. Raises PolicyUnavailable for a malformed result."""
    reading = readings(result)
    wants = merged(reading.obligations)
    if len(wants.labels) > LABELS:
        raise _malformed(f"obligations.labels has {len(wants.labels)} labels, and a workflow may have {LABELS}")
    return Decision(reading.allow and not reading.deny, reading.rule, version, reading.deny, wants)


def readings(result: Json) -> Reading:
    """The parsed result with all rules. Raises PolicyUnavailable for a malformed result."""
    _known(result, _RESULT, "the result")
    allow, cls = result.get("allow"), result.get("class")
    if not isinstance(allow, bool):
        raise _malformed("allow must be true or false")
    if cls is not None and (not isinstance(cls, str) or cls not in CLASSES):
        raise _malformed(f"class must be one of {', '.join(CLASSES)}")
    denies = sorted((_deny(item) for item in _list(result, "deny")), key=_rank)
    most = CLASSES[cls] if allow and cls is not None else 0
    standing = tuple(deny for deny in denies if CLASSES[deny.cls] >= most)
    overruled = tuple(deny for deny in denies if CLASSES[deny.cls] < most)
    return Reading(allow, cls, standing, overruled, _obligations(result.get("obligations", {})))


def merged(obligations: Sequence[RuleObligations]) -> Obligations:
    """Merge the obligations of several rules, given in the order of rank."""
    if len(obligations) == 1:
        return obligations[0].wants
    all_ = [obligation.wants for obligation in obligations]
    kinds = [set(wants.sql) for wants in all_ if wants.sql is not None]
    return Obligations(
        redact=_each(all_, "redact", lambda had, new: max(had, new, key=ORDER.index)),
        require_approval=_approvals(all_),
        limit=_each(all_, "limit", min),
        route=next((wants.route for wants in all_ if wants.route), None),
        strip_tools=_union(all_, "strip_tools"),
        labels=_union(all_, "labels"),
        attributes=_each(all_, "attributes", lambda had, _: had),
        sql=tuple(sorted(set.intersection(*kinds))) if kinds else None,
        fields=max((wants.fields for wants in all_ if wants.fields), key=FIELDS.index, default=None),
        no_restore=_union(all_, "no_restore"),
        cache=min((wants.cache for wants in all_ if wants.cache is not None), default=None),
        store=False if any(wants.store is False for wants in all_) else None,
    )


def _union(all_: Sequence[Obligations], key: str) -> tuple[str, ...]:
    return tuple(sorted({name for wants in all_ for name in getattr(wants, key)}))


def _each(all_: Sequence[Obligations], key: str, choose: Any) -> Mapping[str, Any]:
    """Merge mappings; `choose` decides between two values of one name."""
    found: dict[str, Any] = {}
    for wants in all_:
        for name, value in getattr(wants, key).items():
            found[name] = choose(found[name], value) if name in found else value
    return dict(sorted(found.items()))


def _approvals(all_: Sequence[Obligations]) -> Mapping[str, object] | None:
    """Merge the details of approvals: lists are joined, of other details the highest class counts."""
    wanted = [wants.require_approval for wants in all_ if wants.require_approval is not None]
    if not wanted:
        return None
    found: dict[str, object] = {}
    for particulars in wanted:
        for name, value in particulars.items():
            had = found.get(name)
            if isinstance(had, list) and isinstance(value, list):
                found[name] = had + [item for item in value if item not in had]
            else:
                found.setdefault(name, value)
    return found


def _rank(said: Deny | RuleObligations) -> tuple[int, str, str]:
    return -CLASSES[said.cls], said.code, said.message if isinstance(said, Deny) else ""


def _deny(item: object) -> Deny:
    if not isinstance(item, dict):
        raise _malformed("each deny must be an object with code, message and class")
    _known(item, _DENY, "a deny")
    message = item.get("message", "")
    code, cls = _speaker(item, "a deny", item.get("code"))
    if not isinstance(message, str):
        raise _malformed(f"the message of {code} must be a string")
    return Deny(code, message or "The call is not permitted", cls)


def _speaker(item: Mapping[str, Any], what: str, code: object) -> tuple[str, str]:
    """The code and class of a rule. `what` names the object in messages."""
    cls = item.get("class", _HIGHEST)
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise _malformed(f"the code of {what} must be 1 to 64 letters, digits and _ . : -")
    if not isinstance(cls, str) or cls not in CLASSES:
        raise _malformed(f"the class of {code} must be one of {', '.join(CLASSES)}")
    return code, cls


def _obligations(value: object) -> tuple[RuleObligations, ...]:
    """The obligations of each rule: one object, or a list of objects."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _malformed("obligations must be an object, or a set of objects, one for each rule")
    return tuple(sorted(map(_obligation, value), key=_rank))


def _obligation(item: Mapping[str, Any]) -> RuleObligations:
    _known(item, _OBLIGATIONS | _SPEAKER, "the obligations")
    code, cls = _speaker(item, "an obligation", item.get("code", "obligations"))
    route = item.get("route")
    if route is not None and (not isinstance(route, str) or not route):
        raise _malformed("obligations.route must be the name of a model")
    wants = Obligations(
        redact=_redact(item.get("redact", [])),
        require_approval=_approval(item.get("require_approval")),
        limit=_limit(item.get("limit", {})),
        route=route,
        strip_tools=_names(item, "strip_tools"),
        labels=_labels(item),
        attributes=_attributes(item.get("attributes", {})),
        sql=_kinds(item),
        fields=_fields(item.get("fields")),
        no_restore=_names(item, "no_restore"),
        cache=_cache(item.get("cache")),
        store=_store(item.get("store")),
    )
    return RuleObligations(code, cls, wants)


def _labels(value: Mapping[str, Any]) -> tuple[str, ...]:
    labels = tuple(dict.fromkeys(_names(value, "labels")))
    if not all(map(is_label, labels)):
        raise _malformed(f"obligations.labels must be labels: {A_LABEL}")
    return labels


def _kinds(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The kinds of SQL that the answer may contain; None if the policy does not say."""
    if value.get("sql") is None:
        return None
    kinds = _names(value, "sql")
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise _malformed(f"obligations.sql has the unknown kind {unknown[0]!r}; known: {', '.join(KINDS)}")
    return kinds


def _fields(value: object) -> str | None:
    """The rule for fields that the dialect does not know."""
    if value is None or (isinstance(value, str) and value in FIELDS):
        return value
    raise _malformed(f"obligations.fields must be one of {', '.join(FIELDS)}")


def _store(value: object) -> bool | None:
    """False if the provider must store nothing."""
    if value is None or value is False:
        return value
    raise _malformed("obligations.store must be false, or left out")


def _cache(value: object) -> float | None:
    """Seconds that the answer is kept; 0 for none."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST:
        return float(value)
    raise _malformed(f"obligations.cache must be seconds, from 0 to {LONGEST}")


def _redact(value: object) -> Mapping[str, str]:
    """A list of entity types, which are redacted, or a mapping of types to actions."""
    if isinstance(value, dict):
        if not all(isinstance(action, str) and action in ORDER for action in value.values()):
            raise _malformed(f"obligations.redact must map entity types to one of {', '.join(ORDER)}")
        return dict(sorted(value.items()))
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _malformed("obligations.redact must be a list of entity types, or map them to actions")
    return dict.fromkeys(sorted(value), "redact")


def _approval(value: object) -> Mapping[str, object] | None:
    """`true` or an object with details demands an approval; `false` and `null` do not."""
    if value is None or value is False:
        return None
    if value is True:
        return {}
    if not isinstance(value, dict):
        raise _malformed("obligations.require_approval must be true, false or an object")
    return value


def _limit(value: object) -> Mapping[str, int]:
    if not isinstance(value, dict) or not all(type(number) is int and number >= 0 for number in value.values()):
        raise _malformed("obligations.limit must map names to whole numbers, 0 or more")
    return value


def _attributes(value: object) -> Mapping[str, str]:
    """An empty text is refused: unrelated calls would share its bucket."""
    if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
        raise _malformed("obligations.attributes must map names to texts that are not empty")
    return value


def _names(holder: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = _list(holder, key)
    if not all(isinstance(name, str) for name in found):
        raise _malformed(f"obligations.{key} must be a list of names")
    return tuple(sorted(found))


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    found = holder.get(key, [])
    if not isinstance(found, list):
        raise _malformed(f"{key} must be a list or a set")
    return found


def _known(value: Mapping[str, object], keys: frozenset[str], what: str) -> None:
    """Refuse unknown keys: a misspelled key would be an obligation without effect."""
    for key in value.keys() - keys:
        raise _malformed(f"{what} has the unknown key {key!r}; known: {', '.join(sorted(keys))}")


def _malformed(what: str) -> PolicyUnavailable:
    return PolicyUnavailable(f"data.gateway.decision is malformed: {what}")
