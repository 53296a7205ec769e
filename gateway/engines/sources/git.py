"""`policy.git`: a git repository at a branch, a tag or a commit, fetched with the git command.

What is fetched is pinned by its commit: a branch that moves is another bundle. With `allowed_signers` or `keyring` only
commits count whose signature git verifies. Submodules, LFS and symbolic links are not followed.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gateway.engines.sources import unpack
from gateway.engines.sources.base import Found, Reports, SourceError
from gateway.engines.sources.remote import Remote
from gateway.errors import ConfigError
from gateway.sections import GitSource

_WANTED = "refs/meshgate/wanted"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_USERINFO = re.compile(r"://[^/@\s]*@")
_SHORT = 12


class Git(Remote):
    """Fetches one ref without its history."""

    key = "policy.git"

    def __init__(self, settings: GitSource, cache: str, reports: Reports | None) -> None:
        whose = (settings.allowed_signers, settings.keyring)  # who trusts fewer does not begin with what they kept
        identity = f"git {settings.url} {settings.ref} {settings.path} {whose}"
        super().__init__(cache, identity, settings.interval, reports)
        for name in ("allowed_signers", "keyring"):
            path = getattr(settings, name)
            if path and not Path(path).exists():
                raise ConfigError(f"policy.git.{name}: {path} is not there; without it no commit could be verified")
        self._settings = settings
        self._repository = self.shelf.path / "repository"

    async def fetch(self) -> Found:
        """The bundle at the ref's commit."""
        return await asyncio.to_thread(self._fetch)

    def _fetch(self) -> Found:
        settings, shelf = self._settings, self.shelf
        with shelf.locked():
            if not (self._repository / "HEAD").is_file():
                self._git("init", "--quiet", "--bare", str(self._repository), inside=False)
            self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--end-of-options", settings.url,
                      f"{settings.ref}:{_WANTED}")  # fmt: skip
            commit = self._git("rev-parse", "--verify", "--end-of-options", f"{_WANTED}^{{commit}}").decode().strip()
            if _COMMIT.fullmatch(settings.ref) and commit != settings.ref:
                raise SourceError(f"the repository gave the commit {commit[:_SHORT]}, not the one that ref names")
            self._verify(commit)
            root = shelf.place(commit)
            if not root.is_dir():
                tree = f"{commit}:{settings.path}" if settings.path else commit
                files = unpack.read(self._git("archive", "--format=tar", "--end-of-options", tree))
                shelf.put(commit, lambda folder: unpack.write(files, folder))
        return Found(root, commit, f"commit {commit[:_SHORT]} of {settings.ref}")

    def _verify(self, commit: str) -> None:
        """The commit carries a signature by one of those allowed. Raises SourceError."""
        settings = self._settings
        if not settings.signed:
            return
        options = [f"gpg.ssh.allowedSignersFile={os.path.abspath(settings.allowed_signers)}"]
        if not settings.allowed_signers:  # then no key of ssh counts, whatever the user's own configuration says
            options = [f"gpg.ssh.allowedSignersFile={os.devnull}"]
        home = os.path.abspath(settings.keyring) if settings.keyring else os.devnull
        try:
            self._git("verify-commit", commit, options=options, environment={"GNUPGHOME": home})
        except SourceError:
            who = settings.allowed_signers or settings.keyring
            raise SourceError(f"the commit {commit[:_SHORT]} is not signed by anyone in {who}") from None

    def _git(
        self,
        *arguments: str,
        inside: bool = True,
        options: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """What git prints. Raises SourceError with git's own last words, less what stands before an @ in a URL."""
        settings = ["-c", "core.hooksPath=/dev/null", *(part for option in options or [] for part in ("-c", option))]
        place = ["--git-dir", str(self._repository)] if inside else []
        known = {**os.environ, **_QUIET, **(environment or {})}
        known.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        limit = self._settings.timeout
        try:
            done = subprocess.run(  # noqa: S603  arguments are a list, and none of them can be an option
                ["git", *settings, *place, *arguments],  # noqa: S607  whichever git the machine has
                env=known,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit,
                check=False,
            )
        except FileNotFoundError:
            raise SourceError("the git command is not installed") from None
        except subprocess.TimeoutExpired:
            raise SourceError(f"git {arguments[0]} took longer than {limit:g} s (policy.git.timeout)") from None
        if done.returncode != 0:
            words = _USERINFO.sub("://***@", done.stderr.decode(errors="replace")).strip().splitlines()
            said = next((line for line in words if line.startswith("fatal:")), words[-1] if words else "")
            raise SourceError(f"git {arguments[0]} failed: {said.removeprefix('fatal: ')}")
        return done.stdout


_QUIET: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
    "LC_ALL": "C",
}
