"""Imports of a package without the large packages that it imports but never uses here."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
import types
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

_LOCK: Final = threading.RLock()


class _Nothing:
    """Its methods, of any name, do nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class _Absent(types.ModuleType):
    """A module in which every name is a class that does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Nothing,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the absent modules, and nothing else."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in self._names:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """An absent module has no code."""


@contextlib.contextmanager
def imported(name: str, without: Collection[str]) -> Iterator[Any]:
    """A module; until the end of the block, `import` of the names in `without` gives empty modules. For any thread.

    After the block, all of these can be imported as usual. A module that is already imported is given as it is.
    """
    with _LOCK:
        if name in sys.modules:
            yield sys.modules[name]
            return
        absent = {other for other in without if other not in sys.modules}
        finder = _Finder(absent)
        sys.meta_path.insert(0, finder)
        try:
            yield importlib.import_module(name)
        finally:
            sys.meta_path.remove(finder)
            own = {name.partition(".")[0], *absent}
            for other in [other for other in sys.modules if other.partition(".")[0] in own]:
                del sys.modules[other]
