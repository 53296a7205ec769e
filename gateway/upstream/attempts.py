"""The attempts of a call: targets in order, then waiting for a provider's limits, then retries.

Config key: `routing`. A call is sent to the first target whose circuit is closed and whose window has room. If there is
none, the call waits for the one that will have room first, within `routing.wait`; a target that failed is tried again
within the budget of retries. After an answer has begun, there is no second try.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from gateway.call import Call, Target
from gateway.errors import Refusal, release
from gateway.redaction import openings
from gateway.stores import Outages
from gateway.translate.words import Untranslatable
from gateway.upstream.answer import Answer
from gateway.upstream.failures import Failed
from gateway.upstream.health import Account, Healths
from gateway.upstream.retries import pause
from gateway.upstream.sender import Sender

_PROBE = 60.0  # seconds after which another gateway may probe a target, if this one has died meanwhile
_OF_A_KEY = frozenset({"limited", "denied"})  # kinds of failures after which another key may do
_BYTES = 4  # bytes of a request for each token of its estimate


class _Next(NamedTuple):
    """Where a call goes next: seconds until then in all, those before it asks for room, and the target."""

    wait: float
    pause: float
    target: Target
    account: Account


class Attempts:
    """Built for one configuration. `outages`: None if no other gateway is to be asked."""

    def __init__(self, healths: Healths, sender: Sender, outages: Outages | None, draw: random.Random) -> None:
        self._healths = healths
        self._sender = sender
        self._outages = outages
        self._draw = draw

    async def open(self, call: Call, targets: Sequence[Target]) -> Answer:
        """Send the call until a target begins to answer; writes `call.outcome`. Raises Refusal."""
        hedge = self._healths.retries.hedge
        if hedge is not None and len(targets) > 1 and _may_hedge(call):
            return await self._hedged(call, targets, hedge)
        return await self._in_order(call, targets)

    async def _in_order(self, call: Call, targets: Sequence[Target]) -> Answer:
        """One attempt after the other. Raises Refusal."""
        failed: dict[Target, Failed] = {}
        unable: dict[Target, Untranslatable] = {}  # targets of another format that cannot express the request
        for target in targets:
            health = self._healths.of(target)
            probes = not health.circuit.closed
            if probes and not await self._healths.may_probe(health, self._outages, _PROBE):
                continue
            accounts = health.chosen(call.admission.account) if health.several else (health.account,)
            for account in accounts:
                if account.window.guarded and not account.window.take(_tokens(call), time.monotonic()):
                    continue
                health.budget.calls += target not in failed
                try:
                    return await self._send(call, target, account, probes)
                except Untranslatable as fault:
                    release(fault)
                    unable[target] = fault
                    break
                except Failed as fault:
                    release(fault)
                    failed[target] = fault
                    if fault.kind not in _OF_A_KEY or probes:
                        break
            if probes:
                health.circuit.let_go()
        left = targets if not unable else [target for target in targets if target not in unable]
        if not left:
            raise next(iter(unable.values()))
        return await self._later(call, left, failed)

    async def _hedged(self, call: Call, targets: Sequence[Target], hedge: float) -> Answer:
        """The attempts, and the same without the first target beside them if these are silent for `hedge` seconds.

        The first that begins to answer serves the call, and the others are ended. Raises Refusal.
        """
        first = asyncio.ensure_future(self._in_order(call, targets))
        attempts, served = [first], list[asyncio.Future[Answer]]()
        try:
            await asyncio.wait(attempts, timeout=hedge)
            budget = self._healths.of(targets[0]).budget
            if first.done() or not budget.take(time.monotonic(), self._healths.retries):
                return await _served(first, served)
            twin = _twin(call)
            attempts.append(asyncio.ensure_future(self._in_order(twin, targets[1:])))
            await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
            if not any(_serves(attempt) for attempt in attempts):  # one failed, the other may not
                await asyncio.wait(attempts)
            call.outcome.tries += twin.outcome.tries - 1
            if not _serves(first) and _serves(attempts[1]):
                tries, call.outcome = call.outcome.tries, twin.outcome
                call.outcome.tries = tries
                return await _served(attempts[1], served)
            return await _served(first, served)
        finally:
            await _end([attempt for attempt in attempts if attempt not in served])

    async def _send(self, call: Call, target: Target, account: Account, probes: bool) -> Answer:
        """Send the call, and note how that ended. Raises Refusal."""
        health = account.health
        health.busy += 1
        account.busy += 1
        began = time.monotonic()
        try:
            answer = await self._sender.send(call, target, account)
        except BaseException as fault:
            health.busy -= 1
            account.busy -= 1
            if isinstance(fault, Failed):
                self._healths.failed(account, fault, probes)
            else:
                self._healths.ended(health, isinstance(fault, Refusal) and call.outcome.status > 0, probes)
            raise
        now = time.monotonic()
        answer.account = account
        health.measure(now - began, now)
        if call.admission.workflow:
            self._healths.remember(call.admission.workflow, target, account.name)
        self._healths.answered(account)
        return answer

    async def _later(self, call: Call, targets: Sequence[Target], failed: dict[Target, Failed]) -> Answer:
        """Wait for a window, or retry, as long as the call may wait. Raises Refusal."""
        rules, last = self._healths.retries, next(reversed(failed.values()), None)
        until, retries = time.monotonic() + rules.wait, 0
        while True:
            soonest = self._soonest(call, targets, failed, retries)
            if soonest is None:
                raise last or self._out(call, targets)
            now = time.monotonic()
            health, window, again = self._healths.of(soonest.target), soonest.account.window, soonest.target in failed
            call.outcome.provider, call.outcome.model = soonest.target
            if now + soonest.wait > until:
                raise last or window.late(call.team, _tokens(call), rules.wait)
            if again and (retries >= rules.most or not health.budget.take(now, rules)):
                raise failed[soonest.target]
            if soonest.pause:
                await asyncio.sleep(soonest.pause)
            if window.guarded and not window.take(_tokens(call), time.monotonic()):
                await window.turn(call.team, _tokens(call), until - time.monotonic(), rules.queue)
            retries += again
            health.budget.calls += not again
            try:
                return await self._send(call, soonest.target, soonest.account, False)
            except Failed as fault:
                release(fault)
                failed[soonest.target] = last = fault

    def _soonest(
        self, call: Call, targets: Sequence[Target], failed: dict[Target, Failed], retries: int
    ) -> _Next | None:
        """The target that the call can be sent to first; None if there is none."""
        found: list[_Next] = []
        for target in targets:
            health = self._healths.of(target)
            fault = failed.get(target)
            if not health.circuit.closed:
                continue
            for account in health.chosen(call.admission.account):
                wait: float | None = 0.0
                if fault is not None:
                    wait = pause(fault, retries, self._draw)
                    if fault.kind == "limited" and wait is not None and account.window.guarded:
                        wait = 0.0  # the window knows
                if wait is None:
                    continue
                window = account.window
                room = window.expected(call.team, _tokens(call), time.monotonic()) if window.guarded else 0.0
                found.append(_Next(max(wait, room), wait, target, account))
        return min(found, key=lambda one: one.wait, default=None)

    def _out(self, call: Call, targets: Sequence[Target]) -> Failed:
        """The refusal if the circuits of all targets are open."""
        now = time.monotonic()
        wait = max(1.0, min(self._healths.of(target).circuit.until - now for target in targets))
        names = " and ".join(dict.fromkeys(target.provider for target in targets))
        words = (
            f"The provider {names} failed several calls in succession, and is not called. Try again in {wait:.0f} s."
        )
        call.outcome.provider, call.outcome.model = targets[0]
        return Failed("down", words, retry_after=wait)


def _may_hedge(call: Call) -> bool:
    """Whether a call may be sent twice at a time: nothing at a provider changes by it."""
    request = call.request
    if call.codec.client:  # the connection is one to a single provider
        return False
    return call.reference is None and request.stored is None and not (request.form or call.codec.keeps(request.body))


def _twin(call: Call) -> Call:
    """The same call with a body and an outcome of its own."""
    body = openings.dumps(call)
    request = replace(call.request, body=orjson.loads(body), raw=body, edited=True, reading=None)
    outcome = replace(call.outcome, fitted=dict(call.outcome.fitted))
    return replace(call, request=request, outcome=outcome)


def _serves(attempt: asyncio.Future[Answer]) -> bool:
    """Whether an attempt has an answer."""
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None


async def _served(attempt: asyncio.Future[Answer], served: list[asyncio.Future[Answer]]) -> Answer:
    """The answer or the fault of an attempt, which is that of the call unless the caller leaves at this moment."""
    try:
        answer = await attempt
    except Exception:  # whoever handles the fault frees its frames, and may log them before
        served.append(attempt)
        raise
    served.append(attempt)
    return answer


async def _end(attempts: Sequence[asyncio.Future[Answer]]) -> None:
    """End the attempts that do not serve the call, also if that is cut short."""
    for attempt in attempts:
        if attempt.done():
            _close(attempt)
        else:
            attempt.add_done_callback(_close)
            attempt.cancel()
    if left := [attempt for attempt in attempts if not attempt.done()]:
        await asyncio.wait(left)


def _close(attempt: asyncio.Future[Answer]) -> None:
    if _serves(attempt):
        attempt.result().close(finished=False)
    elif not attempt.cancelled():
        release(attempt.exception())


def _tokens(call: Call) -> int:
    """About how many tokens the provider will count for the request."""
    return max(1, len(call.request.raw) // _BYTES)
