"""A policy to replay decisions against, and the command `meshgate policy` with a running gateway."""

from __future__ import annotations

import subprocess
import sys

from line import Line

STRICT = """package rules.strict
deny contains {"code": "no_echo", "class": "cost", "message": "no echo"} if input.action.model == "echo"
"""


def run(line: Line, *arguments: str) -> tuple[int, str]:
    """Run the command as a user would, while the gateway is running."""
    command = [sys.executable, "-m", "gateway", *arguments, "--config", str(line.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout
