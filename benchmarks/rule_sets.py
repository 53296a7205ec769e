"""Public lists of secrets, fetched on request by the clients of their registries; no part of them is kept here.

`gitleaks` (a Go module): the true and false samples of the tests of its rules. `betterleaks` (in the crate
`kingfisher-rules`): random texts for the expression of each rule. Vendors are divided into two halves by the digest of
their name: rules may be tuned on one half, the other half is only scored.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from benchmarks.drawn import Pattern
from benchmarks.systems import WORK

_PLACE: Final = WORK / "rule-sets"
_GITLEAKS: Final = ("github.com/zricethezav/gitleaks/v8", "v8.30.1")
_CRATE: Final = ("kingfisher-rules", "3.0.1")
_DRAWN: Final = 6  # texts of each expression, and as many with usual text between name and value
_PATIENCE: Final = 600  # seconds
_IDENTIFIERS: Final = re.compile(
    r"(?:client|account|key|app|user|team|organi[sz]ation|project|tenant|secret)-?id(?:-\d|\.\d|$)|\bid(?:\.\d|$)"
    r"|-id(?:\.\d|$)|-(?:domain|name|url|endpoint|email|username|site|region|host|subdomain|org)(?:\.\d|$)"
)
_OPENS: Final = re.compile("webhook|sensitive|access-key-id")
_TELLING: Final = """package utils

import (
	"encoding/json"
	"os"
	"sort"

	"github.com/zricethezav/gitleaks/v8/config"
)

func tell(rule config.Rule, tps, fps []string) *config.Rule {
	sort.Strings(tps)
	sample := map[string]any{"rule": rule.RuleID, "true": tps, "false": fps}
	if err := json.NewEncoder(os.Stderr).Encode(sample); err != nil {
		panic(err)
	}
	return &rule
}

func Validate(rule config.Rule, tps []string, fps []string) *config.Rule {
	return tell(rule, tps, fps)
}

func ValidateWithPaths(rule config.Rule, tps, fps map[string]string) *config.Rule {
	values := func(some map[string]string) (out []string) {
		for _, one := range some {
			out = append(out, one)
		}
		return
	}
	return tell(rule, values(tps), values(fps))
}
"""
"""Replaces the module that checks the samples of a rule: it writes the samples to standard error."""


class Sample(NamedTuple):
    """A text of a rule, and [start, end) of the secret; (0, 0) if unknown."""

    text: str
    start: int = 0
    end: int = 0


class RuleSamples(NamedTuple):
    """One rule with its samples."""

    source: str  # the list
    rule: str
    true: tuple[Sample, ...]
    false: tuple[str, ...]

    @property
    def vendor(self) -> str:
        """The first word of the rule's name."""
        return re.split(r"[-_.]", self.rule)[0]

    @property
    def half(self) -> str:
        """`tune` or `held`."""
        return "tune" if hashlib.sha256(self.vendor.encode()).digest()[0] % 2 else "held"

    @property
    def identifies(self) -> bool:
        """Whether the rule finds identifiers (of an account, a place, a name), which give no access by themselves."""
        return _IDENTIFIERS.search(self.rule) is not None and _OPENS.search(self.rule) is None


def samples() -> list[RuleSamples]:
    """All samples that can be fetched. Raises OSError or CalledProcessError if a client is missing or refused."""
    return [*gitleaks(), *betterleaks()]


def gitleaks() -> list[RuleSamples]:
    """Samples of the Go module: its own generator writes them out."""
    written = _PLACE / f"gitleaks-{_GITLEAKS[1]}.jsonl"
    if not written.exists():
        _PLACE.mkdir(parents=True, exist_ok=True)
        told = _run(["go", "mod", "download", "-json", "@".join(_GITLEAKS)], _PLACE).stdout
        copy = _PLACE / "gitleaks"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(json.loads(told)["Dir"], copy)
        utils = copy / "cmd/generate/config/utils"
        utils.chmod(0o755)
        (utils / "validate.go").unlink()
        (utils / "validate.go").write_text(_TELLING)
        # The generator ends with an error, because there is no template; all samples are written before that.
        ended = _run(["go", "run", "./cmd/generate/config", "/dev/null"], copy, check=False)
        written.write_text("".join(line for line in ended.stderr.splitlines(True) if line.startswith("{")))
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for line in written.read_text().splitlines():
        one = json.loads(line)
        true, false = found.setdefault(one["rule"], ({}, {}))
        true.update(dict.fromkeys(one["true"] or ()))
        false.update(dict.fromkeys(one["false"] or ()))
    return [
        RuleSamples("gitleaks", rule, tuple(map(Sample, true)), tuple(false)) for rule, (true, false) in found.items()
    ]


def betterleaks(seed: int = 7) -> list[RuleSamples]:
    """Texts drawn from the expressions of the crate."""
    return [RuleSamples("betterleaks", rule, tuple(_drawn(rule, source, seed)), ()) for rule, source in _expressions()]


def _expressions() -> Iterator[tuple[str, str]]:
    found = _PLACE / f"betterleaks-{_CRATE[1]}.json"
    if not found.exists():
        crate = _PLACE / "crate"
        (crate / "src").mkdir(parents=True, exist_ok=True)
        (crate / "src/lib.rs").touch()
        (crate / "Cargo.toml").write_text(
            '[package]\nname = "fetched"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n'
            f'{_CRATE[0]} = "={_CRATE[1]}"\n'
        )
        _run(["cargo", "vendor", "--quiet", "vendored"], crate)
        place = crate / "vendored" / _CRATE[0] / "generated/rules/betterleaks.yml"
        rules = yaml.load(place.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["rules"]
        found.write_text(json.dumps([[rule["id"].partition(".")[2], rule["pattern"]] for rule in rules]))
    yield from ((rule, source) for rule, source in json.loads(found.read_text()))


def _drawn(rule: str, source: str, seed: int) -> Iterator[Sample]:
    try:
        pattern = Pattern(source)
    except re.error:
        return  # syntax that Python does not support
    chance = random.Random(f"{seed}{rule}")
    for shortest in (True, False):
        for _ in range(_DRAWN):
            yield Sample(*pattern.draw(chance, shortest=shortest))


def _run(command: list[str], place: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=place, check=check, capture_output=True, text=True, timeout=_PATIENCE)
