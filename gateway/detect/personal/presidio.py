"""Presidio's recognizers: what they search for, from a table, and their checksums, from Presidio on first use.

`import presidio_analyzer` takes a second and, with what it imports, 80 MB. So `presidio.json` has the patterns, context
words and scores of the recognizers in use; `make reference` writes the file, and a test holds it to the installed
version. The module of a recognizer is imported when the recognizer first judges a value, without the package around it.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

_NAME: Final = "presidio_analyzer"
_BASES: Final = (  # in the order in which they import each other
    ("analysis_explanation", "AnalysisExplanation"),
    ("recognizer_result", "RecognizerResult"),
    ("entity_recognizer", "EntityRecognizer"),
    ("local_recognizer", "LocalRecognizer"),
    ("pattern_recognizer", "PatternRecognizer"),
)


class Pattern(NamedTuple):
    """A pattern of `regex`, and the score of its matches."""

    name: str
    regex: str
    score: float


class Recognizer:
    """One of Presidio's recognizers, in the parts of its interface that are used here."""

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        self.name: str = entry["name"]
        self.supported_entities: list[str] = entry["entities"]
        self.patterns = [Pattern(*pattern) for pattern in entry.get("patterns", ())]
        self.context: list[str] = entry.get("context", [])
        self.global_regex_flags: int = entry.get("flags", 0)
        self.score: float = entry.get("score", 0.0)
        self.replacement_pairs: Sequence[tuple[str, str]] | None = entry.get("replacement_pairs")
        """What the checksum leaves out; None for a recognizer that has no such list."""
        self._class = (entry["module"], name)
        self._judge: Any = None

    def validate_result(self, value: str) -> bool | None:
        """Whether a checksum is right; None without a checksum."""
        result: bool | None = self._loaded().validate_result(value)
        return result

    def invalidate_result(self, value: str) -> bool | None:
        """Whether a value cannot be one that is searched for; None if that is not known."""
        result: bool | None = self._loaded().invalidate_result(value)
        return result

    def _loaded(self) -> Any:
        if self._judge is None:
            judge = _class(*self._class)()
            if self.replacement_pairs is not None:
                judge.replacement_pairs = [tuple(pair) for pair in self.replacement_pairs]
            self._judge = judge
        return self._judge


def recognizer(name: str) -> Recognizer:
    """The recognizer of a class of Presidio. Raises KeyError."""
    return Recognizer(name, _TABLE["recognizers"][name])


class _Light:
    """Presidio's modules without its packages, which import all other modules.

    They are in `sys.modules` only while one is imported, so that Presidio can be imported as usual. If Presidio is
    already imported, its own modules are used.
    """

    def __init__(self) -> None:
        self._modules: dict[str, types.ModuleType] = {}
        self._lock = threading.RLock()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of a package of Presidio, without its code (see `importlib.abc.MetaPathFinder`)."""
        if not fullname.startswith(f"{_NAME}.") or path is None:
            return None
        places = [str(folder) for one in path if (folder := Path(one) / fullname.rpartition(".")[2]).is_dir()]
        if not places:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = places
        return spec

    def load(self, module: str) -> types.ModuleType:
        """A module of Presidio."""
        with self._lock:
            if _NAME in sys.modules:
                return importlib.import_module(module)
            found = importlib.util.find_spec(_NAME)
            if found is None:
                raise ImportError(f"the package {_NAME} is not installed", name=_NAME)
            sys.meta_path.insert(0, self)
            sys.modules.update(self._modules)
            try:
                if not self._modules:
                    self._begin(found)
                return importlib.import_module(module)
            finally:
                sys.meta_path.remove(self)
                for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
                    self._modules[name] = sys.modules.pop(name)

    def _begin(self, found: importlib.machinery.ModuleSpec) -> None:
        package: Any = types.ModuleType(_NAME)
        package.__path__ = found.submodule_search_locations
        package.Pattern = Pattern  # Presidio's compiles the pattern when it is created
        sys.modules[_NAME] = package
        for name, base in _BASES:
            setattr(package, base, getattr(importlib.import_module(f"{_NAME}.{name}"), base))


def _class(module: str, name: str) -> Any:
    return getattr(_LIGHT.load(f"{_NAME}.{module}"), name)


_LIGHT: Final = _Light()
_TABLE: Final[Mapping[str, Any]] = json.loads((Path(__file__).parent / "presidio.json").read_text(encoding="utf-8"))
STOP_WORDS: Final = frozenset(_TABLE["stop_words"])
"""spaCy's English stop words, which Presidio leaves out of context."""
