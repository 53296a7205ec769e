"""Packaging: lock files, the container image, the commands. Checked without Docker or a network."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway import cli

ROOT = Path(__file__).parent.parent
LOCKS = ["requirements.lock", "requirements-extras.lock", "requirements-dev.lock"]
APART = ["tests/pypi/frameworks.lock", "tests/pypi/others.lock"]
"""Of environments that tests make for packages whose requirements conflict with ours."""
INDEX = re.compile(r"(?i)://|--(extra-)?index|--find-links|--trusted-host|\bfile:|pypi|^-[if]\b")


class Step(NamedTuple):
    """One instruction of a Dockerfile and the number of its stage, from 1."""

    stage: int
    word: str
    rest: str

    def command(self) -> list[str]:
        """The arguments of an instruction in exec form."""
        argv: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return argv


def steps() -> list[Step]:
    """The Dockerfile as Docker reads it: comments out, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    found: list[Step] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, rest = line.split(maxsplit=1)
            stage = found[-1].stage if found else 0
            found.append(Step(stage + (word == "FROM"), word, rest.strip()))
    return found


def last(word: str) -> Step:
    """The instruction that applies to the image: the last of its kind, in the last stage."""
    return [step for step in steps() if step.word == word and step.stage == steps()[-1].stage][-1]


def copies() -> Iterator[tuple[int, str]]:
    """Stage and source of everything that is copied out of the checkout."""
    for step in steps():
        if step.word == "COPY" and not step.rest.startswith("--from"):
            yield from ((step.stage, source) for source in shlex.split(step.rest)[:-1])


def pinned(lock: str) -> dict[str, str]:
    """Name and version of each requirement in a lock file."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {str(canonicalize_name(name)): version for name, version in lines}


def project() -> dict[str, list[str]]:
    """The requirements of `pyproject.toml` and of tests/pypi, by lock file."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = data["project"]["dependencies"] + data["build-system"]["requires"]
    extras = [need for extra in data["project"]["optional-dependencies"].values() for need in extra]
    found = dict(zip(LOCKS, [needs, needs + extras, needs + data["dependency-groups"]["dev"]], strict=True))
    for lock in APART:
        lines = (ROOT / lock).with_suffix(".in").read_text().splitlines()
        found[lock] = [need for line in lines if (need := line.partition("#")[0].strip())]
    return found


