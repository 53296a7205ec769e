"""Stage `ingress`: reads the request and scans its texts.

Much new text is scanned in a thread. Refuses with invalid_request, request_too_large and model_not_found; a request
that cannot be scanned is blocked.
"""

from __future__ import annotations

from functools import partial

from gateway.budget import PASSING, Spent
from gateway.call import Call, InputTokens
from gateway.config.grammar import Server
from gateway.errors import Failures
from gateway.ingress import request
from gateway.ingress.owners import Owners
from gateway.ingress.request import Correlation
from gateway.ingress.wire import Receive
from gateway.limits.tokens import at_most
from gateway.policy.models import Models
from gateway.redaction import openings, passages
from gateway.redaction.content import Contents
from gateway.redaction.openings import Openings, Passage
from gateway.redaction.recall import Recall
from gateway.redaction.redact import broken
from gateway.redaction.separate import separate
from gateway.redaction.taint import Taint
from gateway.redaction.texts import Texts
from gateway.scheduling.judging import judge, takes_long
from gateway.scheduling.lanes import SMALL, apart


class Ingress:
    """The stage, built for one configuration.

    `contents`: None without `policy.content`. `recall`: None without `tools.*.restore`.
    """

    def __init__(
        self,
        server: Server,
        correlation: Correlation,
        owners: Owners,
        taint: Taint,
        models: Models,
        texts: Texts,
        contents: Contents | None,
        openings: Openings,
        recall: Recall | None,
        failures: Failures,
    ) -> None:
        self._server = server
        self._correlation = correlation
        self.owners = owners
        self._taint = taint
        self._models = models
        self._texts = texts
        self._contents = contents
        self._openings = openings
        self._recall = recall
        self._failures = failures

    async def read(self, call: Call, receive: Receive) -> None:
        """Read the request, and scan its texts. Writes `call.request`. Raises Refusal, Disconnected."""
        call.request.correlation_id = self._correlation.of(call)
        if call.reference is not None and not call.reference.reads:
            await self.owners.refer(call, call.reference.id)
            self._models.find(call)
            return
        await request.receive(call, receive, self._server, self._openings)
        if self._recall is not None and call.resource.kind == "tool":
            await self._recall.fill(call)
        size = openings.unread(call) >> 10
        tainted = self._taint.look(call) if size <= SMALL else await apart(call, size, partial(self._taint.look, call))
        if tainted:
            await separate(call)
            call.request.reading = None
        if call.reference is not None:
            await self.owners.refer(call, call.reference.id)
        await self.owners.find(call)
        self._models.find(call)
        try:
            long = takes_long(call, partial(self._fresh, call))
            await judge(call, long, self.survey, call)
        except (*PASSING, Spent):
            raise
        except BaseException as fault:
            words = "The request could not be searched for personal data"
            raise broken(call, fault, words, self._failures) from None
        self._models.check_name(call)
        if tainted:
            size = sum(len(findings) for _, findings in call.request.found)
            await apart(call, size, partial(self._taint.mark, call))
        if self._texts.counted:
            call.request.input = self._input(call)

    def _input(self, call: Call) -> InputTokens:
        """The tokens of the texts and of what is around them."""
        texts, slots, team, stored = self._texts, call.request.slots, call.team, call.request.stored
        around = call.codec.overhead(call.request.body) + (stored.tokens if stored is not None else 0)
        bound = at_most([slot.text for slot in slots]) + around
        return InputTokens(bound, lambda: texts.tokens(slots, team) + around, texts.ready)

    def _fresh(self, call: Call) -> int:
        reading = openings.of(call)
        parts = reading.own() if reading is not None else [Passage(call.request.slots)]
        return sum([self._texts.fresh(part.slots, call.team) for part in parts])

    def survey(self, call: Call) -> None:
        """Scan the texts."""
        if (reading := openings.of(call)) is not None:
            passages.survey(call, reading, self._texts, self._contents)
            return
        call.request.found = self._texts.find(call.request.slots, call.team)
        slots = call.request.slots
        if together := call.codec.joined(call.request.body, slots):
            found = {id(slot): findings for slot, findings in self._texts.find([it.slot for it in together], call.team)}
            call.request.joined = [(it, found[id(it.slot)]) for it in together if id(it.slot) in found]
            slots = [*slots, *(it.slot for it in together)]
        if self._contents is not None:
            call.request.content = self._contents.read(slots, call.team)
