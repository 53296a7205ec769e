"""`meshgate tools list|show|diff|accept`: the tools of servers, and which of them are accepted (`tools.*.pins`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.tools.pins import Record


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    tools = commands.group(parser, "tools", "tools of MCP servers, and which of them are accepted")
    command = commands.command(tools, "list", show_all, "list the tools of a server, with their states and digests")
    command.add_argument(
        "server", metavar="SERVER", nargs="?", help="a tool server, in the file or registered; default: all servers"
    )
    commands.json_option(command)
    command = commands.command(tools, "show", show, "print the definition of a tool, as its server listed it last")
    command.add_argument("tool", type=_tool, metavar="SERVER/TOOL", help="as listed by tools list")
    command = commands.command(tools, "diff", diff, "print what differs between the accepted and the last definitions")
    command.add_argument("tool", type=_tool, metavar="SERVER[/TOOL]", help="a tool, or all of a server")
    command = commands.command(tools, "accept", accept, "accept the last definitions: the tools are served from now on")
    command.add_argument("tool", type=_tool, metavar="SERVER[/TOOL]", help="a tool, or all of a server")
    command = commands.command(tools, "import", from_openapi, "print the tools that an OpenAPI document would give")
    command.add_argument("form", choices=("openapi",), help="the form of the document")
    command.add_argument("file", metavar="FILE", help="the document, in JSON or YAML")
    command.add_argument("--server", default="api", metavar="NAME", help="the name of the row; default: api")
    commands.json_option(command)


def _tool(text: str) -> tuple[str, str]:
    server, _, tool = text.partition("/")
    return commands.name(server), tool


def _records(args: argparse.Namespace, server: str) -> Mapping[str, Record]:
    """What the gateway has seen of a server, or of all ("").

    Raises ConfigError for a server that is neither in the configuration nor registered.
    """
    from gateway.errors import ConfigError
    from gateway.tools import pins
    from gateway.tools.registered import completed

    config = commands.load_config(args, quiet=True).config

    async def read(store: Any) -> Mapping[str, Record]:
        rows = (await completed(config, store)).tools
        if server and server not in rows:
            raise ConfigError(f"there is no server of this name in `tools`; servers: {', '.join(rows) or 'none'}")
        return {name: pins.decoded(await store.pins(name)) for name in ([server] if server else rows)}

    return commands.with_store(config, read)


def _record(args: argparse.Namespace, server: str) -> Record:
    """`_records` of one server."""
    return _records(args, server)[server]


def show_all(args: argparse.Namespace) -> int:
    """`meshgate tools list`: the tools in the order of their first listing; of all servers, with their names."""
    from gateway.tools.catalogue import digest

    found = _records(args, args.server or "")
    rows = [
        {
            **({} if args.server else {"server": server}),
            "tool": name,
            "state": pin.state,
            "digest": digest(tool),
            "since": pin.at,
        }
        for server, record in found.items()
        for name, pin in record.items()
        if (tool := pin.seen or pin.accepted) is not None
    ]
    if args.json:
        commands.print_json(rows)
        return 0
    for server, record in found.items():
        if not record:
            of = "this server's tools" if args.server else f"the tools of {server}"
            print(f"The gateway has not listed {of} yet.", file=sys.stderr)
    for row in rows:
        named = f"{row['server']}/{row['tool']}" if "server" in row else str(row["tool"])
        print(f"{commands.plain(named)}  {row['state']}  sha256 {str(row['digest'])[:16]}...")
    return 0


def from_openapi(args: argparse.Namespace) -> int:
    """`meshgate tools import openapi`: what a row with the document offers with all methods and paths allowed."""
    from typing import get_args

    from gateway.config import openapi
    from gateway.config.tools import HttpMethod, Tool
    from gateway.errors import ConfigError

    row = Tool(http="http://127.0.0.1", methods=get_args(HttpMethod), openapi=args.file)
    try:
        every, found = openapi.described(row).every, openapi.operations(row)
    except ValueError as fault:
        raise ConfigError(f"{args.file} {fault}") from None
    if args.json:
        commands.print_json(
            [{"name": one.name, "method": one.method, "path": one.path, "inputSchema": one.schema} for one in found]
        )
        return 0
    methods = sorted({one.method for one in found})
    for one in found:
        print(f"  # {commands.plain(one.name)}: {one.method} {commands.plain(one.path)}")
    for one in every:
        if one.problem:
            print(f"  # no tool: {commands.plain(one.name)}: {commands.plain(one.problem)}")
    print(f"tools:\n  {args.server}:\n    http: https://...  # the base URL of the API")
    print(f"    openapi: {args.file}\n    methods: [{', '.join(methods)}]")
    print(f"    operations: [{', '.join(one.name for one in found)}]  # leave out what no agent may call")
    return 0


def show(args: argparse.Namespace) -> int:
    """`meshgate tools show`: the definition as JSON."""
    from gateway.errors import ConfigError

    server, tool = args.tool
    pin = _record(args, server).get(tool)
    if pin is None:
        raise ConfigError(f"{server} has listed no tool of this name; `meshgate tools list {server}` has all")
    commands.print_json({"state": pin.state, "tool": pin.seen or pin.accepted})
    return 0


def diff(args: argparse.Namespace) -> int:
    """`meshgate tools diff`: one line for each field that differs."""
    from gateway.tools.pins import differences

    server, tool = args.tool
    for name, pin in _record(args, server).items():
        if pin.state == "accepted" or (tool and name != tool):
            continue
        print(f"{commands.plain(name)}: {pin.state}")
        for line in differences(pin.accepted or {}, pin.seen or {}):
            print(f"  {commands.plain(line)}")
    return 0


def accept(args: argparse.Namespace) -> int:
    """`meshgate tools accept`: running gateways serve the tools within seconds."""
    from gateway.tools import pins

    server, tool = args.tool
    record, tools = _record(args, server), [tool] if tool else []
    if not pins.pending(record, server, tools):
        words = f"every tool that {server} has listed is" if not tool else f"{commands.plain(tool)} is"
        none = "the gateway has not listed this server's tools yet"
        print(f"Nothing to accept: {f'{words} accepted already' if record else none}.", file=sys.stderr)
        return 0
    config = commands.load_config(args, quiet=True).config

    async def run(store: Any) -> list[str]:
        await commands.on_record(config, store, "tools accept", "", "", {"server": server, "tool": tool})
        return await pins.accept(store, server, tools)

    for name in commands.with_store(config, run):
        print(f"{commands.plain(name)}: accepted")
    return 0
