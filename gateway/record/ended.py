"""The record of a call that has ended, and its subscribers: decision log, metrics, log.

Config keys: `audit`, `log`. The settle stage creates one `Ended` per call and passes it to the `Recorder`, which alone
calls the subscribers. The fault of a subscriber is logged and counted, and the other subscribers are still called: the
answer has left already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.amounts import Balance, Debit
from gateway.budget import PASSING
from gateway.call import Call, Decision, Subject, Usage
from gateway.errors import Failures, trace
from gateway.stores import StoreUnavailable

_log = logging.getLogger("meshgate")


@dataclass(slots=True)  # not frozen: that would make the creation three times as long
class Ended:
    """How a call ended: names, counts and amounts; never a raw value, a prompt or an answer. Subscribers only read it.

    `status`: the HTTP status that the caller got (499: the caller had disconnected). `cost`: nano-USD. Times are in
    nanoseconds of `time.perf_counter_ns`. `stages`: each stage with the time of its end, in order. `model`: the name of
    the resource in the configuration. `balances`: parallel to `debits`; empty without a reservation.
    """

    id: str
    correlation_id: str
    subject: Subject | None
    route: str
    kind: str
    model: str
    stream: bool
    status: int
    code: str  # of the refusal; "" without one
    stage: str  # the stage that refused; "" without a refusal
    unknown: bool  # the call was refused before its caller was identified
    throttled: bool  # one of many calls without a valid key from its address: not recorded one by one
    decision: Decision | None
    provider: str
    provider_model: str
    provider_status: int
    tries: int
    calls: bool  # the call has arguments: of a tool, or a message to an agent
    sent: bool
    finished: bool
    failed: bool  # the answer says that the called agent has failed
    replayed: bool
    hit: bool  # the answer is one of the cache
    saved: int  # nano-USD that the call would have cost without the cache
    usage: Usage | None
    cost: int
    priced: bool  # False: the price is unknown, and the cost is 0
    debits: Sequence[Debit]
    bound: bool  # of tokens and cost, an upper bound was reserved
    balances: Sequence[Balance]
    redacted: Mapping[str, int]
    screened: Mapping[str, int]
    started_ns: int
    first_byte_ns: int
    ended_ns: int
    stages: Sequence[tuple[str, int]]


def ended(call: Call, status: int, cost: int, ended_ns: int) -> Ended:
    """The record of a call."""
    outcome, refusal, reservation = call.outcome, call.refusal, call.admission.reservation
    return Ended(
        id=call.id,
        correlation_id=call.request.correlation_id,
        subject=call.subject,
        route=call.route,
        kind=call.resource.kind,
        model=call.request.label,
        stream=call.request.stream,
        status=status,
        code=refusal.code if refusal is not None else "",
        stage=(refusal.stage or call.stage) if refusal is not None else "",
        unknown=call.subject is None and refusal is not None,
        throttled=call.throttled,
        decision=call.authorization.decision,
        provider=outcome.provider,
        provider_model=outcome.model,
        provider_status=outcome.status,
        tries=outcome.tries,
        calls=bool(call.resource.arguments),
        sent=outcome.sent,
        finished=outcome.finished,
        failed=outcome.failed,
        replayed=call.replay.given,
        hit=outcome.hit,
        saved=outcome.saved,
        usage=outcome.usage,
        cost=cost,
        priced=outcome.priced,
        debits=call.admission.debits,
        bound=call.admission.bound,
        balances=reservation.balances if reservation is not None else (),
        redacted=call.redaction.counts,
        screened=call.screening.counts,
        started_ns=call.started_ns,
        first_byte_ns=outcome.first_byte_ns,
        ended_ns=ended_ns,
        stages=call.stages,
    )


Subscriber = Callable[[Ended], object]


def report(fault: BaseException, what: str, stage: str, failures: Failures) -> None:
    """Log a fault after the answer has left, when no refusal is possible; count the gateway's own faults.

    `what` begins the log line; `failures` counts by `stage`.
    """
    if isinstance(fault, StoreUnavailable):
        _log.error("%s: %s", what, fault)
    else:
        _log.error("%s: %s", what, trace(fault))
        failures(stage)


class Recorder:
    """Calls each subscriber, in order, for each call that ended; those in `special` for calls of one kind."""

    def __init__(
        self, subscribers: Sequence[Subscriber], failures: Failures, special: Mapping[str, Subscriber] = {}
    ) -> None:
        self._subscribers = tuple(subscribers)
        self._special = {kind: (*subscribers, one) for kind, one in special.items()}
        self._failures = failures

    def tell(self, record: Ended) -> None:
        """Call every subscriber. A fault is logged and counted."""
        for subscriber in self._special.get(record.kind, self._subscribers):
            try:
                subscriber(record)
            except PASSING:
                raise
            except BaseException as fault:
                report(fault, f"call {record.id} could not be recorded", "record", self._failures)
