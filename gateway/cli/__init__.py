"""The command `meshgate`: parses arguments, runs a command, prints errors.

Exit codes: 0 success; 1 policy tests failed, or verdicts differ; 2 a mistake in the configuration, the policies or the
command line, or a state store that does not answer. The commands are in `gateway.cli.commands`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.cli import commands
from gateway.cli.commands import agents, backup, decisions, imports, keys, policy, tools, usage, workflows


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        return _run(argv)
    except BrokenPipeError:  # the reader of the output has closed the pipe
        return _unwritten(141)
    except OSError as error:  # such as a folder without write permission
        if error.filename is None:
            print(f"meshgate: {error.strerror or error}", file=sys.stderr)
            return _unwritten(2)
        print(f"meshgate: {error.filename}: {error.strerror}; see `state`, `audit.path` and key files", file=sys.stderr)
        return 2
    except ImportError as error:
        if (error.name or "gateway").partition(".")[0] == "gateway":  # a bug of the gateway itself
            raise
        print(f"meshgate: {_missing(error.name or '')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(argv: Sequence[str] | None) -> int:
    """Parse the arguments and run the command. Mistakes are printed, also as JSON with `--json`: exit code 2."""
    from gateway.errors import ConfigError, Refusal
    from gateway.stores import StoreUnavailable

    args = argparse.Namespace()
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
    except (ConfigError, Refusal, StoreUnavailable) as error:
        if getattr(args, "json", False):
            commands.print_json({"ok": False, "errors": str(error).splitlines()})
        print(error, file=sys.stderr)
        code = 2
    finally:  # also after --help, which raises SystemExit here
        sys.stdout.flush()
    return code


def _missing(name: str) -> str:
    """The message for a required package that cannot be imported."""
    here = f"{sys.platform} {platform.machine()}, Python {platform.python_version()}"
    return (
        f"the package {name!r} cannot be imported ({here}). Install the packages in requirements.lock; if a package "
        "has no wheel for this platform, use the container image. Meshgate runs on Linux and macOS, x86-64 and arm64; "
        "on Windows in WSL or a container."
    )


def _unwritten(code: int) -> int:
    """Discard buffered output that cannot be written; returns the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def serve(args: argparse.Namespace) -> int:
    """`meshgate serve`."""
    from gateway.errors import ConfigError
    from gateway.serving.signals import ignore_reloads

    ignore_reloads()
    loaded = commands.load_config(args, quiet=True, scanners=True)  # the process prints its warnings itself
    server = loaded.config.server
    if args.workers > 1 and loaded.config.state.url.startswith("sqlite"):
        raise ConfigError(
            f"--workers {args.workers} needs a state store that processes can share, but {args.config} has SQLite "
            "state; set `state: redis://host:port/db`, or serve with one worker"
        )
    from gateway.serving import process

    process.serve(loaded, args.host or server.host, server.port if args.port is None else args.port, args.workers)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.Parser(prog="meshgate", description="A policy gateway between AI agents and models.")
    parser.add_argument("--version", action="version", version=f"meshgate {__version__}")
    group = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.command(group, "serve", serve, "start the gateway")
    command.add_argument("--host", metavar="H", help="address to listen on, instead of server.host")
    command.add_argument("--port", type=commands.port, metavar="P", help="port to listen on, instead of server.port")
    command.add_argument(
        "--workers",
        type=commands.positive,
        default=1,
        metavar="N",
        help="worker processes; more than 1 needs Redis",
    )
    for module in (policy, keys, workflows, tools, agents, usage, decisions, backup, imports):
        module.register(group)
    return parser
