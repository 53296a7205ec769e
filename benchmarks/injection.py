"""Recall and false positives of the injection score by source, its cost, and how well one limit separates the two.

`python -m benchmarks.injection` prints both tables. Attacks come from the development sample (`injection_dev.jsonl`),
harmless text also from installed packages: documentation, licences and source, in pages of 4000 characters.

Attacks of one family (one instruction, put into several documents) are all in one half of the sample: cues were tuned
on one half, the other was held out. The limit is the lowest that at most one harmless text in a hundred reaches.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from sysconfig import get_paths

from gateway.detect.injection.scoring import Injection

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "injection_dev.jsonl"
LIMITS = (0.3, 0.5, 0.8, 0.9)
PAGE = 4000  # characters
PAGES = 2000


def section() -> str:
    """The table as Markdown."""
    scorer = Injection(Path("var"))
    rows = [_row(scorer, *source) for source in (*_by_source(), *_installed())]
    head = ["text", "channel", "texts", *(f">= {limit}" for limit in LIMITS), "us/kB"]
    return f"{_table(head, rows)}\n\n{_table(_PARTED, _parted(scorer))}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


_PARTED = ["sample", "limit", "attacks", "recall", "harmless", "false", "MCC"]


def _parted(scorer: Injection) -> list[list[str]]:
    """The results for the attacks of each half and all harmless texts of the sample."""
    rows = _sample()
    contexts = [row["text"] for row in rows if row["source"].endswith("-context")]
    scored = [(row, getattr(scorer.score(row["text"]), row["channel"])) for row in rows]
    harmless = [score for row, score in scored if not row["label"]]
    halves: dict[str, list[float]] = {"tuned on": [], "held out": []}
    for row, score in scored:
        if row["label"]:
            digest = hashlib.sha256(_family(row, contexts).encode()).digest()
            halves["held out" if digest[0] % 2 else "tuned on"].append(score)
    halves["all"] = [*halves["tuned on"], *halves["held out"]]
    return [_at_one_percent(name, attacks, harmless) for name, attacks in halves.items() if attacks and harmless]


def _family(row: dict[str, str], contexts: Sequence[str]) -> str:
    """The attack without the document that it was put into."""
    text = row["text"]
    best = (0, 0, 0)
    for context in contexts if row["source"].startswith("BIPIA") else ():
        before = _same(text, context)
        after = min(_same(text[::-1], context[::-1]), len(text) - before)
        best = max(best, (before + after, before, after))
    return text[best[1] : len(text) - best[2]].strip()


def _same(one: str, other: str) -> int:
    """The length of the common beginning of two texts, in characters."""
    return next(
        (at for at, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its), min(len(one), len(other))
    )


def _at_one_percent(name: str, attacks: Sequence[float], harmless: Sequence[float]) -> list[str]:
    limit = next(
        limit
        for limit in (step / 20 for step in range(1, 22))
        if sum(score >= limit - 1e-9 for score in harmless) <= 0.0101 * len(harmless)
    )
    hit, false = (sum(score >= limit - 1e-9 for score in scores) for scores in (attacks, harmless))
    missed, passed = len(attacks) - hit, len(harmless) - false
    norm = math.sqrt((hit + false) * (hit + missed) * (passed + false) * (passed + missed))
    mcc = (hit * passed - false * missed) / norm if norm else 0.0
    counts = [str(len(attacks)), f"{hit / len(attacks):.3f}", str(len(harmless)), f"{false / len(harmless):.3f}"]
    return [name, f"{limit:.2f}", *counts, f"{mcc:.3f}"]


def _row(scorer: Injection, name: str, channel: str, texts: Sequence[str]) -> list[str]:
    start = time.process_time()
    scores = [getattr(scorer.score(text), channel) for text in texts]
    spent = time.process_time() - start
    shares = [f"{sum(score >= limit for score in scores) / max(1, len(scores)):.2%}" for limit in LIMITS]
    return [name, channel, str(len(texts)), *shares, f"{spent * 1e9 / max(1, sum(map(len, texts))):.0f}"]


def _sample() -> list[dict[str, str]]:
    if not SAMPLE.exists():
        return []
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def _by_source() -> Iterator[tuple[str, str, Sequence[str]]]:
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in _sample():
        kind = "attack" if row["label"] else "harmless"
        texts[f"{row['source']}, {kind}", row["channel"]].append(row["text"])
    for (name, channel), found in sorted(texts.items()):
        yield name, channel, found


def _installed() -> Iterator[tuple[str, str, Sequence[str]]]:
    packages = Path(get_paths()["purelib"])
    for name, patterns in (
        ("package descriptions", ["*.dist-info/METADATA"]),
        ("licences and documents", ["**/LICEN[CS]E*", "**/NOTICE*", "**/*.md", "**/*.rst", "**/*.txt"]),
        ("Python source", ["*/*.py"]),
    ):
        files = sorted({file for pattern in patterns for file in packages.glob(pattern) if file.is_file()})
        random.Random(1).shuffle(files)
        for channel in ("tool", "user"):
            yield f"{name}, harmless", channel, list(islice(_pages(files), PAGES))


def _pages(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")[: 10 * PAGE]
        yield from (text[at : at + PAGE] for at in range(0, len(text), PAGE))


if __name__ == "__main__":
    print(section())
