"""Every pattern that the gateway compiles when it starts, and hostile texts made from a pattern itself.

Run as a program: prints the patterns as JSON. A process of its own records them, because patterns in closures and in
functions have no name, and because modules that are loaded already compile nothing.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any, Final, NamedTuple

import regex

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "gateway"
LONG: Final = 64
"""A repeat with a lower bound than this takes a constant time."""
_SEARCHES: Final = frozenset({"search", "finditer", "findall", "sub", "subn", "split", "scanner"})
_ANCHORED: Final = frozenset({"match", "fullmatch"})
_SAMPLES: Final = {
    op.CATEGORY_DIGIT: "1",
    op.CATEGORY_NOT_DIGIT: "a",
    op.CATEGORY_SPACE: " \n",
    op.CATEGORY_NOT_SPACE: "a",
    op.CATEGORY_WORD: "a1_",
    op.CATEGORY_NOT_WORD: " .",
}
_PROPERTIES: Final = {  # syntax of `regex` that the parser of `re` does not have, for samples only
    r"\p{Ll}": "a",
    r"\p{Lu}": "A",
    r"\p{L}": "a",
    r"\p{N}": "1",
    r"\p{Nd}": "1",
    r"\p{P}": ".",
    r"\X": "a",
    r"\z": r"\Z",
}


class Compiled(NamedTuple):
    """A pattern and where it is compiled. `searches`: its searches begin at every place of a text."""

    place: str
    engine: str
    pattern: str | bytes
    flags: int
    searches: bool

    def compile(self) -> Any:
        """The pattern of its engine."""
        return (regex if self.engine == "regex" else re).compile(self.pattern, self.flags)


@cache
def compiled() -> list[Compiled]:
    """All patterns, each once."""
    out = subprocess.run([sys.executable, __file__], capture_output=True, check=True, text=True, cwd=ROOT).stdout
    uses = _Uses()
    found: dict[tuple[str, str, int, bool], Compiled] = {}
    for file, line, engine, pattern, is_bytes, flags in json.loads(out.splitlines()[-1]):
        place = Path(file).relative_to(PACKAGE)
        name = uses.name(place, line)
        raw = pattern.encode("latin-1") if is_bytes else pattern
        one = Compiled(f"{place}:{line} {name}", engine, raw, flags, uses.searched(place, name))
        known = found.get((engine, pattern, flags, is_bytes))
        if known is None or (one.searches and not known.searches):
            found[engine, pattern, flags, is_bytes] = one
    return sorted(found.values(), key=lambda one: one.place)


class _Uses:
    """Which methods of the patterns the sources call, by name."""

    def __init__(self) -> None:
        self._names: dict[Path, list[tuple[int, int, str]]] = {}
        self._methods: dict[tuple[Path, str], set[str]] = {}
        self._elsewhere: dict[tuple[str, str], set[str]] = {}  # by the last part of the module's name
        for file in PACKAGE.rglob("*.py"):
            place, tree = file.relative_to(PACKAGE), ast.parse(file.read_text("utf-8"))
            self._names[place] = [
                (node.lineno, node.end_lineno or node.lineno, target)
                for node in tree.body
                if isinstance(node, ast.Assign | ast.AnnAssign) and (target := _target(node))
            ]
            methods = {node: node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            held = {id(node.value): attr for node, attr in methods.items()}
            taken = {
                alias.name: (node.module or "").rpartition(".")[2]
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            for node in ast.walk(tree):
                method = held.get(id(node), "")
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    self._methods.setdefault((place, node.id), set()).add(method)
                    if node.id in taken:
                        self._elsewhere.setdefault((taken[node.id], node.id), set()).add(method)
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    self._elsewhere.setdefault((node.value.id, node.attr), set()).add(method)

    def name(self, place: Path, line: int) -> str:
        """The name that a module gives to what it makes at a line; "" if there is none."""
        return next((name for low, high, name in self._names[place] if low <= line <= high), "")

    def searched(self, place: Path, name: str) -> bool:
        """Whether a pattern is used otherwise than at one place of a text, as far as the source tells."""
        if not name:
            return True
        used = self._methods.get((place, name), set()) | self._elsewhere.get((place.stem, name), set())
        return not used or not used <= _ANCHORED


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


def hostile(one: Compiled) -> Iterator[tuple[str, str, str]]:
    """Texts on which a search may go over the same characters again: a beginning, what is repeated, an end."""
    said = one.pattern if isinstance(one.pattern, str) else one.pattern.decode("latin-1")
    samples = _Samples(said, one.flags)
    if not samples.repeats:
        return
    alphabet = samples.alphabet[:12]
    pairs = [one + other for one in alphabet[:5] for other in alphabet[:5] if one != other]
    # `regex` gives up at once where a character that every match has is missing, so one end has all of them.
    ends = ("\x01", "\n\x01" + "\x01".join(samples.alphabet) + "\x01")
    for unit in dict.fromkeys([*samples.units[:8], *alphabet, *pairs]):
        for end in ends:
            yield "", unit, end
    for begin in [*dict.fromkeys(samples.begins)][:6]:
        for unit in dict.fromkeys([*samples.units[:4], *alphabet[:4]]):
            yield begin, unit, ends[1]


class _Samples:
    """Texts that the parts of a pattern match: of each long repeat, what is repeated and what stands before it."""

    def __init__(self, pattern: str, flags: int) -> None:
        for written, plain in _PROPERTIES.items():
            pattern = pattern.replace(written, plain)
        self.units: list[str] = []
        self.begins: list[str] = []
        self.alphabet: list[str] = []
        self.repeats = True
        try:
            tree = parser.parse(pattern, flags & (re.IGNORECASE | re.VERBOSE | re.MULTILINE | re.DOTALL))
        except (re.error, OverflowError):
            signs = [*dict.fromkeys(char for char in pattern if not char.isalnum())]
            self.alphabet = [*signs[:7], "a", "A", "1", " ", "\n"]
            return
        self.repeats = False
        self._walk(tree, "")
        literals = [chr(value) for value in _literals(tree)]
        self.alphabet = [*dict.fromkeys([*self.alphabet, *literals, "a", "1", " ", "\n"])][:24]
        whole = self._sample(tree)
        self.units += [whole] if whole else []

    def _walk(self, nodes: Any, before: str) -> str:
        """A sample of the nodes, while long repeats in them are noted."""
        for kind, value in nodes:
            if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
                low, high, inner = value
                if high is op.MAXREPEAT or high > LONG:
                    self.repeats = True
                    self.begins.append(before)
                    self.units.append(self._sample(inner) or "a")
                    for char in self._choices(inner):
                        self.alphabet.append(char)
                self._walk(inner, before)
                before += self._sample(inner) * max(low, 1 if high else 0)
            elif kind is op.BRANCH:
                for branch in value[1]:
                    self._walk(branch, before)
                before += self._sample(value[1][0])
            elif kind is op.SUBPATTERN:
                before = self._walk(value[3], before)
            elif kind is op.ATOMIC_GROUP:
                before = self._walk(value, before)
            elif kind in (op.ASSERT, op.ASSERT_NOT):
                self._walk(value[1], before)
            else:
                before += self._one(kind, value)
        return before

    def _sample(self, nodes: Any) -> str:
        said = ""
        for kind, value in nodes:
            if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
                said += self._sample(value[2]) * max(value[0], 1)
            elif kind is op.BRANCH:
                said += self._sample(value[1][0])
            elif kind is op.SUBPATTERN:
                said += self._sample(value[3])
            elif kind is op.ATOMIC_GROUP:
                said += self._sample(value)
            else:
                said += self._one(kind, value)
        return said[:200]

    def _one(self, kind: Any, value: Any) -> str:
        return (self._members(kind, value) or [""])[0]

    def _members(self, kind: Any, value: Any) -> list[str]:
        """Some characters that a node of one character matches."""
        if kind is op.LITERAL:
            return [chr(value)]
        if kind in (op.ANY, op.NOT_LITERAL):
            return ["a" if value != ord("a") else "b"]
        if kind is not op.IN:
            return []
        found: list[str] = []
        negated = value[0][0] is op.NEGATE
        for inner, content in value:
            if inner is op.LITERAL:
                found.append(chr(content))
            elif inner is op.RANGE:
                found.append(chr(content[0]))
            elif inner is op.CATEGORY:
                found += _SAMPLES.get(content, "")
        return [char for char in "a1 .-/\n" if char not in found][:3] if negated else found[:6]

    def _choices(self, nodes: Any) -> Iterator[str]:
        for kind, value in nodes:
            if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
                yield from self._choices(value[2])
            elif kind is op.BRANCH:
                for branch in value[1]:
                    yield from self._choices(branch)
            elif kind is op.SUBPATTERN:
                yield from self._choices(value[3])
            else:
                yield from self._members(kind, value)


def _literals(nodes: Any) -> Iterator[int]:
    """The characters that a pattern names."""
    for kind, value in nodes:
        if kind is op.LITERAL:
            yield value
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            yield from _literals(value[2])
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield from _literals(branch)
        elif kind is op.SUBPATTERN:
            yield from _literals(value[3])
        elif kind is op.ATOMIC_GROUP:
            yield from _literals(value)
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            yield from _literals(value[1])
        elif kind is op.IN:
            yield from (content for inner, content in value if inner is op.LITERAL)


def _compiles(module: str) -> bool:
    """Whether patterns are compiled there for the modules that use them."""
    return module.partition(".")[0] in ("re", "regex") or module == "gateway.detect.core.expressions"


def _record() -> list[tuple[str, int, str, str, bool, int]]:
    """Import every module of the gateway, and note what it compiles."""
    noted: list[tuple[str, int, str, str, bool, int]] = []

    def noting(engine: str, compile_: Any) -> Any:
        def compiling(pattern: Any, *args: Any, **kwargs: Any) -> Any:
            made = compile_(pattern, *args, **kwargs)
            frame: FrameType | None = sys._getframe(1)
            while frame is not None and _compiles(frame.f_globals.get("__name__", "")):
                frame = frame.f_back
            if frame is not None and frame.f_globals.get("__name__", "").startswith("gateway."):
                is_bytes = isinstance(made.pattern, bytes)
                said = made.pattern.decode("latin-1") if is_bytes else made.pattern
                noted.append((frame.f_code.co_filename, frame.f_lineno, engine, said, is_bytes, made.flags))
            return made

        return compiling

    for engine, module in (("re", re), ("regex", importlib.import_module("regex._main"))):
        inside = vars(module)
        inside["_compile"] = noting(engine, inside["_compile"])
    import gateway
    from gateway.detect.core import expressions

    expressions._shared._kept.clear()  # what is kept from an earlier run is compiled by nobody
    for engine, name in (("re", "plain"), ("regex", "compiled")):
        setattr(expressions, name, noting(engine, getattr(expressions, name)))
    for found in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return noted


if __name__ == "__main__":
    print(json.dumps(_record()))
