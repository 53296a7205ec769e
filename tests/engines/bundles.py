"""Small bundles for tests of the engines: a rule and its test, reports of reloads, a repository to fetch from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from needs import need

Write = Callable[[Mapping[str, str]], Path]
"""(name -> content) -> an empty folder into which the files of a bundle were written."""

RULE = 'package gateway\ndecision := {"allow": %s, "from": data.name}'
TEST = "package gateway_test\nimport data.gateway\ntest_allow if gateway.decision.allow == %s"


class Reports:
    """The reports, in order."""

    def __init__(self) -> None:
        self.problems: list[str | None] = []

    def reloaded(self, what: str, problem: str | None) -> None:
        assert what in ("policy", "policy source")
        self.problems.append(problem)


_WHO = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


class Repository:
    """A repository to fetch from."""

    def __init__(self, path: Path) -> None:
        need("git", "git")
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env={**os.environ, **_WHO}, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str], *options: str) -> str:
        """Write files and commit them; returns the commit."""
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content)
        self.git("add", "--all")
        self.git(*options, "commit", "--quiet", "--message=change")
        return self.git("rev-parse", "HEAD")
