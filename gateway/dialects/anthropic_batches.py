"""Message batches and files of Anthropic (Anthropic API reference: messages/batches, files), passed through.

All requests of a batch are for one model; each is checked as a message. A batch is charged when its results are first
seen, because only they report usage. Files are calls of the model that is called like the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json, Named, State, Usage
from gateway.dialects import NO_VALUES, Intent, anthropic_answer, checks, hosted_runs
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.anthropic_tables import ANSWER, SHAPE
from gateway.dialects.field_table import table
from gateway.dialects.openai_media import FILE
from gateway.dialects.parts import Joined, joined
from gateway.dialects.passed import Batch, Passed, Proof, prompted
from gateway.errors import Refusal
from gateway.texts import Slot

_MOST: Final = 10_000  # requests of one batch
_WITHIN: Final = frozenset({"requests", "params", "lines", "result", "file"})


def _params(request: Json) -> Any:
    return request.get("params")


class _Anthropic(Passed):
    """What calls of Anthropic's API have in common."""

    formats = frozenset({"anthropic", "demo"})
    passes = ANTHROPIC_MESSAGES.passes
    answer = replace(ANSWER, within=ANSWER.within | _WITHIN)

    def credentials(self, key: str) -> dict[str, str]:
        """`x-api-key` and the version."""
        return dict(ANTHROPIC_MESSAGES.credentials(key))

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return ANTHROPIC_MESSAGES.error(said)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"type": "error", "error": {type, message}}`."""
        return anthropic_answer.refused(refusal, request_id)


class MessageBatches(_Anthropic, Batch):
    """The codec of `/v1/messages/batches`."""

    shape = replace(
        SHAPE,
        opaque=SHAPE.opaque | {"custom_id"},
        within=SHAPE.within | _WITHIN,
        turns=frozenset(),
        ahead=frozenset(),
    )
    inherits = False
    cites = ANTHROPIC_MESSAGES.cites

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The model, tools and output limit of all requests. Raises Refusal(invalid_request)."""
        said = body.get("requests")
        if type(said) is not list or not 0 < len(said) <= _MOST or not all(type(one) is dict for one in said):
            raise checks.wrong("requests", f"must be a list of 1 to {_MOST} objects")
        model = prompted(said, _params, "requests")
        intents = [ANTHROPIC_MESSAGES.parse(one["params"]) for one in said]
        if any(intent.stream for intent in intents):
            raise checks.wrong("requests", "must not ask for streams")
        tools = dict.fromkeys(name for intent in intents for name in intent.tools)
        ceilings = [intent.ceiling for intent in intents]
        return Intent(model, False, tuple(tools), None if None in ceilings else sum(one or 0 for one in ceilings))

    def refers(self, body: Json) -> Sequence[Named]:
        """None."""
        return ()

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream in each request."""
        changed = [ANTHROPIC_MESSAGES.request(one["params"], model, False) for one in body["requests"]]
        return any(changed)

    def items(self, body: Json) -> Mapping[str, int]:
        """The largest counts of one request."""
        counts = [ANTHROPIC_MESSAGES.items(one["params"]) for one in body["requests"]]
        return {name: max(one[name] for one in counts) for name in counts[0]}

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined text blocks of each message."""
        holders = [it for one in body["requests"] for it in ANTHROPIC_MESSAGES.holders(one["params"])]
        return joined({"messages": holders}, slots)  # once for all requests: each look takes all texts

    def answers(self, body: Json) -> int:
        """One for each request."""
        said = body.get("requests")
        return len(said) if type(said) is list else 1

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower the output limit of each request to a policy's limit."""
        changed = [ANTHROPIC_MESSAGES.limit(one["params"], limits) for one in body["requests"]]
        return any(changed)

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Remove tools from those offered in each request."""
        changed = [ANTHROPIC_MESSAGES.strip_tools(one["params"], names) for one in body["requests"]]
        return any(changed)

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in the requests."""
        said = body.get("requests") or ()
        return tuple(dict.fromkeys(name for one in said for name in ANTHROPIC_MESSAGES.tools(one["params"])))

    def hosted(self, body: Json) -> list[Json]:
        """The tools among them that the provider runs."""
        said = body.get("requests") or ()
        return [tool for one in said for tool in ANTHROPIC_MESSAGES.hosted(one["params"])]

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a batch."""
        if not checks.text(answer.get("id")):
            raise ValueError("it holds no id")

    def pending(self, answer: Json) -> bool:
        """Always: the results report the usage."""
        return True

    def state(self, answer: Json) -> State | None:
        """The batch."""
        return Passed.state(self, answer)

    def usage(self, answer: Json) -> Usage | None:
        """None so far."""
        return Usage()


class MessageResults(_Anthropic, Proof):
    """The codec of the results of a batch: JSON lines, each with a message or an error."""

    def usage(self, answer: Json) -> Usage | None:
        """The sum of all messages; none without a message; None if no message has a report."""
        results = [line.get("result") for line in answer.get("lines") or ()]
        said = [one.get("message") for one in results if type(one) is dict]
        messages = [one for one in said if type(one) is dict]
        told = [it for one in messages if (it := ANTHROPIC_MESSAGES.usage(one)) is not None]
        if messages and not told:
            return None
        names = ("input", "output", "cached", "reasoning", "cache_write")
        runs = hosted_runs.summed(one.runs for one in told)
        return Usage(**{name: sum(getattr(one, name) for one in told) for name in names}, tier="batch", runs=runs)


class AnthropicFiles(_Anthropic):
    """The codec of `/v1/files` for Anthropic's clients."""

    shape = Passed.shape

    def usage(self, answer: Json) -> Usage | None:
        """No usage: storing is free of charge."""
        return Usage()


class AnthropicProof(_Anthropic, Proof):
    """The codec of one file or batch, and of the proof of a deletion."""


def has_results(batch: Json) -> bool:
    """Whether all requests of a batch have ended, so that its results can be read."""
    return batch.get("processing_status") == "ended"


_BATCHES: Final = "/v1/messages/batches"
_REQUESTS: Final = table("", requests=table("custom_id", params=None))
_FORM: Final = table("purpose", file=FILE)
MESSAGE_BATCHES: Final = MessageBatches(
    "anthropic_batches", "a message batch", _BATCHES, _REQUESTS, stores="message_batch"
)
MESSAGE_BATCH: Final = AnthropicProof("anthropic_batch", "a message batch", _BATCHES, _REQUESTS, stores="message_batch")
MESSAGE_RESULTS: Final = MessageResults(
    "anthropic_batch_results", "the results of a batch", _BATCHES, _REQUESTS, stores="message_batch"
)
ANTHROPIC_FILES: Final = AnthropicFiles(
    "anthropic_files", "a file", "/v1/files", _FORM, needs=["file"], names="path", forms=True, stores="file"
)
ANTHROPIC_FILE: Final = AnthropicProof("anthropic_file", "a file", "/v1/files", _FORM, names="path", stores="file")
