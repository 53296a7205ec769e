"""The quotas of a workflow (team and correlation id) over all its calls. Config key: `quotas`.

Describes debits, which the store takes. A call reserves its input tokens and its output ceiling at the model's highest
price before it is sent, and is charged the usage that the provider reports. Money is in nano-USD, exact, rounded up
once for each call.
Error codes: `quota_exceeded` (the workflow freezes), `quota_busy` (calls in flight hold the rest), `workflow_frozen`
(also for an expired or closed workflow), `hop_limit` and `loop_detected` (this call only), `invalid_request` for a
workflow that must be opened first, and `rate_limited` for the buckets of `limits`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from gateway.amounts import MOST, NANO_USD, SHARE, Ask, Debit, Rejection
from gateway.call import Usage
from gateway.config import tiers
from gateway.config.limits import Quotas as Settings
from gateway.config.models import Model, Price
from gateway.errors import Refusal
from gateway.limits.ratelimit import duration

# Retry-After in seconds while calls in flight hold the rest; when they end is unknown.
_BUSY_RETRY = 1.0

_new = tuple.__new__  # a named tuple without the function that a call of its class runs
_ANOTHER = "start a new workflow with another X-Correlation-Id."
_START = "Start a new workflow with another X-Correlation-Id."
_HELP = f"An operator can resume it with `meshgate workflows resume`, also with a top-up; otherwise {_ANOTHER}"


class Quotas:
    """The configured quotas. Pure: no clock, no store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cost = None if settings.cost_usd is None else math.floor(Fraction(str(settings.cost_usd)) * NANO_USD)
        limited = settings.model_dump(exclude={"ttl", "wait"}, exclude_none=True)
        self._metered = any(value is not False for value in limited.values())
        self._rates: dict[tuple[int, str], tuple[Model, HighestRates]] = {}  # by identity of the model, and tier
        self._most_tokens = MOST if settings.tokens is None else settings.tokens
        self._most_cost = MOST if self._cost is None else self._cost
        self._one_call = Debit("calls", "calls", 1, MOST if settings.calls is None else settings.calls, "quotas.calls")
        self._times = whole(settings.seconds), math.ceil(settings.ttl), whole(settings.idle)

    @property
    def ceilings(self) -> dict[str, int]:
        """The limits of a workflow by quota key, without unlimited quotas. Money in nano-USD."""
        found = {"tokens": self._settings.tokens, "cost": self._cost, "calls": self._settings.calls}
        return {key: limit for key, limit in found.items() if limit is not None}

    def debits(
        self, model: Model | None, input_tokens: int, ceiling: int, tier: str = "", price: int = 0, sampled: int = 0
    ) -> list[Debit]:
        """The debits of a call with at most `input_tokens` in and `ceiling` out, in the requested service tier.

        A call of a kind without models (None) costs `price` in nano-USD, and has no tokens but those of a model of the
        caller (`sampled`). With a quota of cost, the
        balance is read for calls without a price, too, because policies compare with it.
        If any quota is limited, the others are counted with a limit that is never reached, so that operators see usage.
        """
        if not self._metered:
            return []
        if model is None and sampled:
            used = Debit("tokens", "tokens", sampled, self._most_tokens, "quotas.tokens")
            return [used, Debit("cost", "cost", price, self._most_cost, "quotas.cost_usd"), self._one_call]
        if model is None and not price and self._cost is None:
            return [self._one_call]
        if model is None:
            return [Debit("cost", "cost", price, self._most_cost, "quotas.cost_usd"), self._one_call]
        amount = self._highest(model, tier).cost(input_tokens, ceiling)
        tokens = ("tokens", "tokens", input_tokens + ceiling, self._most_tokens, "quotas.tokens", 0.0, 0, "")
        cost = ("cost", "cost", amount, self._most_cost, "quotas.cost_usd", 0.0, 0, "")
        return [_new(Debit, tokens), _new(Debit, cost), self._one_call]

    def most(self, model: Model, input_tokens: int, output_tokens: int) -> int:
        """The highest cost of these tokens in nano-USD, at any target of a model."""
        return self._highest(model, "").cost(input_tokens, output_tokens)

    def _highest(self, model: Model, tier: str) -> HighestRates:
        """The highest rates of a model: any target may serve the call, in any possible tier."""
        known = self._rates.get((id(model), tier))
        if known is None or known[0] is not model:
            if len(self._rates) >= 1024:  # models by a pattern come and go
                self._rates.clear()
            prices = [possible for price in model.prices.values() for possible in tiers.possible(price, tier)]
            known = self._rates[id(model), tier] = model, HighestRates(prices)
        return known[1]

    def rest(
        self, debits: Sequence[Debit], model: Model | None, input_tokens: int, ceiling: int, tier: str = ""
    ) -> tuple[Debit, ...]:
        """The debits in addition to `debits` for a call routed to another model; empty if not more expensive."""
        reserved = {debit.key: debit.amount for debit in debits if not debit.refill}
        needs = [(it, it.amount - reserved.get(it.key, 0)) for it in self.debits(model, input_tokens, ceiling, tier)]
        return tuple(it._replace(amount=more) for it, more in needs if more > 0)

    def ask(
        self,
        id: str,
        team: str,
        correlation_id: str,
        agent: str,
        debits: Sequence[Debit],
        *,
        lapse: float,
        chained: bool = False,
        look: bool = False,
        history: bool = False,
        tools: tuple[str, ...] = (),
    ) -> Ask:
        """Everything that a call reserves. `lapse`: seconds after which an unsettled reservation counts as lost."""
        seconds, ttl, idle = self._times
        strict, first = self._settings.strict, False
        who = (id, team, correlation_id, agent, tuple(debits), seconds, ttl, math.ceil(lapse), idle, strict, first)
        ask: Ask = _new(Ask, (*who, chained, look, history, tools, True, 0))
        return ask


