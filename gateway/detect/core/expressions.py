"""What takes long to compute from patterns, kept between starts: compiled patterns, and patterns for Hyperscan.

`regex` and `re` compile in Python: all patterns of the gateway take seconds. Their matchers in C are built in
milliseconds, from data that can be kept: `regex` has the data for pickle, `re` passes it to `_sre.compile`. It is kept
beside the bytecode of this module, as Python keeps bytecode, for one version of Python and `regex`.
"""

from __future__ import annotations

import _sre  # type: ignore[import-not-found]  # the matcher of the standard library
import contextlib
import copyreg
import hashlib
import importlib.util
import marshal
import re
import sys
import zlib
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from re import _compiler as re_compiler  # type: ignore[attr-defined]  # has no public name
from re import _parser as re_parser  # type: ignore[attr-defined]
from typing import Any, Final, ParamSpec, TypeVar

import regex

from gateway.detect.core import cache_files

_MOST: Final = 8_000_000  # bytes of a file; a larger one holds mostly patterns of earlier versions
_VERSION: Final = f"{regex.__version__} {sys.version} {_sre.MAGIC}"
_BUILD: Final[Any] = copyreg.dispatch_table[type(regex.compile(r"\A"))](regex.compile(r"\A"))[0]
P = ParamSpec("P")
T = TypeVar("T")


def _of_regex(source: str, flags: int) -> Any:
    """What `_BUILD` builds the pattern from. Raises regex.error."""
    pattern = regex.compile(source, flags, cache_pattern=False)
    return copyreg.dispatch_table[type(pattern)](pattern)[1]


def _of_re(source: str, flags: int) -> Any:
    """What `_sre.compile` builds the pattern from, as `re._compiler.compile` does. Raises re.error."""
    tree = re_parser.parse(source, flags)
    groups = tree.state.groupdict
    names: list[str | None] = [None] * tree.state.groups
    for name, number in groups.items():
        names[number] = name
    code = list(map(int, re_compiler._code(tree, flags)))  # of a class that marshal does not know
    return source, flags | tree.state.flags, code, tree.state.groups - 1, groups, tuple(names)


class Expressions:
    """The results in one file; None: nothing is kept. For any thread."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: dict[str, bytes] = {}
        self._new = False
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
            version, kept = marshal.loads(cache_files.read(path)) if path else ("", {})  # noqa: S302  (our own file)
            self._kept = kept if version == _VERSION else {}

    def compiled(self, source: str, flags: int = 0) -> regex.Pattern[str]:
        """The pattern, as `regex.compile` compiles it."""
        pattern: regex.Pattern[str] = _BUILD(
            *self.result("regex", source, int(flags), lambda: _of_regex(source, flags))
        )
        return pattern

    def plain(self, source: str, flags: int = 0) -> re.Pattern[str]:
        """The pattern, as `re.compile` compiles it."""
        data = self.result("re", source, int(flags), lambda: _of_re(source, int(flags)))
        pattern: re.Pattern[str] = _sre.compile(*data)
        return pattern

    def prepare(self, patterns: Iterable[tuple[str, int]]) -> None:
        """Compile those patterns of `regex` that are not kept yet: then their first use takes milliseconds."""
        for source, flags in patterns:
            key = _key("regex", source, int(flags))
            if key not in self._kept:
                self._keep(key, _of_regex(source, flags))

    def result(self, kind: str, source: str, flags: int, compute: Callable[[], Any]) -> Any:
        """The kept result of this kind, or a new one, which `marshal` can write."""
        key = _key(kind, source, flags)
        with contextlib.suppress(KeyError, ValueError, zlib.error):
            return marshal.loads(zlib.decompress(self._kept[key]))  # noqa: S302
        return self._keep(key, compute())

    def save(self) -> None:
        """Write what is new. A file that cannot be written only costs time."""
        if self._path is None or not self._new:
            return
        self._new = False
        content = marshal.dumps((_VERSION, dict(self._kept)))
        with contextlib.suppress(OSError):
            if len(content) <= _MOST:
                cache_files.write(self._path, content)
            else:
                self._path.unlink()

    def _keep(self, key: str, data: Any) -> Any:
        self._kept[key] = zlib.compress(marshal.dumps(data))
        self._new = True
        return data


def kept(place: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator of a function in the file `place`: its results are kept until the file changes.

    `marshal` writes them, so they are plain strings, numbers, tuples and lists.
    """
    version = hashlib.sha256(Path(place).read_bytes()).hexdigest()

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        kind = f"{function.__name__} {version}"

        @wraps(function)
        def known(*args: P.args, **kwargs: P.kwargs) -> T:
            asked = repr((args, sorted(kwargs.items())))
            result: T = _shared.result(kind, asked, 0, lambda: function(*args, **kwargs))
            return result

        return known

    return decorated


def _key(kind: str, source: str, flags: int) -> str:
    return hashlib.blake2b(f"{kind} {flags} {source}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _place() -> Path | None:
    """The file beside the bytecode; None if this Python keeps no bytecode."""
    try:
        return Path(importlib.util.cache_from_source(__file__)).with_suffix(".kept")
    except NotImplementedError:
        return None


_shared: Final = Expressions(_place())
compiled: Final = _shared.compiled
plain: Final = _shared.plain
result: Final = _shared.result
prepare: Final = _shared.prepare
save: Final = _shared.save
