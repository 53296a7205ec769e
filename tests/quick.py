"""The quick set, `make test-quick`: tests that start no server and take little CPU time.

A file is left out if it reaches, through the helpers it imports, a helper that starts servers. A test is left out if
one of its fixtures is a server, if it is the variant for a server's store or engine, or if it is marked `slow`,
`server` or `live`. While the quick set runs, nothing may listen on a port: `forbid` refuses.
"""

from __future__ import annotations

import ast
import functools
import socket
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
SERVERS = frozenset(
    {"servers", "line", "upstream", "redis_cluster", "tool_server", "toxiproxy", "engines.opa_server", "raw_provider"}
)
"""Helpers that start a server or a client of one."""
FIXTURES = frozenset({"redis_url", "valkey_url", "cluster_url", "up", "opa_url", "wasm_engine"})
VARIANTS = frozenset({"redis", "valkey", "cluster", "opa", "wasm"})
"""Parameters of tests that run on several stores or engines: these need a server, or the program `opa`."""
MARKS = frozenset({"slow", "server", "live"})
PROGRAMS = frozenset({"redis-server", "valkey-server", "opa", "toxiproxy-server", "nginx", "uvicorn"})


class Served(RuntimeError):
    """A test of the quick set tried to serve."""


def forbid(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook (PEP 578): raises where this process listens on an address, or starts a server."""
    if event == "socket.bind":
        bound, address = arguments
        if isinstance(address, tuple) and isinstance(bound, socket.socket):
            raise Served(f"a quick test binds {address}: mark the test `server`")
    elif event == "subprocess.Popen":
        name = Path(str(arguments[0])).name
        if name in PROGRAMS:
            raise Served(f"a quick test starts {name}: mark the test `server`")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """The modules that a file of tests imports, anywhere in the file."""

    def names(tree: ast.AST) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    return frozenset(names(ast.parse(path.read_text("utf-8"))))


@functools.cache
def needs_a_server(path: Path) -> bool:
    """Whether a file of tests reaches a helper that starts servers, or is one of the live tests."""
    if "live" in path.relative_to(TESTS).parts:
        return True
    found = imports(path)
    helpers = (TESTS / f"{name.replace('.', '/')}.py" for name in found)
    return bool(found & SERVERS) or any(needs_a_server(helper) for helper in helpers if helper.is_file())
