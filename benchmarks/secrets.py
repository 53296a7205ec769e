"""Recall of secrets, and false positives in harmless text: `python -m benchmarks.secrets`.

Secrets are those of `tests/scan/test_secrets.py`, each in several contexts; harmless text is that of the same tests,
and the documentation and source of installed packages, in pages of 4000 characters.

`--sets` scores public lists of secrets (`benchmarks.rule_sets`; needs Go and Cargo) and the text of
`benchmarks.harmless`, and writes `secrets.md` with `--out DIRECTORY`. `--show N` prints missed texts of each rule, of
the half for tuning.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from sysconfig import get_paths

from benchmarks import harmless, rule_sets
from benchmarks.rule_sets import RuleSamples, Sample
from gateway.detect.secrets.scanner import SecretScanner

ROOT = Path(__file__).parents[1]
PAGE = 4000  # characters
PAGES = 2000
SURROUNDINGS = ("{}", "Please try it with {} and tell me.", "```\n{}\n```", '{{"content": {json}}}')


def section() -> str:
    """The table as Markdown."""
    sys.path.insert(0, str(ROOT / "tests" / "scan"))
    from test_secrets import CLEAN, FOUND

    scanner = SecretScanner(ROOT / "var")
    lines = ["| text | texts | found | of which |", "|---|---|---|---|"]
    for surrounding in SURROUNDINGS:
        right = 0
        for entity, before, secret, after in FOUND:
            whole = before + secret + after
            text = surrounding.format(whole, json=json.dumps(whole))
            right += any(one.entity == entity for one in scanner.scan(text))
        lines.append(f"| true, in `{surrounding!r}` | {len(FOUND)} | {right / len(FOUND):.1%} | |")
    lines.append(_harmless(scanner, "samples that look like one", CLEAN))
    packages = Path(get_paths()["purelib"])
    for name, pattern in (("package descriptions", "*.dist-info/METADATA"), ("Python source", "*/*.py")):
        files = sorted(packages.glob(pattern))
        random.Random(1).shuffle(files)
        pages = [page for file in files[:PAGES] for page in _pages(file)][:PAGES]
        lines.append(_harmless(scanner, f"{name}, pages", pages))
    return "\n".join(lines)


def _pages(file: Path) -> list[str]:
    text = file.read_text("utf-8", "replace")[: 10 * PAGE]
    return [text[at : at + PAGE] for at in range(0, len(text), PAGE)]


def _harmless(scanner: SecretScanner, name: str, texts: Sequence[str]) -> str:
    kinds = [{one.entity for one in scanner.scan(text)} for text in texts]
    counts = Counter(kind for found in kinds for kind in found)
    why = "; ".join(f"{kind}: {count}" for kind, count in counts.most_common())
    return f"| harmless: {name} | {len(texts)} | {sum(map(bool, kinds)) / max(1, len(texts)):.2%} | {why} |"


def found(scanner: SecretScanner, sample: Sample) -> bool:
    """Whether a finding touches the secret of a sample."""
    start, end = (sample.start, sample.end) if sample.end else (0, len(sample.text))
    return any(one.start < end and start < one.end for one in scanner.scan(sample.text))


def public(rules: Sequence[RuleSamples], scanner: SecretScanner, size: int = 600_000) -> Iterator[str]:
    """The figures on public lists and on harmless text, as lines of Markdown."""
    yield "| list | half | rules | samples | found | mean of rules | false samples | taken for secrets |"
    yield "|---|---|---|---|---|---|---|---|"
    for source in sorted({rule.source for rule in rules}):
        for half in ("tune", "held"):
            mine = [rule for rule in rules if (rule.source, rule.half) == (source, half)]
            yield _row(scanner, source, half, mine)
            yield _row(scanner, f"{source}, without identifiers", half, [one for one in mine if not one.identifies])
    yield ""
    yield "| text of `benchmarks.harmless`, held | MB | findings a MB | of which |"
    yield "|---|---|---|---|"
    for kind, texts in harmless.texts("held", size).items():
        counts = Counter(one.entity for text in texts for one in scanner.scan(text))
        total = sum(map(len, texts)) / 1e6
        why = "; ".join(f"{entity}: {count}" for entity, count in counts.most_common())
        yield f"| {kind} | {total:.2f} | {sum(counts.values()) / total:.1f} | {why} |"


def _row(scanner: SecretScanner, source: str, half: str, rules: Sequence[RuleSamples]) -> str:
    shares = [[found(scanner, sample) for sample in rule.true] for rule in rules if rule.true]
    every = [one for share in shares for one in share]
    false = [bool(scanner.scan(text)) for rule in rules for text in rule.false]
    mean = sum(sum(share) / len(share) for share in shares) / max(1, len(shares))
    rate = f"{len(false)} | {sum(false) / len(false):.1%}" if false else "0 | -"
    recall = sum(every) / max(1, len(every))
    return f"| {source} | {half} | {len(shares)} | {len(every)} | {recall:.1%} | {mean:.1%} | {rate} |"


def _misses(rules: Sequence[RuleSamples], scanner: SecretScanner, most: int) -> Iterator[str]:
    for rule in rules:
        if rule.half == "held":
            continue
        missed = [sample for sample in rule.true if not found(scanner, sample)]
        taken = [text for text in rule.false if scanner.scan(text)]
        if missed or taken:
            yield f"{rule.source} {rule.rule}: {len(missed)} of {len(rule.true)} missed, {len(taken)} false"
        yield from (f"    - {one.text[:160]!r}" for one in missed[:most])
        yield from (f"    + {text[:160]!r}" for text in taken[:most])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report, or score public lists."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.secrets")
    parser.add_argument("--sets", action="store_true", help="score public lists, which are fetched")
    parser.add_argument("--show", type=int, default=0, help="missed texts of each rule to print")
    parser.add_argument("--out", type=Path, help="the directory for secrets.md")
    options = parser.parse_args(argv)
    if not (options.sets or options.show):
        print(section())
        return
    scanner = SecretScanner(ROOT / "var")
    rules = rule_sets.samples()
    if options.show:
        print("\n".join(_misses(rules, scanner, options.show)))
        return
    lines = ["# Secrets of public lists", "", "`python -m benchmarks.secrets --sets`", "", *public(rules, scanner), ""]
    print("\n".join(lines))
    if options.out:
        (options.out / "secrets.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
