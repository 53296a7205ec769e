"""The functions that generated code calls: looking into values, iterating, merging, and the budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from gateway.policy.engines.rego.errors import CONFLICT, BuiltinError, EvaluationError, Location
from gateway.policy.engines.rego.meter import Meter, spend
from gateway.policy.engines.rego.tree import FUNCTION, Node
from gateway.policy.engines.rego.values import UNDEFINED, Key, Value, equal, key, keys_of, unkey

MISSING: Final = object()
"""In the place of a rule's value that was not asked for yet."""
ONCE: Final = (None,)
SIZED: Final = frozenset({str, list, dict, set})
LOOKED, MADE = 999, 99
"""Sizes of what a builtin is given and of what it makes, up to which neither counts."""
COPIED = 5
"""Items that are copied in one step, as a power of two."""
Path = tuple[str, ...]


class Env:
    """The state of an evaluation: input, data, the values of rules so far, and what `with` replaced."""

    __slots__ = (
        *("cache", "data", "input", "meter", "mocks", "now_ns", "patches", "program", "read", "strict"),
        *("values", "whole"),
    )

    def __init__(
        self, program: Any, input_: Value, data: dict[str, Value], meter: Meter, now_ns: int, strict: bool
    ) -> None:
        self.read: set[Path] = set()
        """The paths of the input that were read so far, also within `with`; ("input",) is all of it."""
        self.whole = not strict
        """Whether it sees what every evaluation of the program sees, the input apart."""
        self.program = program
        self.input = input_
        self.data = data
        self.meter = meter
        self.now_ns = now_ns
        self.strict = strict
        self.values: list[Any] = (program.blank if strict else program.template).copy()
        self.cache: dict[Any, Any] = {}
        self.patches: tuple[Path, ...] = ()
        self.mocks: Mapping[Path, Any] = {}

    def tick(self, steps: int = 1) -> None:
        """Use up a part of the budget. Raises TooLong."""
        meter = self.meter
        meter.left -= steps
        if meter.left < 0:
            meter.spent()

    def looks(self, *given: Value) -> None:
        """Count what a builtin looks through. Raises TooLong."""
        for value in given:
            if type(value) in SIZED and len(value) > LOOKED:
                self.meter.take(len(value) >> 10 if type(value) is str else len(value) >> 3)

    def makes(self, value: Value) -> None:
        """Count what a builtin made. Raises TooLong."""
        size = len(value)
        self.meter.take(size >> 10 if type(value) is str else size >> 3)
        self.meter.makes(size if type(value) is str else 64 * size)

    def seconds(self) -> float:
        """Until the time of the evaluation is over."""
        return self.meter.deadline - time.monotonic()

    def child(self) -> Env:
        """A copy to replace something in; the values of rules are asked for anew."""
        self.tick(4 + (len(self.values) >> COPIED))
        made: Env = object.__new__(Env)
        for name in ("program", "input", "read", "data", "meter", "now_ns", "strict", "cache", "patches", "mocks"):
            setattr(made, name, getattr(self, name))
        made.whole = False
        made.values = [MISSING] * len(self.values) if self.patches else self.program.blank.copy()
        return made


def with_input(env: Env, path: Path, value: Value) -> None:
    """`with input.a.b as value`, in a copy that `child` made."""
    env.input = _placed(env.input, path[1:], value)


def with_data(env: Env, path: Path, value: Value) -> None:
    """`with data.a.b as value`."""
    env.data = _placed(env.data, path[1:], value)
    env.patches = (*env.patches, path)
    env.tick(len(env.values) >> COPIED)
    env.values = [MISSING] * len(env.values)


def with_function(env: Env, path: Path, replacement: Any) -> None:
    """`with f as g`, or as a value."""
    env.mocks = {**env.mocks, path: replacement}


def _placed(whole: Value, path: Path, value: Value) -> Value:
    if not path:
        return value
    inner = whole.get(path[0], UNDEFINED) if type(whole) is dict else UNDEFINED
    made = {}
    if type(whole) is dict:
        spend(len(whole) >> COPIED)
        made = dict(whole)
    made[path[0]] = _placed(inner, path[1:], value)
    return made


def lookup(whole: Value, at: Value) -> Value:
    """`whole[at]`, or UNDEFINED."""
    kind = type(whole)
    if kind is dict:
        return whole.get(at if type(at) is str else key(at), UNDEFINED)
    if kind is list:
        if type(at) is float and at.is_integer():
            at = int(at)
        if type(at) is int and 0 <= at < len(whole):
            return whole[at]
        return UNDEFINED
    if kind is set:
        return at if key(at) in whole else UNDEFINED
    return UNDEFINED


