"""`policy.engine: wasm`: a bundle compiled by OPA, run in this process by wasmtime, with a memo.

Config keys: `policy.path` (see `compiled`), `policy.timeout`. Needs the extra `wasm`. Most builtins are inside the
compiled bundle; `host` provides others, and a bundle that needs any further builtin is refused. Fails closed: an error,
an undefined result and a timeout raise `PolicyUnavailable`.

Compiled, `glob.match` misreads line breaks and NUL. Inputs with them are judged by the embedded engine, if the sources
of the bundle are known and this engine runs them; otherwise the call is denied.

Evaluations run on `WORKERS` threads, never on the event loop. The epochs of wasmtime end an evaluation that takes
longer than `policy.timeout`, and its instance is discarded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import orjson

from gateway.call import Json
from gateway.errors import ConfigError
from gateway.policy.engines import outline as rego
from gateway.policy.engines.base import ENTRYPOINT, PolicyUnavailable
from gateway.policy.engines.bundle import Bundle
from gateway.policy.engines.compiled import Compiled
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.host import Clock, Undefined, builtins
from gateway.policy.engines.memo import Memoized

try:
    import opapywasm
    from opapywasm.instance import OpaPolicyInstance
except ImportError:
    raise ConfigError(
        "policy.engine: wasm needs the extra `wasm` (opa-py-wasm with wasmtime): run "
        ".venv/bin/pip install -e '.[wasm]' in the project's folder, or use `policy.engine: embedded`"
    ) from None

WORKERS = 2
"""Concurrent evaluations."""
PAGES = 1024
"""Pages of 64 kB that one evaluation may use, including the data."""
LARGEST = 1_000_000
"""Largest input in bytes; a larger input is not judged."""


_UNMATCHED = re.compile(rb"(?:^|[^\\])(?:\\\\)*\\(?:n|u0000)")  # in JSON
_MISREAD = re.compile(r"[$()]")
_GLOBS = (
    "a string with $, ( or ) in a bundle that uses glob.match, which misreads these characters when compiled; use "
    "`policy.engine: opa`"
)

VOLATILE = frozenset({"time.now_ns"})
"""Builtins whose result changes without the input: verdicts of bundles that use them are not memoized."""


class _Instance(OpaPolicyInstance):
    """An instance that supports undefined builtins: for the compiled policy, the address 0."""

    def _dispatch_builtin(self, builtin_id: int, ctx: int, arg_addrs: list[int]) -> int:
        try:
            return int(super()._dispatch_builtin(builtin_id, ctx, arg_addrs))
        except opapywasm.OpaBuiltinError as error:
            if isinstance(error.__cause__, Undefined):
                return 0
            raise


class _Policy(opapywasm.OpaWasmPolicy):
    def _build_instance(self) -> OpaPolicyInstance:
        data, version = self._data_snapshot()
        return _Instance(
            self._factory,
            self._config,
            self._abi_spec,
            initial_data=data,
            data_version=version,
            builtins=self._registry,
            epoch=self._factory.epoch,
        )


class Wasm(Memoized):
    """One compiled bundle. Raises ConfigError if the bundle cannot be evaluated here."""

    def __init__(self, bundle: Compiled, timeout: float = 1.0) -> None:
        self.version = bundle.version
        self._timeout = timeout
        self._clock = Clock()
        self._policy = _policy(bundle, timeout, self._clock)
        self._globs = _globs(bundle)
        self._exact = _embedded(bundle, timeout) if self._globs else None
        # Only the sources of a bundle that was built here reliably say what the code reads.
        inputs = frozenset().union(*(module.inputs for module in bundle.modules)) if bundle.built else {()}
        labels = not bundle.built or rego.mentions(bundle.modules, "labels")
        super().__init__(inputs, volatile=bool(self._policy.builtins.keys() & VOLATILE), sets_labels=labels)
        self._threads = ThreadPoolExecutor(WORKERS, "policy")
        try:
            self._evaluate(b"{}")
        except opapywasm.OpaWasmError as error:
            raise ConfigError(f"{bundle.path}: data.gateway.decision cannot be evaluated: {_words(error)}") from None

    async def close(self) -> None:
        """Release the threads; running evaluations end by their time limit."""
        if self._exact is not None:
            await self._exact.close()
        self._threads.shutdown(wait=False)
        self._policy.close()

    async def _judge(self, document: Json, key: bytes) -> tuple[Json, Iterable[rego.Path]]:
        del key
        term = self._projection.term(document)
        if len(term) > LARGEST:
            raise PolicyUnavailable(f"the part of the input that the policy reads is larger than {LARGEST} bytes")
        if self._globs and _UNMATCHED.search(term):
            if self._exact is not None:
                return await self._exact.decide(document), self._inputs
            raise PolicyUnavailable(
                "a value that the policy reads has a line break or a NUL, and the policy uses glob.match, which "
                "misreads these characters when compiled; use policy.engine: opa, or let the gateway compile"
            )
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._evaluate, term)
        try:
            value = await asyncio.wait_for(running, self._timeout)
        except TimeoutError:
            raise PolicyUnavailable(f"the policy took longer than {self._timeout:g} s") from None
        except opapywasm.OpaWasmError as error:
            raise PolicyUnavailable(f"the policy failed: {_words(error)}") from None
        if not isinstance(value, dict):
            raise PolicyUnavailable("data.gateway.decision is undefined or not an object")
        return value, self._inputs

    def _evaluate(self, term: bytes) -> object:
        self._clock.set()
        return self._policy.evaluate(term, ENTRYPOINT)


def _embedded(bundle: Compiled, timeout: float) -> Embedded | None:
    """The embedded engine for the sources of a bundle; None if they are unknown, or use what this engine lacks."""
    if not bundle.built:
        return None
    try:
        return Embedded(Bundle(bundle.path, bundle.version, bundle.modules, bundle.data, ()), timeout)
    except ConfigError:
        return None


def _globs(bundle: Compiled) -> bool:
    """Whether the bundle may use glob.match. Raises ConfigError for a pattern that OPA compiles wrongly.

    The sources in an archive are empty where `opa build` compiled them; then the names of functions in the code tell.
    """
    calls = [(module, call) for module in bundle.modules for call in rego.calls(module) if call.name == "glob.match"]
    hidden = any(
        "glob" in token.text for module in bundle.modules for token in module.tokens if token.kind == "template"
    )
    named = bundle.built or b"opa_value_compare" in bundle.code  # not stripped of names
    if named and not calls and not hidden and (bundle.built or b"glob_match" not in bundle.code):
        return False
    for module, call in calls:
        for token in (token for argument in rego.arguments(module, call) for token in argument):
            if token.kind in ("string", "raw") and _MISREAD.search(token.text):
                raise ConfigError(f"{module.file}:{token.line}: {_GLOBS}")
    for path, text in _strings(bundle.data):
        if _MISREAD.search(text):
            raise ConfigError(f"data.{'.'.join(path)}: {_GLOBS}")
    return True


def _policy(bundle: Compiled, timeout: float, clock: Clock) -> _Policy:
    config = opapywasm.PolicyConfig(
        pool_size=WORKERS,
        borrow_timeout_seconds=timeout,
        max_input_bytes=LARGEST,
        parse_raw_json_input=False,  # the input was written by orjson
        max_memory_pages=PAGES,
        eval_timeout_seconds=timeout,
    )
    try:
        policy = _Policy(bundle.code, config)
        policy.set_data(orjson.dumps(dict(bundle.data)))
    except opapywasm.OpaWasmError as error:
        raise ConfigError(f"{bundle.path}: {_words(error)}") from None
    if ENTRYPOINT not in policy.entrypoints:
        raise ConfigError(f"{bundle.path}: compiled without its entry point: opa build -t wasm -e {ENTRYPOINT}")
    has = builtins(clock)
    for name in sorted(policy.builtins.keys() - has.keys()):
        raise ConfigError(
            f"{_where(bundle, name)}: {name} is refused by the wasm engine: a compiled bundle needs this builtin from "
            "its host, and the gateway does not have it; use `policy.engine: opa`"
        )
    for name in policy.registered_builtins:
        if name not in has:
            policy.register_builtin(name, _absent)
    for name, function in has.items():
        policy.register_builtin(name, function)
    return policy


def _absent(*_: object) -> None:
    raise ValueError("this builtin is not provided")


def _where(bundle: Compiled, name: str) -> str:
    """File and line of the first call; the path of the bundle without sources."""
    for module in bundle.modules:
        for call in rego.calls(module):
            if call.name == name:
                return f"{module.file}:{call.line}"
    return str(bundle.path)


def _words(error: Exception) -> str:
    """The error without the stack trace of wasmtime."""
    text = str(error)
    if "time limit" in text:
        return "the evaluation took too long"
    return text.strip().split("\n")[0][:200]


def _strings(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string of a document, also keys, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, key
            yield from _strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, str(index)))
