"""`meshgate policy explain`: why a call is or was allowed or denied; `meshgate policy new`: a rule to start from."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.call import Json
    from gateway.policy.engines.bundle import Bundle
    from gateway.policy.engines.outline import Module
    from gateway.policy.engines.rego.trace import Way
    from gateway.policy.explanation import Explanation

_SECONDS = 10.0  # for an evaluation that notes the way of each rule
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RULE = """\
# Describe the purpose of this rule in one line.
package rules.{name}

# Every `deny` of a package below `rules` counts. `class` is safety, compliance, cost or performance. The message goes
# to the caller: say what to do, and repeat nothing secret. docs/policies.md describes the whole input.
deny contains {{
	"code": "{name}",
	"class": "compliance",
	"message": sprintf("Agent %v may not use the model %v here", [input.subject.agent, input.action.model]),
}} if {{
	input.action.kind == "llm"
	input.action.model in data.{name}.models
}}
"""
_TEST = """\
package rules.{name}_test

import data.rules.{name}

call(model) := {{"subject": {{"agent": "a"}}, "action": {{"kind": "llm", "model": model}}}}

table := {{"models": ["forbidden"]}}

codes contains rule.code if some rule in {name}.deny

test_what_it_denies if {{
	codes == {{"{name}"}} with input as call("forbidden") with data.{name} as table
}}

