"""A bundle compiled to WebAssembly: built from a folder of sources by the program `opa`, or an output of `opa build`.

    opa build -t wasm -e gateway/decision -b policies -o bundle.tar.gz

Config key: `policy.path`: a folder of sources, such an archive, or a folder with its files. For a folder of sources,
`opa test` runs the bundle's own tests, and the version is the same as for other engines; for a compiled bundle, the
version is the digest of its code and data. https://www.openpolicyagent.org/docs/wasm
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import ConfigError
from gateway.policy.engines import outline as rego
from gateway.policy.engines.base import ENTRYPOINT
from gateway.policy.engines.bundle import SHORT, TestResult, load
from gateway.policy.engines.bundle import files as sources
from gateway.policy.engines.data import parse_json
from gateway.policy.sources.base import SourceError
from gateway.policy.sources.unpack import read as unpack

CODE, DATA = "policy.wasm", "data.json"
LIMIT = 60.0  # seconds for one run of `opa`


@dataclass(frozen=True, slots=True)
class Compiled:
    """Code, data and sources. `built`: the code was built from these sources here, so they are reliable."""

    path: Path
    version: str
    code: bytes
    data: Mapping[str, Any]
    modules: tuple[rego.Module, ...] = ()
    built: bool = False


def compiled(path: str | Path) -> Compiled:
    """The bundle at `policy.path`. Slow. Raises ConfigError."""
    root = Path(path)
    if is_ready(root):
        return _ready(root)
    bundle = load(root)
    code = build(root)
    if load(root).version != bundle.version:
        raise ConfigError(f"{root}: the bundle changed while it was compiled")
    return Compiled(root, bundle.version, code, bundle.data, bundle.modules, built=True)


def is_ready(root: Path) -> bool:
    """Whether a path is a compiled bundle, and not a folder of sources."""
    return root.is_file() or (root / CODE).is_file()


def opa(root: Path) -> str:
    """The path of the program `opa`. Raises ConfigError if it is not installed."""
    program = shutil.which("opa")
    if program is None:
        raise ConfigError(
            f"policy.path: {root} contains sources, and the program `opa` that compiles them is not installed. Install "
            "opa (https://www.openpolicyagent.org/docs/#running-opa), or compile elsewhere and write the archive as "
            f"policy.path: opa build -t wasm -e {ENTRYPOINT} -b {root} -o bundle.tar.gz"
        )
    return program


def run_tests(root: Path) -> list[TestResult]:
    """Run every `test_*` rule of a folder of sources by `opa test`. Raises ConfigError if a module does not compile."""
    done = _run([opa(root), "test", "--format", "json", "--bundle", str(root)], root)
    try:
        found = orjson.loads(done.stdout)
    except orjson.JSONDecodeError:
        raise ConfigError(f"{root}: opa test: {_words(done)}") from None
    return [_result(test) for test in found or ()]


def _result(test: Mapping[str, Any]) -> TestResult:
    name = f"{test['package']}.{test['name']}"
    bad = bool(test.get("fail") or test.get("error"))
    message = str((test.get("error") or {}).get("message") or "the rule is not true") if bad else ""
    return TestResult(name, str(test["location"]["file"]), not bad, message)


def build(root: Path) -> bytes:
    """Compile a folder of sources by `opa build`; returns the code. Raises ConfigError."""
    program = opa(root)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "bundle.tar.gz")
        options = ["-t", "wasm", "-e", ENTRYPOINT, "--ignore", "*_test.rego", "--ignore", ".*"]
        done = _run([program, "build", *options, "-o", str(archive), "-b", str(root)], root)
        if done.returncode != 0:
            raise ConfigError(f"{root}: opa build: {_words(done)}")
        return _files(archive)[CODE]


def _ready(root: Path) -> Compiled:
    files = _files(root) if root.is_file() else _folder(root)
    if CODE not in files:
        raise ConfigError(
            f"policy.path: {root} has no {CODE}; compile the bundle with opa build -t wasm -e {ENTRYPOINT}"
        )
    beside = [name for name in files if name != DATA and Path(name).name in ("data.json", "data.yaml", "data.yml")]
    if beside:
        raise ConfigError(f"policy.path: {root}: {beside[0]}: a compiled bundle has one {DATA}, at its root")
    data = files.get(DATA) or b"{}"
    version = hashlib.sha256(b"%d %s%s" % (len(files[CODE]), files[CODE], data)).hexdigest()[:SHORT]
    shown = {name: text.decode(errors="replace") for name, text in files.items() if name.endswith(".rego")}
    modules = tuple(rego.read(name, source) for name, source in shown.items())
    return Compiled(root, version, files[CODE], parse_json(f"{root}/{DATA}", data), modules)


def _files(archive: Path) -> dict[str, bytes]:
    try:
        return unpack(archive.read_bytes())
    except OSError as error:
        raise ConfigError(f"policy.path: {archive} cannot be read: {error.strerror}") from None
    except SourceError as error:
        raise ConfigError(f"policy.path: {archive}: {error}") from None


def _folder(root: Path) -> dict[str, bytes]:
    try:
        return {str(file.relative_to(root)): file.read_bytes() for file in (root / CODE, *sources(root))}
    except OSError as error:
        raise ConfigError(f"policy.path: {root} cannot be read: {error.strerror}") from None


def _run(command: list[str], root: Path) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)  # noqa: S603  no shell
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{root}: opa {command[1]} ran longer than {LIMIT:g} s") from None
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}") from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The output of `opa` in one line."""
    return " ".join((done.stderr or done.stdout).decode(errors="replace").split())[:500]
