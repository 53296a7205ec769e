"""Compiled patterns of `regex`, kept between starts.

The module compiles in Python: all patterns of the gateway take seconds. Its patterns can be pickled in compiled form,
and are built from that form in a hundredth of the time. The compiled forms are kept beside the bytecode of this module,
as Python keeps bytecode, for one version of `regex`.
"""

from __future__ import annotations

import contextlib
import copyreg
import hashlib
import importlib.util
import marshal
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import regex

from gateway.detect.core import cache_files

_MOST: Final = 4_000_000  # bytes of a file; a larger one holds mostly patterns of earlier versions
_Form = dict[str, bytes]  # digest of a pattern and its flags -> its compiled form


def _build(data: Any) -> regex.Pattern[str]:
    pattern: regex.Pattern[str] = _BUILDER(*data)
    return pattern


def _data(pattern: regex.Pattern[str]) -> Any:
    """The arguments that build a compiled pattern, as `copyreg` has them for pickle."""
    return copyreg.dispatch_table[type(pattern)](pattern)[1]


_BUILDER: Final[Any] = copyreg.dispatch_table[type(regex.compile(""))](regex.compile(""))[0]


class Expressions:
    """The compiled forms of one file; None: nothing is kept. For any thread."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._forms: _Form = {}
        self._new = False
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError, AttributeError):
            version, forms = marshal.loads(cache_files.read(path)) if path else ("", {})  # noqa: S302  (of our own file)
            self._forms = forms if version == regex.__version__ else {}

    def compiled(self, source: str, flags: int = 0) -> regex.Pattern[str]:
        """The pattern, as `regex.compile` compiles it."""
        key = _key(source, flags)
        with contextlib.suppress(KeyError, ValueError, zlib.error):
            return _build(marshal.loads(zlib.decompress(self._forms[key])))  # noqa: S302
        pattern = regex.compile(source, flags, cache_pattern=False)
        self._keep(key, pattern)
        return pattern

    def prepare(self, patterns: Iterable[tuple[str, int]]) -> None:
        """Compile those patterns that are not kept yet, so that they take milliseconds when they are first needed."""
        for source, flags in patterns:
            key = _key(source, flags)
            if key not in self._forms:
                self._keep(key, regex.compile(source, flags, cache_pattern=False))

    def save(self) -> None:
        """Write what is new. A file that cannot be written only costs time."""
        if self._path is None or not self._new:
            return
        self._new = False
        content = marshal.dumps((regex.__version__, self._forms))
        if len(content) <= _MOST:
            with contextlib.suppress(OSError):
                cache_files.write(self._path, content)
        else:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _keep(self, key: str, pattern: regex.Pattern[str]) -> None:
        self._forms[key] = zlib.compress(marshal.dumps(_data(pattern)))
        self._new = True


def _key(source: str, flags: int) -> str:
    return hashlib.blake2b(f"{int(flags)} {source}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _place() -> Path | None:
    """The file beside the bytecode; None if this Python keeps no bytecode."""
    try:
        return Path(importlib.util.cache_from_source(__file__)).with_suffix(".patterns")
    except NotImplementedError:
        return None


_shared: Final = Expressions(_place())
compiled: Final = _shared.compiled
prepare: Final = _shared.prepare
save: Final = _shared.save