@pytest.mark.parametrize("lock", [*LOCKS, *APART])
def test_every_locked_requirement_has_hashes(lock: str) -> None:
    """A lock file holds exact versions with SHA-256 hashes and nothing else."""
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    for entry in text.replace("\\\n", " ").strip().splitlines():
        assert re.fullmatch(r"[\w.-]+==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), entry[:80]


@pytest.mark.parametrize("lock", [*LOCKS, *APART])
def test_locks_name_no_index(lock: str) -> None:
    """A lock file names no index and no path: it installs from any mirror."""
    assert [line for line in (ROOT / lock).read_text().splitlines() if INDEX.search(line)] == []


@pytest.mark.parametrize("lock", [*LOCKS, *APART])
def test_locks_are_up_to_date(lock: str) -> None:
    """Every requirement is locked at an allowed version; if not, run `make lock`."""
    versions = pinned(lock)
    for text in project()[lock]:
        need = Requirement(text)
        version = versions.get(canonicalize_name(need.name))
        assert version is not None, f"{need.name} is not in {lock}: run `make lock`"
        assert need.specifier.contains(version), f"{need.name} {version} is locked, {need.specifier} wanted"


def test_locks_agree() -> None:
    """Tests run with the versions that are shipped."""
    shipped, whole, tested = (pinned(lock) for lock in LOCKS)
    assert shipped.items() <= whole.items()
    assert shipped.items() <= tested.items()


def test_every_dependency_has_its_reason() -> None:
    """Each dependency in `pyproject.toml` has a comment with its reason."""
    lines = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("\n]")[0].splitlines()
    assert [line for line in lines if line.strip() and not re.search(r'",\s+# \S', line)] == []


def test_image_copies_what_exists() -> None:
    """Every source that the Dockerfile copies is in the checkout, and .dockerignore lets it into the build."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for _, source in copies():
        assert (ROOT / source).exists(), source
        assert source in allowed, f"{source} is not let in by .dockerignore"


def test_image_holds_no_secret() -> None:
    """Nothing is copied wholesale, and neither a build argument nor a variable carries a key or an index address."""
    assert not {source for _, source in copies()} & {".", "./", "var", ".env", ".git"}
    text = "\n".join(step.rest for step in steps() if step.word != "HEALTHCHECK")
    assert not re.search(r"(?i)://|index|find-links|trusted-host|api_key|password|secret|token", text)
    assert [step for step in steps() if step.word in ("ARG", "ADD")] == []


def test_image_installs_by_hash() -> None:
    """Each `pip install` in the image is of a hash-locked file, or of the project alone."""
    installs = [part for step in steps() if step.word == "RUN" for part in re.findall(r"pip install[^&]*", step.rest)]
    assert len(installs) == 2
    for command in installs:
        assert "--require-hashes --requirement requirements-extras.lock" in command or command.endswith(
            "--no-deps --no-build-isolation ."
        )


def test_image_runs_as_a_user() -> None:
    """The process does not run as root, and the user is created before it is named."""
    user = last("USER").rest
    made = next(step for step in steps() if step.word == "RUN" and "useradd" in step.rest)
    assert made.rest.split("&&")[0].split()[-1] == user
    assert user not in ("root", "0")
    assert steps().index(made) < steps().index(last("USER")) < steps().index(last("ENTRYPOINT"))


def test_image_runs_a_command_there_is() -> None:
    """The entry point is the project's script, with valid arguments."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    program, *rest = last("ENTRYPOINT").command() + last("CMD").command()
    assert program in data["project"]["scripts"]
    args = cli._parser().parse_args(rest)
    assert args.run is cli.serve
    assert str(args.config.parent) in {source for stage, source in copies() if stage == last("CMD").stage}
    assert (ROOT / args.config).exists()
    assert str(args.port) == last("EXPOSE").rest


def test_image_checks_its_health() -> None:
    """The health check is valid Python, asks /livez, and on the port that is served."""
    python, option, source = last("HEALTHCHECK").command()
    assert (python, option) == ("python", "-c")
    compile(source, "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{last('EXPOSE').rest}/livez" in source


def test_image_has_what_the_project_is_built_from() -> None:
    """Files that the build of the project reads are copied before it is built."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"pyproject.toml", "gateway", data["readme"], *data["license-files"]}
    assert wanted <= {source for stage, source in copies() if stage == 1}


@pytest.mark.parametrize("target", ["install", "run", "test", "lint", "bench", "lock", "clean"])
def test_make_knows(target: str) -> None:
    """Each command of the documentation is a target of the Makefile that needs no network to be planned."""
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_refuses_an_old_python(tmp_path: Path) -> None:
    """For an interpreter that is too old or missing, the error names it and says what to do."""
    for name in ("Makefile", *LOCKS, "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = ["make", "install", "PYTHON=false"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer; 'false'" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_license() -> None:
    """The license is the license in the metadata."""
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Copyright 2026 The Meshgate authors" in text
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


def test_ci_is_a_script() -> None:
    """`.ci/run` is executable, parses, stops at the first error and lets no test be skipped for want of a server."""
    script = ROOT / ".ci/run"
    text = script.read_text()
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert "set -euo pipefail" in text
    assert "export MESHGATE_REQUIRE_SERVERS=1" in text


def test_packages_of_npm_are_pinned() -> None:
    """Those that tests run: exact versions, hashes for each that is fetched, no address of a registry."""
    folder = ROOT / "tests" / "npm"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name