def whole(seconds: float | None) -> int | None:
    """A time of the configuration for the store: whole seconds, rounded up."""
    return None if seconds is None else math.ceil(seconds)


class _Rates(NamedTuple):
    """Prices of one token in nano-USD, as numerators over one denominator."""

    input: int
    output: int
    cached: int
    reasoning: int
    audio: int
    audio_input: int
    cache_write: int
    denominator: int


_known: dict[int, tuple[Price, _Rates]] = {}  # by identity: hashing a price would take longer than charging a call


def _rates(price: Price) -> _Rates:
    known = _known.get(id(price))
    if known is None or known[0] is not price:
        if len(_known) >= 1024:
            _known.clear()
        known = _known[id(price)] = (price, _exactly(price))
    return known[1]


def _exactly(price: Price) -> _Rates:
    """Exact rates. A part without a price of its own has the general price; decimals are exact, as in the file."""
    parts = (
        price.input,
        price.output,
        price.input if price.cached_input is None else price.cached_input,
        price.output if price.reasoning is None else price.reasoning,
        price.output if price.audio is None else price.audio,
        next(usd for usd in (price.audio_input, price.audio, price.input) if usd is not None),
        price.input if price.cache_write is None else price.cache_write,
    )
    exact = [Fraction(str(usd)) * NANO_USD / 1_000_000 for usd in parts]
    denominator = math.lcm(*(it.denominator for it in exact))
    return _Rates._make([*(int(it * denominator) for it in exact), denominator])


class HighestRates:
    """The highest rates of several prices, for reservations: each is (input, output, denominator) in nano-USD."""

    __slots__ = ("_rates",)

    def __init__(self, prices: Iterable[Price]) -> None:
        found = dict.fromkeys(
            (
                max(rates.input, rates.cached, rates.cache_write, rates.audio_input),
                max(rates.output, rates.reasoning, rates.audio),
                rates.denominator,
            )
            for rates in map(_rates, prices)
        )
        self._rates = tuple(found)

    def cost(self, input_tokens: int, ceiling: int) -> int:
        """The highest possible cost of a call in nano-USD, for any distribution of its tokens; rounded up."""
        if len(self._rates) == 1:
            into, out, below = self._rates[0]
            return -(-(input_tokens * into + ceiling * out) // below)
        return max([-(-(input_tokens * into + ceiling * out) // below) for into, out, below in self._rates])


def cost(price: Price, usage: Usage) -> int:
    """The cost of a call in nano-USD, exact, rounded up once. Parts that exceed their total are cut to the total."""
    rates = _rates(price)
    total_in, total_out = usage.input, usage.output
    if not (0 <= total_in <= MOST and 0 <= total_out <= MOST):
        total_in, total_out = _sane(total_in), _sane(total_out)
    if not (usage.cached or usage.reasoning or usage.audio or usage.audio_input or usage.cache_write):
        return min(MOST, -(-(total_in * rates.input + total_out * rates.output) // rates.denominator))
    cached = min(_sane(usage.cached), total_in)
    cache_write = min(_sane(usage.cache_write), total_in - cached)
    audio_input = min(_sane(usage.audio_input), total_in - cached - cache_write)
    reasoning = min(_sane(usage.reasoning), total_out)
    audio = min(_sane(usage.audio), total_out - reasoning)
    exact = (
        (total_in - cached - cache_write - audio_input) * rates.input
        + cached * rates.cached
        + cache_write * rates.cache_write
        + audio_input * rates.audio_input
        + (total_out - reasoning - audio) * rates.output
        + reasoning * rates.reasoning
        + audio * rates.audio
    )
    return min(MOST, -(-exact // rates.denominator))


def charge(price: Price, usage: Usage, asked: str) -> int:
    """The charge of a call in nano-USD, in the service tier of the answer. `asked`: the requested tier, "" for none."""
    if not price.tiers:
        return cost(price, usage) + (_runs(price, usage) if usage.runs else 0)
    return max([cost(one, usage) + _runs(one, usage) for one in tiers.charged(price, asked, usage.tier)])


def _runs(price: Price, usage: Usage) -> int:
    """The cost of the tools that the provider ran, in nano-USD, rounded up."""
    usd = sum((Fraction(str(_each(price, name))) * _sane(count) for name, count in usage.runs), Fraction())
    return min(MOST, math.ceil(usd * NANO_USD / 1000))


def _each(price: Price, name: str) -> float:
    """USD per thousand runs; without a price of its own, a variant of a tool (`container_4g`) has that of the tool."""
    if name in price.runs:
        return price.runs[name]
    return next((usd for plain, usd in price.runs.items() if name.startswith(f"{plain}_")), 0)


def used(debits: Sequence[Debit], usage: Usage, cost: int) -> dict[str, int]:
    """The actual amounts for `Ledger.settle`, by `Debit.key`. Calls and requests stay as reserved."""
    tokens = usage.input + usage.output
    if usage.input < 0 or usage.output < 0 or tokens > MOST:
        tokens = min(MOST, _sane(usage.input) + _sane(usage.output))
    actual = {"tokens": tokens, "cost": cost}
    return {debit.key: actual[debit.unit] for debit in debits if debit.unit in actual}


def refusal(rejection: Rejection, ask: Ask, input_tokens: int = 0) -> Refusal:
    """The refusal for a rejection: what happened, the limit, what was used, what to do.

    `input_tokens`: the part of a token debit that the caller cannot lower by a smaller output limit.
    """
    if rejection.reason == "rate":
        return _rate(rejection, ask.debits[rejection.index], input_tokens)
    if rejection.reason == "exceeded":
        return _exceeded(rejection, ask.debits[rejection.index], ask)
    if rejection.reason == "busy":
        return _busy(rejection, ask.debits[rejection.index], ask)
    if rejection.reason == "frozen":
        return _frozen(rejection, ask)
    return _ended(rejection, ask)


def _rate(rejection: Rejection, debit: Debit, input_tokens: int) -> Refusal:
    rate = f"{_count(round(debit.refill * debit.window), debit.unit)} per {debit.window} s, {debit.limit} at once"
    if rejection.retry_after is None:
        why = _never(debit, input_tokens)
    else:
        left = max(0, debit.limit - rejection.used)
        why = f"this call needs {_count(debit.amount, debit.unit)}, {left} {'is' if left == 1 else 'are'} left; "
        why += f"try again in {duration(rejection.retry_after)}"
    message = f"Rate limit {debit.name} ({rate}): {why}."
    return Refusal("rate_limited", message, retry_after=rejection.retry_after, detail={"limit": debit.name})


def _count(amount: int, unit: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{amount} {unit.removesuffix('s') if amount == 1 else unit}"


def _never(debit: Debit, input_tokens: int) -> str:
    """Why waiting does not help, and which number to lower."""
    ceiling = debit.amount - input_tokens
    room = debit.limit - input_tokens
    raised = f"an operator can raise the limit's burst to {debit.amount}"
    if room > 0:
        todo = f"Lower its output ceiling (max_tokens or max_completion_tokens, times n) to {room} or less; {raised}"
    else:
        todo = f"Its input alone is too large: shorten the input; {raised}"
    return (
        f"this call reserves {_count(debit.amount, debit.unit)}, {input_tokens} for its input and {ceiling} for its "
        f"output ceiling, but the bucket holds {debit.limit} at most. {todo}"
    )


def _exceeded(rejection: Rejection, debit: Debit, ask: Ask) -> Refusal:
    if debit.unit == "hops":
        message = (
            f"This call would be {debit.amount} hops deep in the chain of agents of workflow {ask.correlation_id}, and "
            f"{debit.name} allows {rejection.limit}. Let an agent earlier in the chain make this call; an operator can "
            "raise the limit."
        )
        return Refusal("hop_limit", message, detail={"quota": debit.name, "limit": rejection.limit})
    if debit.unit == "repeats":
        message = (
            f"Workflow {ask.correlation_id} repeats itself: {debit.name} occurred {rejection.used + rejection.held} "
            f"times; {rejection.limit} are allowed. Only this call was refused: go on with a different call."
        )
        return Refusal("loop_detected", message, detail={"repeated": debit.name, "limit": rejection.limit})
    if debit.key.startswith(SHARE):
        message = (
            f"There is no room left in {debit.name}: the limit is {_amount(debit, rejection.limit)}, "
            f"{_amount(debit, rejection.used)} are used, and this call needs up to {_amount(debit, debit.amount)}. "
            "Only calls under this budget are refused; the workflow goes on."
        )
        return Refusal("quota_exceeded", message, detail={"quota": debit.name})
    message = (
        f"Workflow {ask.correlation_id} has no room left in {debit.name}: the limit is "
        f"{_amount(debit, rejection.limit)}, {_amount(debit, rejection.used)} are used, and this call needs up to "
        f"{_amount(debit, debit.amount)}. The workflow is now frozen. {_HELP}"
    )
    return Refusal("quota_exceeded", message, detail={"quota": debit.name})


def _busy(rejection: Rejection, debit: Debit, ask: Ask) -> Refusal:
    message = (
        f"Calls in flight hold the rest of {debit.name} of workflow {ask.correlation_id}: the limit is "
        f"{_amount(debit, rejection.limit)}, {_amount(debit, rejection.used)} are used, "
        f"{_amount(debit, rejection.held)} are held, and this call needs up to "
        f"{_amount(debit, debit.amount)}. Try again when they have ended, or lower the call's output ceiling."
    )
    return Refusal("quota_busy", message, retry_after=_BUSY_RETRY, detail={"quota": debit.name})


def _frozen(rejection: Rejection, ask: Ask) -> Refusal:
    if rejection.index < 0:
        message = f"Workflow {ask.correlation_id} is frozen and accepts no more calls."
        return Refusal("workflow_frozen", f"{message} {_HELP}")
    debit = ask.debits[rejection.index]
    message = (
        f"Workflow {ask.correlation_id} is frozen: {debit.name} ran out, or a call needed more than was left. The "
        f"limit is {_amount(debit, rejection.limit)}, {_amount(debit, rejection.used)} are used."
    )
    return Refusal("workflow_frozen", f"{message} {_HELP}", detail={"quota": debit.name})


def _ended(rejection: Rejection, ask: Ask) -> Refusal:
    """The refusal for a workflow that accepts no calls at all, or was not opened."""
    name = f"Workflow {ask.correlation_id}"
    if rejection.reason == "unknown":
        message = (
            f"{name} is not open: workflows must be opened before their first call (quotas.strict). Open the "
            "workflow, then call with the X-Correlation-Id from the answer."
        )
        return Refusal("invalid_request", message, param="X-Correlation-Id")
    if rejection.reason == "closed":
        return Refusal("workflow_frozen", f"{name} was closed and accepts no more calls: {_ANOTHER}")
    if rejection.reason == "idle":
        rest = f" ({rejection.limit} s)" if rejection.limit else ""
        message = f"{name} has expired: there was no call for longer than quotas.idle{rest}. {_START}"
        return Refusal("workflow_frozen", message, detail={"quota": "quotas.idle"})
    message = (
        f"{name} is older than quotas.seconds: the limit is {rejection.limit} s, its age is {rejection.used} s. The "
        f"workflow is now frozen. {_HELP}"
    )
    return Refusal("quota_exceeded", message, detail={"quota": "quotas.seconds"})


def _amount(debit: Debit, amount: int) -> str:
    """An amount for messages: money in USD with the necessary decimals, others as a count with their unit."""
    if debit.unit != "cost":
        return f"{amount} {debit.unit.removesuffix('s') if amount == 1 else debit.unit}"
    whole, rest = divmod(amount, NANO_USD)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + " USD"


def _sane(reported: int) -> int:
    return min(max(reported, 0), MOST)
