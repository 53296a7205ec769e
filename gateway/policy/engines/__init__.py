"""The engines that judge policies: one module for each value of `policy.engine`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.policy.engines.base import Engine, PolicyUnavailable
from gateway.policy.engines.bundle import load

if TYPE_CHECKING:
    from gateway.config.sections import Policy

__all__ = ["Engine", "PolicyUnavailable", "load_engine", "open_engine"]


# Engines are imported on use: an engine that is not configured costs nothing.
def _embedded(policy: Policy) -> Engine:
    from gateway.policy.engines.embedded import Embedded
    from gateway.policy.engines.trial import tried

    return Embedded(tried(policy.path, strict=policy.strict), policy.timeout, strict=policy.strict)


def _opa(policy: Policy) -> Engine:
    from gateway.policy.engines.opa import Opa

    # The OPA server may have more builtins, so the tests of its bundle are run there: `opa test`.
    return Opa(policy.url, policy.timeout, load(policy.path) if Path(policy.path).is_dir() else None)


def _wasm(policy: Policy) -> Engine:
    from gateway.policy.engines.compiled import compiled, run_tests
    from gateway.policy.engines.trial import all_passed
    from gateway.policy.engines.wasm import Wasm

    bundle = compiled(policy.path)
    all_passed(run_tests(bundle.path) if bundle.built else ())
    return Wasm(bundle, policy.timeout)


ENGINES: Mapping[str, Callable[[Policy], Engine]] = {"embedded": _embedded, "wasm": _wasm, "opa": _opa}


def load_engine(policy: Policy) -> Engine:
    """Load, compile and test the configured bundle. Slow: not for the event loop. Raises ConfigError."""
    return ENGINES[policy.engine](policy)


async def open_engine(policy: Policy) -> Engine:
    """An engine that is ready to judge. Raises ConfigError, PolicyUnavailable."""
    engine = await asyncio.to_thread(load_engine, policy)
    try:
        await engine.open()
    except PolicyUnavailable:
        await engine.close()
        raise
    return engine
