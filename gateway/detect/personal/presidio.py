"""Presidio's recognizers without the engines that need language models.

`import presidio_analyzer` imports spaCy and thinc for engines that are not used here: 54 MB of memory in every worker
and 1.5 s at every start. During the import here, these two names are replaced by empty modules; afterwards the real
modules can be imported as usual. If Presidio is already loaded, nothing is replaced.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ABSENT = ("spacy", "thinc")


class _AnyClass(type):
    """A class whose attributes are decorators without effect, because registries are used as decorators at import."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: lambda decorated: decorated


class _Absent(types.ModuleType):
    """A module in which every name is a class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyClass(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the absent modules, and nothing else."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in _ABSENT:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """An absent module has no code."""


def _load() -> None:
    """Import Presidio, without spaCy and thinc unless it is already imported."""
    if "presidio_analyzer" in sys.modules or any(name in sys.modules for name in _ABSENT):
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import presidio_analyzer  # noqa: F401
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] in _ABSENT]:
            del sys.modules[name]


def _stop_words() -> frozenset[str]:
    """spaCy's English stop words, which Presidio leaves out of context: read from their file alone."""
    spacy = importlib.util.find_spec("spacy")
    if spacy is None or not spacy.submodule_search_locations:
        raise ImportError("spaCy, which presidio-analyzer depends on, is not installed")
    path = Path(spacy.submodule_search_locations[0]) / "lang" / "en" / "stop_words.py"
    spec = importlib.util.spec_from_file_location("meshgate_stop_words", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(module.STOP_WORDS)


_load()
STOP_WORDS = _stop_words()

from presidio_analyzer import Pattern, PatternRecognizer, predefined_recognizers  # noqa: E402

__all__ = [
    "STOP_WORDS",
    "Pattern",
    "PatternRecognizer",
    "predefined_recognizers",
]
