"""`policy.git`: bundles from real repositories, by the git command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.bundles import RULE, TEST, Reports, Repository
from gateway.config.sections import GitSource, Policy
from gateway.errors import ConfigError
from gateway.policy.engines.live import Policies
from gateway.policy.sources.base import SourceError
from gateway.policy.sources.git import Git
from needs import need


def bundle(name: str, allow: str = "true", tested: str = "true") -> dict[str, str]:
    return {
        "policies/p.rego": RULE % allow,
        "policies/data.yaml": f"name: {name}",
        "policies/p_test.rego": TEST % tested,
        "README.md": "not part of the bundle",
    }


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "origin")
    made.commit(bundle("one"))
    return made


@pytest.fixture
def reports() -> Reports:
    return Reports()


def settings(repository: Repository, **more: object) -> GitSource:
    return GitSource.model_validate({"url": str(repository.path), "path": "policies", "interval": 3600, **more})


def policy(repository: Repository, tmp_path: Path, **more: object) -> Policy:
    return Policy(git=settings(repository, **more), cache=str(tmp_path / "cache"))


@pytest.fixture
async def policies(repository: Repository, tmp_path: Path, reports: Reports) -> AsyncIterator[Policies]:
    opened = await Policies.open(policy(repository, tmp_path), reports)
    yield opened
    await opened.close()


async def refetch(policies: Policies) -> None:
    """The step of the source's task after its interval."""
    source = policies._source
    assert isinstance(source, Git)
    source._found = await source.fetch()


async def name(policies: Policies) -> object:
    return (await policies.engine.decide({}))["from"]


async def test_a_branch(policies: Policies, repository: Repository) -> None:
    """The bundle is the folder of the branch's commit, and names that commit."""
    assert await name(policies) == "one"
    assert repository.git("rev-parse", "--short=12", "HEAD") in policies.origin


async def test_a_branch_that_moves(policies: Policies, repository: Repository, reports: Reports) -> None:
    """The next check uses the new commit, also after the history was rewritten."""
    repository.commit(bundle("two"))
    await refetch(policies)
    assert await policies.step()
    assert await name(policies) == "two"
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.commit(bundle("three"))
    await refetch(policies)
    assert await policies.step()
    assert await name(policies) == "three"
    assert reports.problems == [None, None]


async def test_nothing_new(policies: Policies) -> None:
    """The same commit is not loaded again."""
    engine = policies.engine
    await refetch(policies)
    assert not await policies.step()
    assert policies.engine is engine


async def test_a_commit_whose_tests_fail(policies: Policies, repository: Repository, reports: Reports) -> None:
    """The commit is refused and reported; the last good bundle stays in use."""
    repository.commit(bundle("two", allow="true", tested="false"))
    await refetch(policies)
    assert not await policies.step()
    assert await name(policies) == "one"
    assert reports.problems[-1] is not None
    assert "own tests failed" in reports.problems[-1]


async def test_a_tag_and_a_commit(repository: Repository, tmp_path: Path) -> None:
    """A tag (annotated or not) and a full commit id stay fixed while the branch moves."""
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "plain")
    repository.git("tag", "--annotate", "--message=x", "told")
    repository.commit(bundle("two"))
    for ref in ("plain", "told", first):
        opened = await Policies.open(policy(repository, tmp_path, ref=ref))
        assert await name(opened) == "one"
        await opened.close()


async def test_without_the_repository(
    policies: Policies, repository: Repository, tmp_path: Path, reports: Reports
) -> None:
    """If the repository is unreachable at the start, the last good bundle is used, and this is reported."""
    shutil.rmtree(repository.path)
    again = await Policies.open(policy(repository, tmp_path), reports)
    assert await name(again) == "one"
    assert "kept on disk" in again.origin
    assert any(problem and "git ls-remote failed" in problem for problem in reports.problems)
    await again.close()


async def test_without_the_repository_and_with_a_changed_copy(
    policies: Policies, repository: Repository, tmp_path: Path
) -> None:
    """A kept bundle whose files were changed is not used."""
    kept = next((tmp_path / "cache").glob("*/bundles/*/p.rego"))
    kept.write_text(RULE % "false")
    shutil.rmtree(repository.path)
    with pytest.raises(ConfigError, match=r"policy\.git: git ls-remote failed.*no earlier bundle"):
        await Policies.open(policy(repository, tmp_path))


