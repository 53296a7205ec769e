"""Which definitions of a rule can hold at all: those that want another constant at a path of the input are not asked.

As in OPA, definitions are found by `input.subject.team == "x"` in a body, or `input.action.model in {"a", "b"}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.resolver import ROOTS

LEAST = 4
"""Definitions with a constant at one path, below which all are asked one by one."""
Path = tuple[str, ...]


def wanted(rule: ast.Rule) -> dict[Path, frozenset[str]]:
    """What a definition wants at paths of the input: it cannot hold with another text there, or with none."""
    if rule.otherwise is not None or rule.default:
        return {}
    found: dict[Path, frozenset[str]] = {}
    for literal in rule.body:
        what = literal.what
        if literal.withs:
            continue
        if isinstance(what, ast.Unify):
            _equal(what.left, what.right, found)
        elif isinstance(what, ast.Expr) and isinstance(what.term, ast.Call) and len(what.term.args) == 2:
            left, right = what.term.args
            if what.term.path == ("equal",):
                _equal(left, right, found)
            elif what.term.path == ("internal", "member_2") and isinstance(right, ast.SetOf | ast.Array):
                path, texts = _path(left), [_text(item) for item in right.items]
                if path is not None and None not in texts:
                    found.setdefault(path, frozenset(text for text in texts if text is not None))
    return found


def best(rules: Sequence[ast.Rule]) -> tuple[Path, list[frozenset[str] | None]] | None:
    """The path that most definitions want a constant at, and what each wants there; None where no index helps."""
    all_wanted = [wanted(rule) for rule in rules]
    counts = Counter(path for one in all_wanted for path in one)
    if not counts:
        return None
    (path, count), *_ = counts.most_common(1)
    if count < LEAST:
        return None
    return path, [one.get(path) for one in all_wanted]


def _equal(left: ast.Term, right: ast.Term, found: dict[Path, frozenset[str]]) -> None:
    for one, other in ((left, right), (right, left)):
        path, text = _path(one), _text(other)
        if path is not None and text is not None:
            found.setdefault(path, frozenset({text}))


def _path(term: ast.Term) -> Path | None:
    if not isinstance(term, ast.Ref) or not isinstance(term.head, ast.Var) or term.head.name != "input":
        return None
    path = ast.path_of(term)
    return path if path is not None and len(path) > 1 and path[0] in ROOTS else None


def _text(term: ast.Term) -> str | None:
    return term.value if isinstance(term, ast.Scalar) and isinstance(term.value, str) else None
