"""`policy.engine: embedded`: the bundle compiled to Python and evaluated in this process, with a memo.

Fails closed: an error, an undefined result and a timeout raise `PolicyUnavailable`. No evaluation blocks the gateway,
because it counts steps and reads the clock. Small inputs are judged on the event loop, within `STEPS` steps and
`AT_ONCE` seconds; an evaluation that needs more is restarted in a thread and may take until `policy.timeout`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from gateway.call import Json
from gateway.errors import ConfigError
from gateway.policy.engines.base import ENTRYPOINT, PolicyUnavailable
from gateway.policy.engines.bundle import Bundle, program
from gateway.policy.engines.memo import Memoized
from gateway.policy.engines.outline import Path, mentions
from gateway.policy.engines.rego import EvaluationError, TooLong
from gateway.policy.engines.rego.program import STEPS as MOST_STEPS
from gateway.policy.engines.rego.values import Value

PATH = ("data", *ENTRYPOINT.split("/"))
STEPS = 20_000
"""Steps that an evaluation may take on the event loop; the shipped policies take a few hundred."""
AT_ONCE = 0.02
"""Seconds that an evaluation may take on the event loop."""
LARGEST_AT_ONCE = 65_536
"""Largest input in bytes that is judged on the event loop; only the part that the policy reads counts."""
WAITING = 64
"""Evaluations that may wait for the thread; further calls are denied."""


class Embedded(Memoized):
    """One compiled bundle. Raises ConfigError if it does not compile."""

    def __init__(self, bundle: Bundle, timeout: float = 1.0, *, strict: bool = False) -> None:
        check_entry_point(bundle)
        self._program = program(bundle.modules, bundle.data, strict=strict)
        plans = self._program.reaches(PATH)
        inputs = frozenset().union(*(plan.inputs for plan in plans))
        volatile = any(plan.volatile for plan in plans)
        super().__init__(inputs, volatile=volatile, sets_labels=mentions(bundle.modules, "labels"))
        self._timeout = timeout
        self._at_once = min(AT_ONCE, timeout)
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0
        self.version = bundle.version
        try:  # some mistakes are found only by an evaluation
            self._evaluate({}, MOST_STEPS, timeout)
        except TooLong:
            raise ConfigError(f"{bundle.path}: the policy takes longer than {timeout:g} s even without input") from None
        except EvaluationError as error:
            raise ConfigError(f"{bundle.path}: data.gateway.decision cannot be evaluated: {error}") from None

    async def close(self) -> None:
        """Release the thread; a running evaluation ends by its own deadline."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _judge(self, document: Json, key: bytes) -> tuple[Json, Iterable[Path]]:
        del document  # only the part is judged
        part = self._projection.part(key)
        try:
            value, read = await self._within(part, len(key))
        except TooLong:
            raise PolicyUnavailable(f"the policy took longer than {self._timeout:g} s") from None
        except EvaluationError as error:
            raise PolicyUnavailable(f"the policy failed: {error}") from None
        if type(value) is not dict:
            raise PolicyUnavailable("data.gateway.decision is undefined or not an object")
        return value, read

    async def _within(self, document: Json, size: int) -> tuple[Value, set[Path]]:
        if size <= LARGEST_AT_ONCE:
            try:
                return self._evaluate(document, STEPS, self._at_once)
            except TooLong:
                pass
        if self._waiting >= WAITING:
            raise PolicyUnavailable("too many long evaluations are waiting")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "policy")
        self._waiting += 1
        try:
            deadline = time.monotonic() + self._timeout
            running = asyncio.get_running_loop().run_in_executor(self._thread, self._until, document, deadline)
            return await asyncio.wait_for(running, self._timeout + AT_ONCE)  # a builtin may not read the clock
        except TimeoutError:
            raise TooLong("the evaluation took longer than policy.timeout") from None
        finally:
            self._waiting -= 1

    def _until(self, document: Json, deadline: float) -> tuple[Value, set[Path]]:
        return self._evaluate(document, MOST_STEPS, deadline - time.monotonic())

    def _evaluate(self, document: Json, steps: int, seconds: float) -> tuple[Value, set[Path]]:
        env = self._program.env(document, steps=steps, deadline=time.monotonic() + seconds)
        return self._program.document(PATH, env), {path[1:] for path in env.read}


def check_entry_point(bundle: Bundle) -> None:
    """Raise ConfigError if the bundle has no entry point."""
    if not any(module.package == "gateway" and "decision" in module.heads for module in bundle.modules):
        raise ConfigError(f"{bundle.path}: no rule `decision` in `package gateway`, which is the entry point")
