"""The counterparts of the accuracy benchmark: many callers of one workflow, and a provider that records true usage.

Both run in the benchmark's own process, on its event loop. A call is identified by its number in the field `seed`,
which gateways forward and do not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
from aiohttp import web

from benchmarks.systems import MODEL

TEXT = "Go on with the next step of the plan, and say in a sentence what you did."
PROMPT = 12  # tokens that the provider reports for the prompt: fewer than any gateway counts
CEILING = 500  # output tokens that a call allows
LEAST, MOST = CEILING // 10, CEILING * 9 // 10  # output tokens that a call uses
INPUT_PRICE, OUTPUT_PRICE = 150, 600  # nano-USD per token
LATENCY = (0.02, 0.12)  # seconds until the provider answers
PATIENCE = 30.0  # seconds without a served call after which callers stop that were never refused for good
LONGEST = 170.0  # seconds after which a crowd is stopped, which counts as a fault


class Used(NamedTuple):
    """The usage of one call: tokens, and nano-USD."""

    tokens: int
    cost: int


class Provider:
    """An OpenAI-format provider. `books`: the usage of each call, once for each time it was answered.

    A gateway that calls `url/NAME` is known by this name. After the calls in `stall[NAME]`, those of this gateway get
    no answer until `release` is set; `stalled` is set by the first of them.
    """

    def __init__(self, seed: int) -> None:
        self.books: dict[int, list[Used]] = {}
        self.stall: dict[str, int] = {}
        self.stalled, self.release = asyncio.Event(), asyncio.Event()
        self.url = ""
        self._draw = random.Random(seed)

    def used(self, calls: Iterable[int]) -> list[Used]:
        """The usage of these calls."""
        return [used for number in calls for used in self.books.get(number, ())]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Provider]:
        """Listen on a free port until the block ends."""
        application = web.Application()
        application.router.add_post("/{name}/v1/chat/completions", self._answer)
        application.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = request.match_info.get("name", "")
        if name in self.stall:
            self.stall[name] -= 1
            if self.stall[name] < 0:
                self.stalled.set()
                await self.release.wait()
        output = self._draw.randint(LEAST, MOST)
        await asyncio.sleep(self._draw.uniform(*LATENCY))
        used = Used(PROMPT + output, PROMPT * INPUT_PRICE + output * OUTPUT_PRICE)
        self.books.setdefault(body["seed"], []).append(used)
        message = {"role": "assistant", "content": "Done."}
        return web.json_response(
            {
                "id": f"chatcmpl-{body['seed']}",
                "object": "chat.completion",
                "created": 1_800_000_000,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": PROMPT, "completion_tokens": output, "total_tokens": PROMPT + output},
            }
        )


_numbers = itertools.count(1)  # no two calls of a process have the same


@dataclass
class Tally:
    """The results of the callers: answered calls with the gateway's id of each; refusals; faults."""

    sent: list[int] = field(default_factory=list)
    answered: dict[int, str] = field(default_factory=dict)
    waits: int = 0  # refused with a time to wait, and repeated
    final: int = 0  # callers that were refused for good
    unheard: int = 0  # callers that stopped without a final refusal
    faults: int = 0  # broken connections, and all other answers
    last_fault: str = ""


class Crowd:
    """Callers of one workflow that continue until they are refused for good, and respect `Retry-After`, as agents do.

    They are spread over `urls`; a caller leaves a URL that does not answer for the next, as behind a load balancer.
    They stop if no call was served for `patience` seconds.
    """

    def __init__(self, urls: Sequence[str], key: str, workflow: dict[str, str]) -> None:
        self._urls = list(urls)
        self._headers = {"authorization": f"Bearer {key}", **workflow}
        self.patience = PATIENCE
        self._served = 0.0  # time of the last answered call
        self.tally = Tally()

    async def run(self, callers: int) -> Tally:
        """Return when every caller has stopped."""
        self._served = asyncio.get_running_loop().time()
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with (
            asyncio.timeout(LONGEST),
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for number in range(callers):
                group.create_task(self._work(session, number))
        return self.tally

    async def _work(self, session: aiohttp.ClientSession, number: int) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._served + self.patience:
            url = self._urls[number % len(self._urls)]
            try:
                wait = await self._call(session, url)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._fault(f"{type(error).__name__}: {error}")
                number, wait = number + 1, 0.05
            if wait is None:
                self.tally.final += 1
                return
            await asyncio.sleep(wait)
        self.tally.unheard += 1

    async def _call(self, session: aiohttp.ClientSession, url: str) -> float | None:
        """Make one call; returns the seconds to wait before the next, None if there is no next call."""
        number = next(_numbers)
        self.tally.sent.append(number)
        body = {"model": MODEL, "seed": number, "max_tokens": CEILING, "messages": [{"role": "user", "content": TEXT}]}
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=self._headers) as answer:
            text = await answer.text()
        if answer.status == 200:
            self._served = asyncio.get_running_loop().time()
            self.tally.answered[number] = answer.headers.get("x-request-id", "")
            return 0.0
        if answer.status == 403 or "Session budget exceeded" in text:  # the second is LiteLLM's, with a 429
            return None
        if answer.status == 429:
            self.tally.waits += 1
            return float(answer.headers.get("retry-after", 1.0))
        self._fault(f"{answer.status}: {text[:200]}")
        return 1.0

    def _fault(self, words: str) -> None:
        self.tally.faults += 1
        self.tally.last_fault = words
