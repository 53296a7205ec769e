"""The process in which a candidate bundle judges: `python -m gateway.policy.candidate_process` (see `candidate.py`).

Standard input: lines of JSON, first the settings, then decisions of the live bundle. Standard output: lines of JSON
with the version or a problem of the bundle, the number of equal results, and each result that differs. The process ends
when its input ends.
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
_LONGEST = 60.0  # maximum seconds between two attempts to load a bundle that is not valid
_NICE = 10  # the gateway's own process has priority


class Output:
    """Writes lines of JSON. Also the `Reports` of `Policies`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, **fields: object) -> None:
        """Write one line with these fields."""
        self._out.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
        self._out.flush()

    def reloaded(self, what: str, problem: str | None) -> None:  # noqa: ARG002  what: always the candidate
        """A bundle took effect (`problem` is None), or was refused."""
        self.write(problem=problem)


async def main(pipe: IO[bytes]) -> None:
    """Judge until the input ends."""
    out = Output(pipe)
    lines = asyncio.StreamReader(limit=_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    policy = Policy.model_validate_json(await lines.readline())
    policies = await _opened(policy, out)
    out.write(version=policies.version, problem=None)
    watching = asyncio.create_task(_watch(policies, out))
    try:
        await _judge(policies, lines, out)
    finally:
        watching.cancel()
        await policies.close()


async def _opened(policy: Policy, out: Output) -> Policies:
    """Load the bundle of the candidate; repeats until a valid bundle is there."""
    told, pause = "", 1.0
    parent = os.getppid()
    while True:
        before = _looks(policy)
        try:
            return await Policies.open(policy, out)
        except ConfigError as error:
            if str(error) != told:
                told = str(error)
                out.write(problem=told)
        # Loading and testing a bundle takes CPU time from the gateway: wait for changed files, or longer each time.
        until = time.monotonic() + pause
        pause = min(_LONGEST, 2 * pause)
        while time.monotonic() < until and _looks(policy) == before:
            await asyncio.sleep(INTERVAL)
            if os.getppid() != parent:  # the gateway was killed: nobody will end this process's input
                os._exit(0)


def _looks(policy: Policy) -> object:
    """A value that changes with the files of a folder; None for a bundle from git or a server."""
    return None if policy.git or policy.server else fingerprint(policy.path)


async def _watch(policies: Policies, out: Output) -> None:
    while True:
        await asyncio.sleep(INTERVAL)
        if await policies.look():
            out.write(version=policies.version)


async def _judge(policies: Policies, lines: asyncio.StreamReader, out: Output) -> None:
    same = 0
    while line := await lines.readline():
        said = orjson.loads(line)
        result = await judge(policies.engine, said["input"])
        what = change(verdict(said["result"]), verdict(result))
        if what is None:
            same += 1
        else:
            out.write(version=policies.version, id=said["id"], change=what, result=result)
        if same and not _more(lines):
            out.write(same=same)
            same = 0


def _more(lines: asyncio.StreamReader) -> bool:
    """Whether another complete line has arrived: then equal results are reported later, together."""
    buffered: bytearray = lines._buffer  # type: ignore[attr-defined]
    return b"\n" in buffered


if __name__ == "__main__":
    os.nice(_NICE)
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not appear between the lines
    asyncio.run(main(stdout))
