"""The process in which a candidate bundle judges: `python -m gateway.policy.candidate_process` (see `candidate.py`).

Its standard input is lines of JSON: its settings, then decisions. Its standard output is lines of JSON: what it is, how
many decisions it made alike, and each that it made otherwise. It ends with its input.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import IO

import orjson

from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines.live import INTERVAL, Policies
from gateway.policy.replay import change, judge, verdict
from gateway.policy.sources.folder import fingerprint

_LINE = 16 * 1024 * 1024
_LONGEST = 60.0  # seconds between two tries of a bundle that cannot be used
_NICE = 10  # whatever it does, the line comes first


class Voice:
    """Says things, one line each. Also the `Reports` of the bundle's holder."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def say(self, **words: object) -> None:
        """One line."""
        self._out.write(orjson.dumps(words, option=orjson.OPT_APPEND_NEWLINE))
        self._out.flush()

    def reloaded(self, what: str, problem: str | None) -> None:  # noqa: ARG002  what: always the candidate
        """A bundle took effect, or was refused."""
        self.say(problem=problem)


async def main(out: IO[bytes]) -> None:
    """Judge until the input ends."""
    voice = Voice(out)
    lines = asyncio.StreamReader(limit=_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    policy = Policy.model_validate_json(await lines.readline())
    policies = await _opened(policy, voice)
    voice.say(version=policies.version, problem=None)
    watching = asyncio.create_task(_watch(policies, voice))
    try:
        await _judge(policies, lines, voice)
    finally:
        watching.cancel()
        await policies.close()


async def _opened(policy: Policy, voice: Voice) -> Policies:
    """The candidate's bundle; while there is none that can be used, it is looked for again and again."""
    told, pause = "", 1.0
    parent = os.getppid()
    while True:
        before = _looks(policy)
        try:
            return await Policies.open(policy, voice)
        except ConfigError as error:
            if str(error) != told:
                told = str(error)
                voice.say(problem=told)
        # A trial, or a fetch, takes the machine from the line: again when the files are others, or not so soon.
        until = time.monotonic() + pause
        pause = min(_LONGEST, 2 * pause)
        while time.monotonic() < until and _looks(policy) == before:
            await asyncio.sleep(INTERVAL)
            if os.getppid() != parent:  # the gateway was killed: nobody will end this process's input
                os._exit(0)


def _looks(policy: Policy) -> object:
    """What differs where a folder's files do."""
    return None if policy.git or policy.server else fingerprint(policy.path)


async def _watch(policies: Policies, voice: Voice) -> None:
    while True:
        await asyncio.sleep(INTERVAL)
        if await policies.look():
            voice.say(version=policies.version)


async def _judge(policies: Policies, lines: asyncio.StreamReader, voice: Voice) -> None:
    same = 0
    while line := await lines.readline():
        said = orjson.loads(line)
        result = await judge(policies.engine, said["input"])
        what = change(verdict(said["result"]), verdict(result))
        if what is None:
            same += 1
        else:
            voice.say(version=policies.version, id=said["id"], change=what, result=result)
        if same and not _more(lines):
            voice.say(same=same)
            same = 0


def _more(lines: asyncio.StreamReader) -> bool:
    """Whether a whole line is here already: then there is no hurry to report."""
    buffered: bytearray = lines._buffer  # type: ignore[attr-defined]
    return b"\n" in buffered


if __name__ == "__main__":
    os.nice(_NICE)
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may come between the lines
    asyncio.run(main(stdout))
