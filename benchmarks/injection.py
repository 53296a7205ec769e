"""Recall and false positives of the injection score, per source; and what it costs.

`python -m benchmarks.injection` prints the table. Attacks come from the development sample (`injection_dev.jsonl`),
harmless text also from what is installed here: documentation and source, in pages of 4000 characters.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from sysconfig import get_paths

from gateway.scan.injection import Injection

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "injection_dev.jsonl"
LIMITS = (0.3, 0.5, 0.8, 0.9)
PAGE = 4000  # characters
PAGES = 2000


def section() -> str:
    """The table, in Markdown."""
    scorer = Injection(Path("var"))
    rows = [_row(scorer, *source) for source in (*_sample(), *_installed())]
    head = ["text", "channel", "texts", *(f">= {limit}" for limit in LIMITS), "us/kB"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(scorer: Injection, name: str, channel: str, texts: Sequence[str]) -> list[str]:
    start = time.process_time()
    scores = [getattr(scorer.score(text), channel) for text in texts]
    spent = time.process_time() - start
    shares = [f"{sum(score >= limit for score in scores) / max(1, len(scores)):.2%}" for limit in LIMITS]
    return [name, channel, str(len(texts)), *shares, f"{spent * 1e9 / max(1, sum(map(len, texts))):.0f}"]


def _sample() -> Iterator[tuple[str, str, Sequence[str]]]:
    if not SAMPLE.exists():
        return
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kind = "attack" if row["label"] else "harmless"
        texts[f"{row['source']}, {kind}", row["channel"]].append(row["text"])
    for (name, channel), found in sorted(texts.items()):
        yield name, channel, found


def _installed() -> Iterator[tuple[str, str, Sequence[str]]]:
    packages = Path(get_paths()["purelib"])
    for name, pattern in (("package descriptions", "*.dist-info/METADATA"), ("Python source", "*/*.py")):
        files = sorted(packages.glob(pattern))
        random.Random(1).shuffle(files)
        for channel in ("tool", "user"):
            yield f"{name}, harmless", channel, list(islice(_pages(files), PAGES))


def _pages(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")[: 10 * PAGE]
        yield from (text[at : at + PAGE] for at in range(0, len(text), PAGE))


if __name__ == "__main__":
    print(section())
