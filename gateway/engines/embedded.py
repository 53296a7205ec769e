"""`policy.engine: embedded`: the bundle judged in this process, by a compiled program, with a memo.

Refuses at load what the interpreter does not do as OPA does (`admission`). Fails closed: an error, an undefined result,
an input that its builtins would misread, one too large, and a timeout all raise `PolicyUnavailable`.

No evaluation holds the gateway up, though none can be interrupted: the interpreter counts statements and gives up at a
limit. A small input is judged on the event loop within `STATEMENTS`, a few milliseconds; one that this is not enough
for, or a larger one, on a thread of its own within `policy.timeout`. A statement can be slow by itself, a builtin over
much data: a bundle that once took longer than `SLOW` on the loop is judged on the thread from then on.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor

from gateway.call import Json
from gateway.engines.admission import MAX_WILDCARDS, admit, suits
from gateway.engines.base import ENTRYPOINT, PolicyUnavailable
from gateway.engines.bundle import Bundle
from gateway.engines.memo import Memoized
from gateway.engines.outline import mentions
from gateway.engines.program import UNDEFINED, EvaluationError, Machine, Program, TooLong
from gateway.errors import ConfigError

AT_ONCE = 2048
"""Bytes of what the policy reads, up to which it is judged on the event loop."""
STATEMENTS = 10_000
"""Statements up to which a policy is judged on the event loop: about 3 ms. The shipped policies take some hundred."""
PACE = 5_000_000
"""Statements that no policy gets through in a second: the time limit comes first, and the thread ends soon after."""
SLOW = 0.02
"""Seconds of CPU on the event loop that are too many."""
LARGEST = 65_536
"""Bytes of what the policy reads, beyond which it is not judged."""
GLOBBED_AT_ONCE = 512
"""The same for a policy with glob.match, which costs more."""
MOST_GIVEN_UP = 2
"""Evaluations that took too long and still run, for none can be ended; beyond them none is begun beside the loop."""
LONGEST_GLOBBED = 256
"""Bytes of one string that globs are matched with: the matcher's time grows with the square."""


class Embedded(Memoized):
    """One compiled bundle. Raises ConfigError if it may not be evaluated here or does not compile."""

    def __init__(self, bundle: Bundle, timeout: float = 1.0) -> None:
        if not any(module.package == "gateway" and "decision" in module.heads for module in bundle.modules):
            raise ConfigError(f"{bundle.path}: no rule `decision` in `package gateway`, which is the entry point")
        self._traits = admit((*bundle.modules, *bundle.tests), bundle.data)
        labels = mentions(bundle.modules, "labels")
        super().__init__(self._traits.inputs, volatile=self._traits.volatile, sets_labels=labels)
        self._program = Program(bundle.modules, bundle.data, [ENTRYPOINT])
        self._timeout = timeout
        self._machine = Machine(self._program, STATEMENTS)
        self._at_once = self._machine.limited
        self._thread: ThreadPoolExecutor | None = None
        self._given_up: list[Future[bool]] = []
        self.version = bundle.version
        try:  # Some mistakes show at the first evaluation only.
            Machine(self._program, int(timeout * PACE)).evaluate(b"{}")
        except TooLong:
            raise ConfigError(f"{bundle.path}: the policy takes longer than {timeout:g} s even without input") from None
        except EvaluationError as error:
            raise ConfigError(f"{bundle.path}: data.gateway.decision cannot be evaluated: {error}") from None

    async def close(self) -> None:
        """Let the thread go; what it still evaluates is not waited for."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _judge(self, term: bytes) -> Json:
        traits = self._traits
        if len(term) > LARGEST:
            raise PolicyUnavailable(f"what the policy reads of the call is larger than {LARGEST} bytes")
        if not suits(traits, term):
            raise PolicyUnavailable(
                "the call has a quote, a backslash, a control character or one outside ASCII where the policy reads, "
                "and the policy uses builtins that the embedded engine cannot apply there; use policy.engine: opa"
            )
        if traits.globs and not _globs_end(term):
            raise PolicyUnavailable(f"a name in the call is longer than {LONGEST_GLOBBED} bytes, or has wildcards")
        try:
            value = await self._evaluate(term)
        except (TimeoutError, TooLong):
            raise PolicyUnavailable(f"the policy took longer than {self._timeout:g} s") from None
        except EvaluationError as error:
            raise PolicyUnavailable(f"the policy failed: {error}") from None
        if value is UNDEFINED or not isinstance(value, dict):
            raise PolicyUnavailable("data.gateway.decision is undefined or no object")
        return value

    async def _evaluate(self, term: bytes) -> object:
        if self._at_once and len(term) <= (GLOBBED_AT_ONCE if self._traits.globs else AT_ONCE):
            begun = time.thread_time()
            try:
                return self._machine.evaluate(term)
            except TooLong:
                pass
            finally:
                self._at_once = time.thread_time() - begun < SLOW
        return await self._aside(term)

    async def _aside(self, term: bytes) -> object:
        """On the thread: one at a time. What runs too long keeps its thread, and the next call has another."""
        self._given_up = [one for one in self._given_up if not one.done()]
        if len(self._given_up) >= MOST_GIVEN_UP:
            raise PolicyUnavailable(
                f"{MOST_GIVEN_UP} evaluations that took longer than {self._timeout:g} s still run; the policy needs "
                "too long for what it reads of some calls: use policy.engine: wasm, whose evaluations can be ended"
            )
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "policy")
        thread = self._thread
        machine = Machine(self._program, int(self._timeout * PACE))
        running = asyncio.get_running_loop().run_in_executor(thread, machine.evaluate, term)
        try:
            return await asyncio.wait_for(running, self._timeout)
        except TimeoutError:
            if self._thread is thread:  # this call or one before it takes too long: the next has another thread
                self._thread = None
                self._given_up.append(thread.submit(bool))  # done once the thread is free
                thread.shutdown(wait=False)
            raise


def _globs_end(term: bytes) -> bool:
    """Whether matching globs on the strings of an input ends soon: they are short, and are no patterns themselves."""
    # Strings hold no quote here (`suits`), so every second piece is one.
    strings = term.split(b'"')[1::2]
    return all(len(text) <= LONGEST_GLOBBED and text.count(b"*") <= MAX_WILDCARDS for text in strings)
