"""The commands that read the decision log: `meshgate audit export`, `policy replay` and `policy differences`."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import re
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.config.grammar import Config
    from gateway.policy.decisions import Reader
    from gateway.policy.replay import Recorded, Report


def register(parser: Any) -> None:
    """Add `meshgate audit`."""
    group = commands.group(parser, "audit", "export the decision log")
    words = "print decisions in the format of OPA's decision log, one JSON object per line"
    command = commands.command(group, "export", export, words)
    _period(command)


def register_policy(group: Any) -> None:
    """Add the commands of this module to the group `meshgate policy`."""
    words = "evaluate recorded decisions with another bundle; exit 1 if a verdict changes"
    command = commands.command(group, "replay", replay, words)
    command.add_argument("--against", type=Path, required=True, metavar="DIR", help="the bundle to evaluate with")
    command.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="read this file, in OPA's decision-log format, instead of the gateway's own log",
    )
    command.add_argument("--engine", metavar="E", default="embedded", help="embedded (default) or wasm")
    _period(command)
    _reporting(command)
    words = "list calls that the candidate bundle would have decided differently; exit 1 if there are any"
    command = commands.command(group, "differences", differences, words)
    command.add_argument(
        "--since", type=moment, default=0.0, metavar="T", help="start: a time, or 24h for the last day"
    )
    _reporting(command)


def export(args: argparse.Namespace) -> int:
    """`meshgate audit export`."""
    import orjson

    from gateway.policy.decisions import event

    reader = reader_of(args)
    try:
        for recorded in reader.decisions(args.since, args.until):
            sys.stdout.buffer.write(orjson.dumps(event(recorded), option=orjson.OPT_APPEND_NEWLINE))
    finally:
        reader.close()
    return 0


def replay(args: argparse.Namespace) -> int:
    """`meshgate policy replay`."""
    import asyncio

    from gateway.config.sections import Policy
    from gateway.errors import ConfigError
    from gateway.policy.engines import open_engine
    from gateway.policy.replay import events
    from gateway.policy.replay import replay as run

    if args.engine not in ("embedded", "wasm"):
        raise ConfigError(f"--engine {args.engine}: a replay evaluates in this process; write embedded or wasm")
    policy = Policy.model_validate({"path": str(args.against), "engine": args.engine})

    async def judged() -> Report:
        engine = await open_engine(policy)
        try:
            return await run(engine, found, args.examples)
        finally:
            await engine.close()

    if args.log is not None:
        with contextlib.closing(_events(args.log)) as entries:
            found = events(entries)
            try:
                return _tell(args, asyncio.run(judged()), f"{args.log}")
            except ValueError as error:
                raise ConfigError(f"{args.log}: {error}") from None
    reader = reader_of(args)
    try:
        found = _recorded(reader, args.since, args.until)
        return _tell(args, asyncio.run(judged()), "the decision log")
    finally:
        reader.close()


def differences(args: argparse.Namespace) -> int:
    """`meshgate policy differences`: calls that the candidate would have decided differently."""
    import orjson

    from gateway.errors import ConfigError
    from gateway.policy.replay import Report, change, verdict

    config = commands.load_config(args, quiet=True).config
    reader = _open_log(config)
    report = Report()
    try:
        for recorded, version, record in reader.differences(args.since):
            one = _of(recorded)
            report.version = version
            what = change(verdict(one.result), verdict(orjson.loads(record)["result"]))
            report.add(one, f"{what or 'no change'} (candidate {version})", args.examples)
    finally:
        reader.close()
    if not report.judged and (config.policy is None or config.policy.candidate is None):
        raise ConfigError("policy.candidate is not configured, so no differences are recorded")
    if args.json:
        return _tell(args, report, "")
    if not report.judged:
        print("no differences are recorded")
        return 0
    _list(report)
    return 1


def moment(text: str) -> float:
    """A time in Unix seconds: `2026-11-21`, `2026-11-21T10:00:00Z`, or a duration before now: `90min`, `24h`, `7d`."""
    from gateway.config.scalars import SECONDS

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]+)", text)
    if match and match[2] in SECONDS:
        return time.time() - float(match[1]) * SECONDS[match[2]]
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a time is written like 2026-11-21T10:00:00Z, 2026-11-21, 24h or 7d") from None
    return (at if at.tzinfo else at.astimezone()).timestamp()


def _period(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--since", type=moment, default=0.0, metavar="T", help="start: a time, or 24h for the last day"
    )
    command.add_argument("--until", type=moment, default=None, metavar="T", help="end: a time, or 1h for an hour ago")


def _reporting(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--examples",
        type=commands.positive,
        default=3,
        metavar="N",
        help="example calls for each kind of change; default: 3",
    )
    commands.json_option(command)


def reader_of(args: argparse.Namespace) -> Reader:
    """The decision log of the configuration of a command. Raises ConfigError if it does not exist."""
    return _open_log(commands.load_config(args, quiet=True).config)


def _open_log(config: Config) -> Reader:
    from gateway.policy.decisions import Reader
    from gateway.record.audit import file

    return Reader(file(config))


def _recorded(reader: Reader, since: float, until: float | None) -> Iterator[Recorded]:
    for recorded in reader.decisions(since, until):
        if recorded.version:  # without a policy there is no verdict to compare
            yield _of(recorded)


def _of(recorded: Any) -> Recorded:
    import orjson

    from gateway.policy.replay import Recorded

    record = orjson.loads(recorded.record)
    result = None if "error" in record else record["result"]
    return Recorded(recorded.id, recorded.correlation_id, record["input"], result, bool(record.get("erased")))


def _events(path: Path) -> Generator[Any, None, None]:
    """The entries of a JSON array, or of a file with one object per line (read line by line); gzipped or not."""
    import gzip
    import zlib

    import orjson

    from gateway.errors import ConfigError

    try:
        with path.open("rb") as raw:
            file: Any = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
            first = next((line for line in file if line.strip()), b"")
            if first.lstrip()[:1] == b"[":
                yield from orjson.loads(first + file.read())
            elif first:
                yield orjson.loads(first)
                yield from (orjson.loads(line) for line in file if line.strip())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (orjson.JSONDecodeError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: is not a decision log (a JSON array, or one object per line): {error}") from None


def _tell(args: argparse.Namespace, report: Report, where: str) -> int:
    if args.json:
        changes = [
            {
                "change": what,
                "count": changed.count,
                "examples": [{"decision_id": id, "correlation_id": cid} for id, cid in changed.examples],
            }
            for what, changed in _ranked(report)
        ]
        counts = {"judged": report.judged, "differ": report.differ, "without_erased_claims": report.blind}
        commands.print_json({"version": report.version, **counts, "changes": changes})
        return int(bool(report.differ))
    blind = f" ({report.blind} without the claims that audit.erase removed)" if report.blind else ""
    counted = "1 decision" if report.judged == 1 else f"{report.judged} decisions"
    changed = "1 verdict differs" if report.differ == 1 else f"{report.differ} verdicts differ"
    print(f"{counted} of {where}{blind} evaluated with version {report.version}: {changed}")
    _list(report)
    return int(bool(report.differ))


def _list(report: Report) -> None:
    for what, changed in _ranked(report):
        print(f"{changed.count:8}  {commands.plain(what)}")
        for id, cid in changed.examples:
            print(f"{'':10}{id}  workflow {commands.plain(cid)}")


def _ranked(report: Report) -> list[tuple[str, Any]]:
    return sorted(report.changes.items(), key=lambda item: (-item[1].count, item[0]))
