"""A bundle: a folder of Rego modules and data, its version, and its tests.

The layout is that of OPA: `*.rego` anywhere below the root, `data.yaml` or `data.json` in any folder, mounted at the
path of the folder. Modules named `*_test.rego` are for tests only. The version is a digest of all files, so that every
decision can be traced to exact files. YAML follows OPA (the 1.2 core schema: `on` and `yes` are text); values that
other readers take differently are refused. https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from gateway.errors import ConfigError
from gateway.policy.engines import outline as rego
from gateway.policy.engines.data import parse_json, parse_yaml
from gateway.policy.engines.rego import UNDEFINED, EvaluationError, Problem, Program, RegoError, compile_bundle
from gateway.policy.engines.rego.values import spell

_DATA = {"data.yaml": parse_yaml, "data.yml": parse_yaml, "data.json": parse_json}
SHORT = 12
LIMIT = 30.0  # seconds for all tests of a bundle
_SHOWN = 5  # maximum number of mistakes in one message


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of one `test_*` rule: its full name, its file, whether it passed, and the failure in words."""

    __test__: ClassVar[bool] = False  # not a test class of pytest

    name: str
    file: str
    passed: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read from disk. Immutable."""

    path: Path
    digest: str
    modules: tuple[rego.Module, ...]
    data: Mapping[str, Any]
    tests: tuple[rego.Module, ...]

    @property
    def version(self) -> str:
        """The first characters of the digest."""
        return self.digest[:SHORT]


def load(path: str | Path) -> Bundle:
    """Read a folder. Raises ConfigError with file and line."""
    root = Path(path)
    if not root.is_dir():
        raise ConfigError(
            f"policy.path: {root} is not a directory; write the root directory of a bundle, with *.rego files in it"
        )
    hasher = hashlib.sha256()
    modules: list[rego.Module] = []
    data: dict[str, Any] = {}
    for file in files(root):
        relative = file.relative_to(root)
        content = _read(file)
        hasher.update(digested(relative.as_posix().encode(), content))
        if file.suffix == ".rego":
            modules.append(rego.read(str(file), _text(file, content)))
        else:
            _mount(data, relative.parent.parts, _DATA[file.name](str(file), content), file)
    rules = tuple(module for module in modules if not module.is_test)
    if not rules:
        raise ConfigError(f"policy.path: no *.rego below {root}; the entry point is `decision` in `package gateway`")
    tests = tuple(module for module in modules if module.is_test)
    return Bundle(root, hasher.hexdigest(), rules, MappingProxyType(data), tests)


def digested(name: bytes, content: bytes) -> bytes:
    """The part of one file in a digest of several files. The lengths distinguish `a` + `bc` from `ab` + `c`."""
    return b"%d %s %d " % (len(name), name, len(content)) + content


def files(root: Path) -> list[Path]:
    """The files of a bundle, in order, without hidden files.

    Raises ConfigError for a file that cannot be read, such as a broken link: a missing rule might be a deny.
    """

    def refuse(fault: OSError) -> None:
        raise ConfigError(f"{fault.filename}: {fault.strerror}; every folder of a bundle must be readable")

    found = listed(root, refuse)
    for file in found:
        if not file.is_file():
            raise ConfigError(f"{file}: is not a file, or a broken link; remove it, or restore its target")
    return found


def listed(root: Path, on_fault: Callable[[OSError], None] | None = None) -> list[Path]:
    """The paths with names of bundle files, in order, readable or not."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=on_fault):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name) for name in names if not name.startswith(".") and (_is_rule(name) or name in _DATA)
        ]
    return sorted(found)


def _is_rule(name: str) -> bool:
    return Path(name).suffix == ".rego"


def program(
    modules: Sequence[rego.Module], data: Mapping[str, Any], *, strict: bool = False, optimize: bool = True
) -> Program:
    """Modules and data, compiled. Raises ConfigError with file, line and OPA's code for each mistake."""
    sources = {module.file: module.source for module in modules}
    try:
        return compile_bundle(sources, dict(data), strict=strict, optimize=optimize)
    except RegoError as error:
        shown = [f"{one.at.file}:{one.at.row}: {_words(one)} ({one.code})" for one in error.problems[:_SHOWN]]
        raise ConfigError("; ".join(shown)) from None
    except RecursionError:
        raise ConfigError(f"{modules[0].file}: the bundle has an expression that is nested too deeply") from None


def _words(problem: Problem) -> str:
    details = [" ".join(detail.split()) for detail in problem.details]
    return f"{problem.message} [{', '.join(details)}]" if details else problem.message


def uncovered(bundle: Bundle) -> tuple[list[tuple[str, int]], int]:
    """The lines of rules that no test evaluates, as (file, line), and the number of all lines. Raises ConfigError."""
    from gateway.policy.engines.rego.coverage import Coverage  # for this command alone

    rules = {module.file for module in bundle.modules}
    coverage = Coverage(program((*bundle.modules, *bundle.tests), bundle.data, optimize=False))
    deadline = time.monotonic() + LIMIT
    with coverage.watching():
        for module, name in _tests(bundle):
            _run(coverage.program, module, name, deadline)
    missed = [place for place in coverage.missed() if place[0] in rules]
    return missed, sum(file in rules for file, _ in coverage.lines())


def run_tests(bundle: Bundle, *, strict: bool = False) -> list[TestResult]:
    """Evaluate every `test_*` rule. Raises ConfigError if the bundle does not compile."""
    names = list(_tests(bundle))
    if not names:
        return []
    for (package, name), count in Counter((module.package, name) for module, name in names).items():
        if count > 1:
            raise ConfigError(f"{package}.{name}: {count} tests have this name; each needs its own")
    compiled = program((*bundle.modules, *bundle.tests), bundle.data, strict=strict)
    deadline = time.monotonic() + LIMIT
    found = [_run(compiled, module, name, deadline) for module, name in names]
    if time.monotonic() > deadline:
        raise ConfigError(f"{bundle.path}: the tests of the bundle ran longer than {LIMIT:g} s")
    return found


def _run(compiled: Program, module: rego.Module, name: str, deadline: float) -> TestResult:
    full = f"data.{module.package}.{name}"
    env = compiled.env(UNDEFINED, deadline=deadline)
    try:
        value = compiled.evaluate(("data", *module.package.split("."), name), env)
    except EvaluationError as error:
        return TestResult(full, module.file, False, str(error))
    if value is True:
        return TestResult(full, module.file, True)
    was = "undefined" if value is UNDEFINED else spell(value)
    return TestResult(full, module.file, False, f"the rule is {was}, and must be true")


def _tests(bundle: Bundle) -> Iterator[tuple[rego.Module, str]]:
    for module in bundle.tests:
        for name in sorted(module.heads):
            if name.startswith("test_"):
                yield module, name


def _mount(data: dict[str, Any], folders: tuple[str, ...], document: dict[str, Any], file: Path) -> None:
    """Merge a document into the data at the path of a folder. Raises ConfigError if another file has the same key."""
    for folder in folders:
        data = data.setdefault(folder, {})
        if not isinstance(data, dict):
            raise ConfigError(f"{file}: the folder {folder} is a value in another data file")
    for key, value in document.items():
        if key in data:
            raise ConfigError(f"{file}: {key!r} is also in another data file")
        data[key] = value


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def _text(file: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: not UTF-8") from None