async def test_a_start_with_a_bad_commit(
    policies: Policies, repository: Repository, tmp_path: Path, reports: Reports
) -> None:
    """The last good bundle is used from the start; after the repository is fixed, the new bundle."""
    repository.commit(bundle("two", tested="false"))
    again = await Policies.open(policy(repository, tmp_path), reports)
    assert await name(again) == "one"
    assert not await again.step()
    repository.commit(bundle("three"))
    await refetch(again)
    assert await again.step()
    assert await name(again) == "three"
    await again.close()


async def test_first_start_with_a_bad_commit(repository: Repository, tmp_path: Path) -> None:
    """Without a kept bundle the gateway does not start."""
    repository.commit(bundle("two", tested="false"))
    with pytest.raises(ConfigError, match="own tests failed"):
        await Policies.open(policy(repository, tmp_path))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ref": "nowhere"}, "no branch or tag nowhere"),
        ({"path": "elsewhere"}, "git ls-tree failed"),
        ({"url": "https://user:hunter2@127.0.0.1:1/x.git"}, "git ls-remote failed"),
    ],
)
async def test_wrong_settings(repository: Repository, tmp_path: Path, wrong: dict[str, object], words: str) -> None:
    """The message of git is passed on, without credentials before an @."""
    with pytest.raises(ConfigError, match=words) as caught:
        await Policies.open(policy(repository, tmp_path, **wrong))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"url": "--upload-pack=touch /x"}, {"ref": "--all"}, {"ref": "a:b"}, {"path": "../.."}, {"path": "/etc"}]
)
async def test_settings_that_would_be_options(repository: Repository, tmp_path: Path, wrong: dict[str, object]) -> None:
    """No setting becomes an option of git or leads outside of the repository."""
    with pytest.raises((ValueError, ConfigError)):
        await Policies.open(policy(repository, tmp_path, **wrong))


async def test_links_are_not_followed(repository: Repository, tmp_path: Path) -> None:
    """A symbolic link in the repository cannot add files of this machine to the bundle."""
    (repository.path / "policies" / "secret.rego").symlink_to("/etc/passwd")
    repository.commit({})
    opened = await Policies.open(policy(repository, tmp_path))
    assert not list((tmp_path / "cache").glob("*/bundles/*/secret.rego"))
    await opened.close()


class Signer:
    """An ssh key, and its file of allowed signers."""

    def __init__(self, folder: Path, who: str) -> None:
        need("ssh-keygen", "openssh-client")
        self.key = folder / who
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.allowed = folder / f"{who}.allowed"
        kind, key, *_ = self.key.with_suffix(".pub").read_text().split()
        self.allowed.write_text(f"a@example.com {kind} {key}\n")

    @property
    def options(self) -> list[str]:
        """Options of git that sign a commit."""
        return ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.key}", "-c", "commit.gpgsign=true"]


async def test_only_signed_commits(repository: Repository, tmp_path: Path) -> None:
    """A commit signed by an allowed key is used; one without a signature, or by another key, is refused."""
    known, stranger = Signer(tmp_path, "known"), Signer(tmp_path, "stranger")
    ours = {"allowed_signers": str(known.allowed)}
    with pytest.raises(ConfigError, match="is not signed by anyone in"):
        await Policies.open(policy(repository, tmp_path, **ours))
    repository.commit(bundle("two"), *known.options)
    opened = await Policies.open(policy(repository, tmp_path, **ours))
    assert await name(opened) == "two"
    repository.commit(bundle("three"), *stranger.options)
    with pytest.raises(SourceError, match="is not signed by anyone in"):
        await refetch(opened)
    assert not await opened.step()
    assert await name(opened) == "two"
    await opened.close()


async def test_who_trusts_fewer_does_not_begin_with_what_was_kept(
    policies: Policies, repository: Repository, tmp_path: Path
) -> None:
    """A bundle kept before signatures were required is not used once they are."""
    known = Signer(tmp_path, "known")
    with pytest.raises(ConfigError, match="is not signed by anyone in"):
        await Policies.open(policy(repository, tmp_path, allowed_signers=str(known.allowed)))