def plain(value: Value) -> Any:
    """The key form of a scalar, by which an index finds; UNDEFINED for anything else."""
    return UNDEFINED if type(value) in SIZED or value is UNDEFINED else key(value)


def stored(whole: Value, at: Value) -> Value:
    """`whole[at]` in data, where the name of a member may be given as a number."""
    found = lookup(whole, at)
    if found is UNDEFINED and type(whole) is dict and type(at) is int:
        return whole.get(str(at), UNDEFINED)
    return found


def values(env: Env, whole: Value) -> Iterable[Value]:
    """What `whole[_]` may be, in any order."""
    kind = type(whole)
    if not whole:
        return ()
    if kind is list or kind is dict or kind is set:
        meter = env.meter
        meter.left -= len(whole)
        if meter.left < 0:
            meter.spent()
        if kind is list:
            return whole  # type: ignore[no-any-return]
        if kind is dict:
            return whole.values()  # type: ignore[no-any-return]
        return [form.value if type(form) is Key else form for form in whole]
    return ()


def items(env: Env, whole: Value) -> Iterable[tuple[Value, Value]]:
    """Each `k` and `whole[k]`, in any order."""
    kind = type(whole)
    if kind is list or kind is dict or kind is set:
        meter = env.meter
        meter.left -= len(whole)
        if meter.left < 0:
            meter.spent()
        if kind is list:
            return enumerate(whole)
        if kind is dict:
            return [(form.value if type(form) is Key else form, item) for form, item in whole.items()]
        return [(item, item) for item in map(unkey, whole)]
    return ()


def values_in_order(env: Env, whole: Value) -> Iterable[Value]:
    """What `whole[_]` may be, in OPA's order."""
    kind = type(whole)
    if kind is list:
        return values(env, whole)
    env.tick(4 * len(whole) if kind is dict or kind is set else 0)
    if kind is dict:
        return [whole[form] for form in keys_of(whole)]
    if kind is set:
        return [unkey(form) for form in keys_of(whole)]
    return ()


def items_in_order(env: Env, whole: Value) -> Iterable[tuple[Value, Value]]:
    """Each `k` and `whole[k]`, in OPA's order."""
    kind = type(whole)
    if kind is list:
        return items(env, whole)
    env.tick(4 * len(whole) if kind is dict or kind is set else 0)
    if kind is dict:
        return [(unkey(form), whole[form]) for form in keys_of(whole)]
    if kind is set:
        return [(unkey(form), unkey(form)) for form in keys_of(whole)]
    return ()


# Packages: what stands below a node is made when it is asked for.


def fetch(env: Env, slot: int, path: Path) -> Value:
    """What stands at a path of input or data; kept for the rest of the evaluation."""
    if path[0] == "input":
        env.read.add(path)
        value: Value = env.input
    else:
        value = env.data
    for name in path[1:]:
        value = value.get(name, UNDEFINED) if type(value) is dict else lookup(value, name)
        if value is UNDEFINED:
            break
    env.values[slot] = value
    return value


def called(env: Env, functions: Iterable[Callable[[Env], Value]]) -> list[Value]:
    """What several rules come to, without those that are undefined."""
    return [value for function in functions if (value := function(env)) is not UNDEFINED]


def below(env: Env, node: Node, name: str) -> list[Value]:
    """What has a name in all that stands below a package."""
    found = [force(env, node_lookup(env, one, name)) for _, one in node_items(env, node)]
    return [value for value in found if value is not UNDEFINED]


def base(env: Env, path: Path) -> Value:
    """What of the data stands at a path, rules apart."""
    value: Value = env.data
    for name in path[1:]:
        if type(value) is not dict:
            return UNDEFINED
        value = value.get(name, UNDEFINED)
    return value


def patched(env: Env, path: Path) -> Value:
    """What `with` put in the place of a rule or a package, or MISSING."""
    for patch in env.patches:
        if path[: len(patch)] == patch:
            return base(env, path)
    return MISSING


def at_node(env: Env, node: Node) -> Value:
    """A rule's value, or the package itself, to be looked into further."""
    if env.patches:
        found = patched(env, node.path)
        if found is not MISSING:
            return found
    if node.kind == FUNCTION:
        return UNDEFINED
    if node.rules:
        return env.program.functions[node.number](env)
    return node


def node_lookup(env: Env, whole: Value, at: Value) -> Value:
    """`lookup`, where the whole may be a package."""
    if type(whole) is not Node:
        return lookup(whole, at)
    child = whole.children.get(at) if type(at) is str else None
    if child is not None:
        return at_node(env, child)
    found = base(env, whole.path)
    return UNDEFINED if found is UNDEFINED else stored(found, at)


