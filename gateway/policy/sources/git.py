"""`policy.git`: a git repository at a branch, a tag or a commit, fetched with the git command.

A bundle is identified by its commit: when a branch moves, that is another bundle. A name that is both a branch and a
tag is refused, because the right to push tags may be wider than the right to push to the branch. With `allowed_signers`
or `keyring`, only commits whose signature git verifies are accepted. Files are read as committed, without the exports,
line endings and filters of `.gitattributes`. Submodules, LFS and symbolic links are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gateway.config.sections import GitSource
from gateway.errors import ConfigError
from gateway.policy.sources import unpack
from gateway.policy.sources.base import Found, Reports, SourceError
from gateway.policy.sources.remote import Remote

_WANTED = "refs/meshgate/wanted"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SECRETS = (re.compile(r"(?<=://)[^/\s]*(?=@)"), re.compile(r"(?<=\?)[^\s'\"/]+"))
"""The credentials and the query of a URL."""
_SHORT = 12


class Git(Remote):
    """Fetches one ref without its history."""

    key = "policy.git"

    def __init__(self, settings: GitSource, cache: str, reports: Reports | None) -> None:
        # Part of the identity: after a change of the trusted keys, bundles kept under other keys are not used.
        whose = (settings.allowed_signers, settings.keyring)
        identity = f"git {settings.url} {settings.ref} {settings.path} {whose}"
        super().__init__(cache, identity, settings.interval, reports)
        for name in ("allowed_signers", "keyring"):
            path = getattr(settings, name)
            if path and not Path(path).exists():
                raise ConfigError(f"policy.git.{name}: {path} does not exist, so no commit could be verified")
        self._settings = settings
        self._repository = self.shelf.path / "repository"
        self._fetched: tuple[str, Found] | None = None
        self._running: subprocess.Popen[bytes] | None = None

    async def fetch(self) -> Found:
        """The bundle at the commit of the ref. Raises SourceError."""
        return await asyncio.to_thread(self._fetch)

    def last_good(self) -> tuple[Found, str] | None:
        """The bundle that took effect last, if its signer is still trusted."""
        last = super().last_good()
        if last is not None:
            try:
                self._verify(last[0].root.name)
            except SourceError:
                return None
        return last

    async def close(self) -> None:
        """Stop fetching; a running command is killed."""
        if self._running is not None:
            _end(self._running)
        await super().close()

    def _fetch(self) -> Found:
        settings, shelf = self._settings, self.shelf
        with shelf.locked():
            if not (self._repository / "HEAD").is_file():
                self._git("init", "--quiet", "--bare", str(self._repository), inside=False)
            ref, object_ = self._remote()
            if self._fetched is not None and self._fetched[0] == object_:
                found = self._fetched[1]
                self._verify(found.root.name)
                return found
            self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--no-write-fetch-head",
                      "--end-of-options", settings.url, f"{ref}:{_WANTED}")  # fmt: skip
            commit = self._git("rev-parse", "--verify", "--end-of-options", f"{_WANTED}^{{commit}}").decode().strip()
            if _COMMIT.fullmatch(settings.ref) and commit != settings.ref:
                raise SourceError(f"the repository sent commit {commit[:_SHORT]}, not the commit in policy.git.ref")
            self._verify(commit)
            root = shelf.put(commit, self._files(commit))
        found = Found(root, commit, f"commit {commit[:_SHORT]} of {settings.ref}")
        self._fetched = object_, found
        return found

    def _remote(self) -> tuple[str, str]:
        """The full name of the ref in the repository, and its object. Raises SourceError."""
        settings = self._settings
        ref = settings.ref
        if _COMMIT.fullmatch(ref):
            return ref, ref
        names = [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        listed = self._git("ls-remote", "--quiet", "--end-of-options", settings.url, *names, inside=False).decode()
        found = {name: object_ for object_, name in (line.split("\t", 1) for line in listed.splitlines())}
        there = [name for name in names if name in found]
        if not there:
            raise SourceError(f"the repository has no branch or tag {ref} (policy.git.ref)")
        if len(there) > 1:
            raise SourceError(f"{ref} is a branch and a tag; write policy.git.ref: {' or '.join(there)}")
        return there[0], found[there[0]]

    def _files(self, commit: str) -> dict[str, bytes]:
        """The regular files of a commit, as committed: path -> content. Raises SourceError."""
        path = self._settings.path
        listed = self._git("ls-tree", "-r", "-z", "--long", "--end-of-options", f"{commit}:{path}" if path else commit)
        wanted: dict[str, tuple[str, int]] = {}
        for line in listed.decode(errors="surrogateescape").split("\0")[:-1]:
            about, name = line.split("\t", 1)
            mode, kind, object_, size = about.split()
            if kind == "blob" and mode.startswith("100"):
                wanted[unpack.plain(name)] = object_, int(size)
        unpack.bounded(len(wanted), sum(length for _, length in wanted.values()))
        asked = "".join(f"{object_}\n" for object_, _ in wanted.values()).encode()
        content = self._git("cat-file", "--batch", given=asked)
        files, at = {}, 0
        for name, (_, length) in wanted.items():
            at = content.index(b"\n", at) + 1
            files[name] = content[at : at + length]
            at += length + 1
        return files

    def _verify(self, commit: str) -> None:
        """Raise SourceError unless the commit has a signature by an allowed signer."""
        settings = self._settings
        if not settings.signed:
            return
        # Kinds of keys that are not configured here verify nothing, regardless of the user's own git configuration.
        programs = [] if settings.keyring else ["gpg.program", "gpg.openpgp.program", "gpg.x509.program"]
        programs += [] if settings.allowed_signers else ["gpg.ssh.program"]
        signers = os.path.abspath(settings.allowed_signers) if settings.allowed_signers else os.devnull
        options = [f"gpg.ssh.allowedSignersFile={signers}", *(f"{program}=false" for program in programs)]
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
        given: bytes | None = None,
    ) -> bytes:
        """Run git; returns its output. Raises SourceError with the error message of git, without secrets of URLs."""
        settings = ["-c", "core.hooksPath=/dev/null", *(part for option in options or [] for part in ("-c", option))]
        place = ["--git-dir", str(self._repository)] if inside else []
        inherited = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        known = {**inherited, **_QUIET, **(environment or {})}
        known.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        limit = self._settings.timeout
        try:
            running = subprocess.Popen(  # noqa: S603  arguments are a list, and none of them can be an option
                ["git", *settings, *place, *arguments],  # noqa: S607  the git of the machine
                env=known,
                stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that children of git, such as ssh, can be killed with it
            )
        except FileNotFoundError:
            raise SourceError("the git command is not installed") from None
        self._running = running
        try:
            printed, complaint = running.communicate(given, timeout=limit)
        except subprocess.TimeoutExpired:
            _end(running)
            running.communicate()
            raise SourceError(f"git {arguments[0]} took longer than {limit:g} s (policy.git.timeout)") from None
        finally:
            self._running = None
        if running.returncode != 0:
            words = _plain(complaint.decode(errors="replace")).strip().splitlines()
            said = next((line for line in words if line.startswith("fatal:")), words[-1] if words else "")
            raise SourceError(f"git {arguments[0]} failed: {said.removeprefix('fatal: ')}")
        return printed


def _plain(words: str) -> str:
    for secret in _SECRETS:
        words = secret.sub("***", words)
    return words


def _end(running: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


_QUIET: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
# Variables that point to another repository, for example if a git hook started the gateway.
_ELSEWHERE = frozenset(
    f"GIT_{name}"
    for name in [
        "DIR",
        "WORK_TREE",
        "COMMON_DIR",
        "INDEX_FILE",
        "NAMESPACE",
        "OBJECT_DIRECTORY",
        "ALTERNATE_OBJECT_DIRECTORIES",
        "SHALLOW_FILE",
        "GRAFT_FILE",
    ]
)