async def test_signers_that_are_not_there(repository: Repository, tmp_path: Path) -> None:
    """The error for a missing file of signers names its key, before anything is fetched."""
    with pytest.raises(ConfigError, match=r"policy\.git\.allowed_signers: .* does not exist"):
        await Policies.open(policy(repository, tmp_path, allowed_signers=str(tmp_path / "none")))


async def test_two_processes_share_a_cache(repository: Repository, tmp_path: Path) -> None:
    """Two gateways may fetch at the same time into one cache."""
    import asyncio

    one, other = [Git(settings(repository), str(tmp_path / "cache"), None) for _ in range(2)]
    for source in (one, other):
        source.shelf.open()
    found = await asyncio.gather(*(source.fetch() for source in (one, other) * 3))
    assert len(set(found)) == 1
    assert (found[0].root / "p.rego").is_file()


async def test_a_branch_that_is_a_tag_too(repository: Repository, tmp_path: Path) -> None:
    """A name that is both a branch and a tag is refused: the full name is required."""
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.commit(bundle("two"))
    repository.git("tag", "main")
    with pytest.raises(ConfigError, match=r"main is a branch and a tag; write policy\.git\.ref: refs/heads/main or"):
        await Policies.open(policy(repository, tmp_path))
    for ref, wanted in (("refs/heads/main", "one"), ("refs/tags/main", "two")):
        opened = await Policies.open(policy(repository, tmp_path, ref=ref))
        assert await name(opened) == wanted
        await opened.close()


async def test_files_are_those_that_were_committed(repository: Repository, tmp_path: Path) -> None:
    """`.gitattributes` (exports, line ends) neither removes nor changes a rule."""
    attributes = "p_more.rego export-ignore\n*.rego text eol=crlf\n"
    more = {"policies/.gitattributes": attributes, "policies/p_more.rego": "package more\n\nx := 1\n"}
    repository.commit({**more, ".gitattributes": attributes})
    opened = await Policies.open(policy(repository, tmp_path))
    kept = next((tmp_path / "cache").glob("*/bundles/*/p_more.rego"))
    assert kept.read_bytes() == b"package more\n\nx := 1\n"
    await opened.close()


async def test_a_copy_that_was_changed_is_put_right(policies: Policies, repository: Repository, tmp_path: Path) -> None:
    """With the repository reachable, a changed copy is replaced by the files of the commit."""
    kept = next((tmp_path / "cache").glob("*/bundles/*/p.rego"))
    kept.write_text(RULE % "false")
    again = await Policies.open(policy(repository, tmp_path))
    assert again.version == policies.version
    assert kept.read_text() == RULE % "true"
    await again.close()


async def test_who_may_sign_no_longer(repository: Repository, tmp_path: Path) -> None:
    """A kept bundle of a removed signer is not used, even while the repository is unreachable."""
    known, other = Signer(tmp_path, "known"), Signer(tmp_path, "other")
    ours = {"allowed_signers": str(known.allowed)}
    repository.commit(bundle("two"), *known.options)
    await (await Policies.open(policy(repository, tmp_path, **ours))).close()
    known.allowed.write_text(other.allowed.read_text())
    shutil.rmtree(repository.path)
    with pytest.raises(ConfigError, match="no earlier bundle is kept"):
        await Policies.open(policy(repository, tmp_path, **ours))


@pytest.mark.parametrize("url", ["https://a:hun@ter2@127.0.0.1:1/x", "https://127.0.0.1:1/x?token=hunter2&b=hunter2"])
async def test_secrets_of_the_url(repository: Repository, tmp_path: Path, url: str) -> None:
    """Error messages contain no secrets of the URL."""
    with pytest.raises(ConfigError) as caught:
        await Policies.open(policy(repository, tmp_path, url=url))
    assert "ter2" not in str(caught.value)


async def test_a_repository_that_does_not_answer(repository: Repository, tmp_path: Path) -> None:
    """The fetch is stopped after the timeout, with all processes that git started."""
    url = f"ssh://127.0.0.1/{repository.path}"
    command = tmp_path / "ssh"
    command.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    command.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_SSH_COMMAND", str(command))
        with pytest.raises(ConfigError, match=r"git ls-remote took longer than 0\.5 s"):
            await Policies.open(policy(repository, tmp_path, url=url, timeout=0.5))
    assert _ended((tmp_path / "pid").read_text())


def _ended(pid: str) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, check=False)
    return done.stdout.strip()[:1] in (b"", b"Z")