def node_items(env: Env, whole: Value) -> Iterable[tuple[Value, Value]]:
    """`items`, where the whole may be a package: undefined rules are left out."""
    if type(whole) is not Node:
        return items_in_order(env, whole)
    found = []
    under = base(env, whole.path)
    names = {name for name in whole.children if name[0] != "$"}
    if type(under) is dict:
        names |= {name for name in under if type(name) is str}
        found = [(unkey(form), under[form]) for form in under if type(form) is not str]
    env.tick(len(names))
    for name in sorted(names):
        value = node_lookup(env, whole, name)
        if value is not UNDEFINED:
            found.append((name, value))
    return found


def force(env: Env, whole: Value) -> Value:
    """The document of a package."""
    if type(whole) is not Node:
        return whole
    made = {}
    for name, value in node_items(env, whole):
        forced = force(env, value)
        if forced is not UNDEFINED:
            made[key(name)] = forced
    return made


# Results


Definition = tuple[tuple[Callable[..., Value], ...], Location]
"""The functions of a definition and of its `else` parts, and where it begins."""


def conflict(
    name: str, at: Location, *, function: bool, definitions: Iterable[Definition] = (), given: tuple[Any, ...] = ()
) -> EvaluationError:
    """The error for two different values. Names the definitions that have one; a value may be secret."""
    places = [place for parts, place in definitions if _holds(parts, given)] or [at]
    listed = "".join(f"\n  at {place}" for place in places)
    if function:
        words = f"function {name} produced conflicting values for the same inputs:{listed}"
    else:
        words = f"rule {name} produced conflicting values:{listed}"
    return EvaluationError(CONFLICT, words, at)


def _holds(parts: Iterable[Callable[..., Value]], given: tuple[Any, ...]) -> bool:
    try:
        return any(function(*given) is not UNDEFINED for function in parts)
    except EvaluationError:
        return False


def put(whole: dict[Any, Value], keys: list[Value], value: Value, at: Location) -> None:
    """Enter a value into the object that rules make. Raises EvaluationError where another one is there."""
    for name in keys[:-1]:
        inner = whole.setdefault(key(name), Made())
        if type(inner) is not Made:
            raise EvaluationError(CONFLICT, "object keys must be unique", at)
        whole = inner
    last = key(keys[-1])
    if last in whole:
        found = whole[last]
        if type(found) is Made or not equal(found, value):
            raise EvaluationError(CONFLICT, "object keys must be unique", at)
        return
    whole[last] = value


def put_in_set(whole: dict[Any, Value], keys: list[Value], value: Value, at: Location) -> None:
    """Enter a member into a set within the object that rules make."""
    for name in keys[:-1]:
        whole = whole.setdefault(key(name), Made())
        if type(whole) is not Made:
            raise EvaluationError(CONFLICT, "object keys must be unique", at)
    found = whole.setdefault(key(keys[-1]), MadeSet())
    if type(found) is not MadeSet:
        raise EvaluationError(CONFLICT, "object keys must be unique", at)
    found.add(key(value))


class Made(dict[Any, Any]):
    """An object in the making; a value that a rule gave is a plain dict."""


class MadeSet(set[Any]):
    """A set in the making."""


def settled(whole: Value) -> Value:
    """What was made, as a plain value."""
    if type(whole) is Made:
        return {name: settled(value) for name, value in whole.items()}
    if type(whole) is MadeSet:
        return set(whole)
    return whole


def put_pair(whole: dict[Any, Value], name: Value, value: Value, at: Location) -> None:
    """Enter a pair into an object comprehension."""
    form = key(name)
    if form in whole and not equal(whole[form], value):
        raise EvaluationError(CONFLICT, "object keys must be unique", at)
    whole[form] = value


def fault(env: Env, error: BuiltinError, at: Location) -> None:
    """A builtin failed: the expression is undefined, or an error in strict mode."""
    if env.strict:
        raise EvaluationError(error.code, error.message, at) from None


def one_of(found: set[Any], at: Location) -> Value:
    """The one value of an expression in a template string."""
    if len(found) > 1:
        raise EvaluationError(CONFLICT, "template-strings must not produce multiple outputs", at)
    return found


def mocked(env: Env, path: Path, usual: Callable[..., Value], *args: Value) -> Value:
    """A call of a function that some `with` replaces; `usual` is what it is otherwise."""
    replacement = env.mocks.get(path, MISSING)
    if replacement is MISSING:
        return usual(*args)
    if callable(replacement):
        inner = env.child()  # the replacement calls what is replaced, and is no other's replacement
        inner.mocks = {}
        return replacement(inner, *args)
    return replacement
