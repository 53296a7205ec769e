"""Reads the text of a YAML file: data, the line of every key, and variables of the environment in scalars.

Scalars stay text (only a bare `null` or `~` is None): the grammar determines the type of a value, so that `NO` is a
country, `off` a word and a key made of digits a key. A key without a value counts as left out.

`${NAME}` and `${NAME:-default}` are replaced in scalars after parsing, so a value can never add YAML; `$$` is a
dollar sign. No message repeats a value of the environment. Mistakes are collected, not raised: see `YamlFile`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\$(?:\{[^}\n]*\})?|\$\{[^}\n]*\}")
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}")
_MARK = re.compile("\ue000(\\d+)\ue001")
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ["str", "int", "float", "bool", "null", "timestamp", "value", "map", "seq"]
)
_MERGE = "tag:yaml.org,2002:merge"
_LEFT_OUT = object()


class Problem(NamedTuple):
    """A mistake: its line (0: the file as a whole), the key, and a message for the operator."""

    line: int
    path: Path
    text: str


@dataclass(slots=True)
class YamlFile:
    """The content of a file. `lines` are 1-based; `env` has the variable that a value came from."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    env: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a key, or of the nearest enclosing key in the file; 0 if there is none."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), 0)


def spell(path: Path) -> str:
    """A path in the usual notation: `models.gpt-4o.targets[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def read(text: str, env: Mapping[str, str]) -> YamlFile:
    """Parse `text`, which must contain one mapping. A file that is not valid YAML has one problem and no data."""
    file = YamlFile()
    references: list[str] = []

    def mark(match: re.Match[str]) -> str:
        references.append(match[0])
        return f"\ue000{len(references) - 1}\ue001"

    try:
        # A brace would start a mapping: references become plain characters (private use) before YAML sees them.
        node = yaml.compose(_REFERENCE.sub(mark, text), Loader=yaml.SafeLoader)
        if isinstance(node, yaml.MappingNode):
            file.data = _Builder(file, references, env).mapping(node, (), ())
        else:
            words = "is empty" if node is None else "must be a mapping of keys to values"
            file.problems.append(Problem(0, (), f"the file {words}"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        file.problems.append(Problem(line, (), f"not valid YAML: {_discreet(error)}"))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        file.problems.append(Problem(line, (), "not valid YAML: a control character"))
    except RecursionError:
        file.problems.append(Problem(0, (), "not valid YAML: nested too deeply"))
    return file


def _discreet(error: yaml.MarkedYAMLError) -> str:
    # An alias or a tag in the parser's message may be part of a secret; single characters are not.
    problem = re.sub(r"'[\w!-]{2,}'", "'...'", error.problem or "cannot be read")
    return re.sub("[\ue000-\uf8ff]", "$", problem)


@dataclass(slots=True)
class _Builder:
    """Turns nodes into data, and records lines, variables and problems. `above` are the enclosing nodes."""

    file: YamlFile
    references: list[str]
    environment: Mapping[str, str]
    given: bool = False  # the current scalar contains a value of the environment: it is text, whatever it looks like

    def value(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> Any:
        self.file.lines.setdefault(path, node.start_mark.line + 1)
        if node in above:
            return self.problem(node, path, "refers to itself")
        if node.tag not in _PLAIN_TAGS:
            return self.problem(node, path, "has a tag (!...); tags are not supported")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            items = (self.value(item, (*path, i), (*above, node)) for i, item in enumerate(node.value))
            return [None if item is _LEFT_OUT else item for item in items]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                for source in self.merges(value_node, path):
                    if source in above or source is node:
                        self.problem(source, path, "refers to itself")
                    else:
                        merged = self.mapping(source, path, (*above, node)) | merged
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, path, "has a key that is not a scalar")
                continue
            key = self.substitute(key_node, path)
            if key in first:
                self.problem(key_node, (*path, key), f"is defined twice; the first definition is on line {first[key]}")
                continue
            first[key] = self.file.lines[(*path, key)] = line
            value = self.value(value_node, (*path, key), (*above, node))
            if value is not _LEFT_OUT:
                own[key] = value
        return merged | own

    def merges(self, node: yaml.Node, path: Path) -> Iterator[yaml.MappingNode]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode):
                yield source
            else:
                self.problem(source, path, "`<<` takes a mapping or a list of mappings")

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        self.given = False
        text = self.substitute(node, path)
        if node.style is None:
            if not node.value:
                return _LEFT_OUT
            if not self.given and text in ("null", "Null", "NULL", "~"):
                return None
        return text

    def substitute(self, node: yaml.Node, path: Path) -> str:
        def replace(match: re.Match[str]) -> str:
            number = int(match[1])
            return self.resolve(self.references[number], node, path) if number < len(self.references) else match[0]

        return _MARK.sub(replace, node.value)

    def resolve(self, reference: str, node: yaml.Node, path: Path) -> str:
        if reference.startswith("$$"):
            return reference[1:]
        match = _NAME.fullmatch(reference)
        if match is None:
            self.problem(node, path, "contains a ${...} that is not of the form ${NAME} or ${NAME:-default}")
            return ""
        name, default = match.groups()
        self.file.env[path] = f"${{{name}}}"
        if value := self.environment.get(name, ""):
            self.given = True
            return value
        if default is None and name not in self.environment:
            words = f"needs the environment variable {name}, which is not set; set it, or write ${{{name}:-}} for empty"
            self.problem(node, path, words)
        return default or ""

    def problem(self, node: yaml.Node, path: Path, text: str) -> None:
        self.file.problems.append(Problem(node.start_mark.line + 1, path, text))