test_what_it_leaves_alone if {{
	codes == set() with input as call("another") with data.{name} as table
}}
"""


def register_policy(group: Any) -> None:
    """Add the commands of this module to the group `meshgate policy`."""
    words = "show which rules applied to a call, which rule won, and where it is defined"
    command = commands.command(group, "explain", explain, words)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--decision", metavar="ID", help="a recorded decision, by the x-request-id of its call")
    which.add_argument("--input", metavar="FILE", help="a policy input in JSON (`-`: standard input)")
    words = "evaluate with this bundle; default: explain the decision as recorded"
    command.add_argument("--policy", type=Path, metavar="DIR", help=words)
    commands.json_option(command)
    command = group.add_parser(
        "new", help="create a rule and a test", description="create a rule and a test to start from"
    )
    command.add_argument("name", metavar="NAME", help="name of the rule: lower-case letters, digits and _")
    command.add_argument("dir", type=Path, nargs="?", default=Path("policies"), metavar="DIR", help="default: policies")
    command.set_defaults(run=new)


def new(args: argparse.Namespace) -> int:
    """`meshgate policy new`."""
    from gateway.errors import ConfigError

    if not _NAME.fullmatch(args.name) or args.name.endswith("_test"):
        raise ConfigError("NAME is not a valid rule name: a letter, then lower-case letters, digits and _")
    if not args.dir.is_dir():
        raise ConfigError(f"{args.dir} is not a directory; name the root directory of a bundle, such as policies")
    files = {args.dir / f"{args.name}.rego": _RULE, args.dir / f"{args.name}_test.rego": _TEST}
    for file in files:
        if file.exists():
            raise ConfigError(f"{file} exists already")
    for file, template in files.items():
        file.write_text(template.format(name=args.name))
        print(file)
    print(f"Edit both files, then run: meshgate policy test {args.dir}")
    print(f"Without data.{args.name}, the rule denies nothing.")
    return 0


def explain(args: argparse.Namespace) -> int:
    """`meshgate policy explain`."""
    from gateway.errors import ConfigError
    from gateway.policy.engines import PolicyUnavailable

    try:
        told, about, ways = _explained(args)
    except PolicyUnavailable as error:
        raise ConfigError(f"no verdict, so the call is denied (policy_unavailable): {error}") from None
    if args.json:
        commands.print_json(
            {**about, **told._asdict(), "spoke": [one._asdict() for one in told.spoke], "rules": ways.json()}
        )
        return 0
    for name, value in about.items():
        print(f"{name.replace('_', ' ')}: {commands.plain(str(value))}")
    print(f"verdict: {told.verdict}")
    for one in told.spoke:
        print(f"  {one.code} ({one.cls}) {one.outcome}{f'   [{one.place}]' if one.place else ''}")
        print(f"      {commands.plain(one.said)}")
    if not told.spoke:
        print("  no rule denied the call, and none has an obligation")
    for line in ways.lines():
        print(commands.plain(line))
    return 0


class Ways:
    """The way of each rule through an evaluation of a bundle, in words."""

    def __init__(self, bundle: Bundle | None = None, document: Json | None = None) -> None:
        self._ways: list[Way] = []
        self._sources: dict[str, list[str]] = {}
        if bundle is not None and document is not None:
            self._sources = {module.file: module.source.splitlines() for module in bundle.modules}
            self._ways = _traced(bundle, document)

    def json(self) -> list[Json]:
        """Each definition that was asked."""
        return [{**way._asdict(), "saw": [one._asdict() for one in way.saw]} for way in self._ways]

    def lines(self) -> Iterator[str]:
        """One line for each definition, and one for the expression that failed."""
        if self._ways:
            yield "rules:"
        for way in self._ways:
            times = f" ({way.held} of {way.asked} times)" if way.asked > 1 else ""
            yield f"  {way.rule} {'held' if way.held else 'did not hold'}{times}   [{way.file}:{way.row}]"
            if way.failed is not None and not way.held:
                yield f"      line {way.failed}: {self._sources[way.file][way.failed - 1].strip()}"
                saw = ", ".join(f"{one.name or 'the value'} = {one.value}" for one in way.saw)
                if saw:
                    yield f"      {saw}"


def _traced(bundle: Bundle, document: Json) -> list[Way]:
    import time

    from gateway.policy.engines.bundle import program
    from gateway.policy.engines.embedded import PATH
    from gateway.policy.engines.rego.program import STEPS
    from gateway.policy.engines.rego.trace import trace

    plain = program(bundle.modules, bundle.data, optimize=False)
    return trace(plain, PATH, document, steps=STEPS, deadline=time.monotonic() + _SECONDS)


def _explained(args: argparse.Namespace) -> tuple[Explanation, dict[str, str], Ways]:
    from gateway.errors import ConfigError
    from gateway.policy.explanation import explain

    if args.input is not None:
        bundle = _bundle(args, args.policy)
        document = read_input(args.input)
        told = explain(_judged(bundle, document), bundle.modules)
        return told, {"policy_version": bundle.version}, Ways(bundle, document)
    recorded, record = _recorded(args)
    about = {
        "decision": recorded.id,
        "agent": recorded.agent,
        "team": recorded.team,
        "workflow": recorded.correlation_id,
    }
    if args.policy is not None:
        bundle = _bundle(args, args.policy)
        told = explain(_judged(bundle, record["input"]), bundle.modules)
        return told, {**about, "policy_version": bundle.version}, Ways(bundle, record["input"])
    if "error" in record or not recorded.version:
        raise ConfigError(f"decision {recorded.id} has no policy result ({recorded.rule})")
    modules: Sequence[Module] = ()
    ways = Ways()
    with contextlib.suppress(ConfigError):  # the places of the rules are known only if the bundle is still the same
        bundle = _bundle(args, None)
        if bundle.version == recorded.version:
            modules, ways = bundle.modules, Ways(bundle, record["input"])
    return explain(record["result"], modules), {**about, "policy_version": recorded.version}, ways


def _bundle(args: argparse.Namespace, folder: Path | None) -> Bundle:
    from gateway.errors import ConfigError
    from gateway.policy.engines.bundle import load

    if folder is None:
        policy = commands.load_config(args, quiet=True).config.policy
        if policy is None or policy.git or policy.server:
            raise ConfigError("the configuration names no local bundle (policy.path); name one: --policy DIR")
        folder = Path(policy.path)
    return load(folder)


def _judged(bundle: Bundle, document: Json) -> Json:
    import asyncio

    from gateway.policy.engines.embedded import Embedded

    async def judge() -> Json:
        engine = Embedded(bundle)
        try:
            return await engine.decide(document)
        finally:
            await engine.close()

    return asyncio.run(judge())


def read_input(name: str) -> Json:
    """A policy input from a file of JSON, also as OPA's tools write it. Raises ConfigError."""
    import orjson

    from gateway.errors import ConfigError

    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        document = orjson.loads(content)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{name}: is not valid JSON: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("input"), dict):
        document = document["input"]  # the form of `opa eval` and of a decision log
    if not isinstance(document, dict):
        raise ConfigError(f"{name}: a policy input must be a JSON object")
    return document


def _recorded(args: argparse.Namespace) -> tuple[Any, Json]:
    import orjson

    from gateway.cli.commands.decisions import reader_of
    from gateway.errors import ConfigError

    reader = reader_of(args)
    try:
        recorded = reader.decision(args.decision)
    finally:
        reader.close()
    if recorded is None:
        raise ConfigError("this decision is not in the log; its id is the x-request-id of a call")
    return recorded, orjson.loads(recorded.record)
