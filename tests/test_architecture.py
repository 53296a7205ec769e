"""The rooms of `docs/architecture.md`: allowed imports between rooms, and imports that pure rooms must not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from gateway.errors import Stage

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"
WORDS = {"amounts", "bodies", "budget", "call", "delegation", "errors", "ids", "texts"}
PURE = {"dialects", "detect", "limits", "output", "redaction", "translate"}
# `detect.names` runs language models in processes of their own, beside the line.
IMPURE_PART = PACKAGE / "detect" / "names"
EFFECTS = {"asyncio", "aiohttp", "httpx", "redis", "sqlite3", "socket", "subprocess", "uvicorn", "starlette"}


def room(path: Path) -> str:
    """The room of a module: its folder below the package, or the module itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a module imports, anywhere in the file, also for types only (`TYPE_CHECKING`)."""
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from imported(child)


MODULES = {path: list(imported(ast.parse(path.read_text("utf-8")))) for path in sorted(PACKAGE.rglob("*.py"))}


CARRIED = {("call", "dialects")}  # a call carries its codec, whose types it names


def edges() -> dict[str, set[str]]:
    """Which rooms each room imports."""
    found: dict[str, set[str]] = {}
    for path, names in MODULES.items():
        here = room(path)
        for name in names:
            parts = name.split(".")
            if parts[0] == "gateway" and len(parts) > 1 and parts[1] != here and not parts[1].startswith("__"):
                found.setdefault(here, set()).add(parts[1])
    return found


def test_rooms_import_each_other_in_one_direction() -> None:
    """Rooms can be put in an order in which each imports only those before it."""
    left = {name: set(targets) for name, targets in edges().items()}
    for targets in list(left.values()):
        for target in targets:
            left.setdefault(target, set())
    while left:
        free = {name for name, targets in left.items() if not targets & left.keys()}
        assert free, (
            f"a cycle of imports: { ({name: sorted(targets & left.keys()) for name, targets in left.items()}) }"
        )
        left = {name: targets for name, targets in left.items() if name not in free}


def test_words_import_no_room() -> None:
    """The words of the line depend on no room."""
    found = {(name, room) for name in WORDS for room in edges().get(name, set()) - WORDS}
    assert found == CARRIED


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_rooms_have_no_effects(name: str) -> None:
    """No event loop, client or database where texts are judged and amounts are worked out."""
    for path, names in MODULES.items():
        if room(path) == name and IMPURE_PART not in path.parents:
            effects = {module.partition(".")[0] for module in names} & EFFECTS
            assert not effects, f"{path} imports {sorted(effects)}: this room works on values alone"


def test_the_top_holds_words_and_the_line() -> None:
    """Everything else is in a room."""
    top = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert top == WORDS | {"pipeline"}, "a module belongs into the folder of its room"


def test_the_page_names_every_room() -> None:
    """`docs/architecture.md` explains each room."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    missing = sorted(name for name in rooms if f"**{name}**" not in page)
    assert not missing, f"docs/architecture.md: say what the folders {missing} of gateway/ are for, in bold"


def test_stages_have_one_order() -> None:
    """The line takes the steps in the order of `errors.Stage`, and two pages explain each, in that order too."""
    stages = list(get_args(Stage))
    tree = ast.parse((PACKAGE / "pipeline.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    steps = [ast.literal_eval(call.args[0]) for call in sorted(calls, key=_line) if call.func.attr == "step"]  # type: ignore[attr-defined]
    taken = ["identify", *steps[:-1], "output", *steps[-1:]]  # a call begins in the first; `exchange.whole` steps on
    assert taken == stages, "call.step(...) in gateway/pipeline.py and the labels of gateway/errors.py: Stage differ"
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8").partition("## Stages")[2]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == stages, "docs/metrics.md, Stages: one row a stage"
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## The stages")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert rows == stages, "docs/architecture.md, The stages: one row a stage, in the order of the line"


def _line(node: ast.Call) -> int:
    return node.lineno


@pytest.mark.parametrize("path", sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")), ids=str)
def test_pages_name_modules_that_exist(path: Path) -> None:
    """A page names a module by its path, from the root or from `gateway/`; the path is that of a file."""
    named = re.findall(r"`(gateway/[a-z_/]+|(?:[a-z_]+/)+[a-z_]+\.py)`", (ROOT / path).read_text("utf-8"))
    gone = {name for name in named if not any((place / name).exists() for place in (ROOT, PACKAGE))}
    assert not gone, f"{path} names what does not exist: {sorted(gone)}"


def test_tests_import_no_other_tests() -> None:
    """Shared code of tests is in modules of its own, not in tests."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in imported(ast.parse(path.read_text("utf-8"))):
            assert not any(part.startswith("test_") or part == "conftest" for part in name.split(".")[:-1]), path


def test_every_test_asserts_something() -> None:
    """A test that can only hang proves nothing: the test asserts, or calls a function that does."""
    helpers = {path: ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "tests").rglob("*.py"))}
    asserting = _asserting(list(helpers.values()))
    for path, tree in helpers.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert _asserts(node, asserting), f"{path}: {node.name}"


# `run` stands for `subprocess.run(..., check=True)`; `parse_args` ends the process for what is not an option.
_ASSERTING = frozenset({"raises", "fail", "warns", "run", "parse_args", "run_state_machine_as_test", "check"})


def _asserting(trees: list[ast.Module]) -> frozenset[str]:
    """The names of all functions of the tests that assert, directly or by a call of such a function."""
    functions = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    known = _ASSERTING
    while more := {node.name for node in functions if node.name not in known and _asserts(node, known)}:
        known |= more
    return known


def _asserts(function: ast.AST, asserting: frozenset[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in asserting:
                return True
    return False
