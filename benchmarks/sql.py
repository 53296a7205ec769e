"""Recall, false positives and speed of the search for SQL: labeled samples, prose and code, compared with a pattern.

    python -m benchmarks.sql

Samples come from `../shared/data/sql_dev.jsonl` (libinjection's test data, llm-guard's cases; labels partly noisy) and
installed files: the project's own pages as prose, the standard library as code with hardly any SQL. Statements are
generated from forms (`benchmarks.statements`) of each kind, with their optional parts. A sample counts as found if
anything in it would be judged as SQL, regardless of the allowed kinds.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.statements import LOUD, READS, WRITES, statements
from benchmarks.systems import ROOT
from gateway.detect.sql.find import Arguments, Finder
from gateway.detect.sql.inject import Breakout
from gateway.detect.sql.read import Reader, Statement

SAMPLES: Final = ROOT.parent / "shared" / "data" / "sql_dev.jsonl"
PLAIN: Final = re.compile(
    r"\b(?:select\b.+\bfrom|insert\s+into|update\b.+\bset|delete\s+from|drop\s+table|union\s+(?:all\s+)?select|alter\s+table|"
    r"create\s+table|exec(?:ute)?\b|or\s+1\s*=\s*1)\b",
    re.IGNORECASE | re.DOTALL,
)
"""A plain pattern for comparison: the words in their order."""
LIMIT: Final = 4_096
_SQL: Final = (
    "SELECT o.id, c.name, sum(o.total) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.created > "
    "'2024-01-01' AND c.country IN ('DE', 'FR') GROUP BY 1, 2 HAVING sum(o.total) > 100 ORDER BY 3 DESC LIMIT 10"
)
_LONG: Final = "SELECT " + ", ".join(f"a{number} + {number}" for number in range(300)) + " FROM t"


def section() -> list[str]:
    """The report as lines of Markdown."""
    reader = Reader()
    arguments = Arguments(reader, Breakout(), LIMIT)
    return [*_samples(arguments), "", *_made(reader), "", *_texts(reader), "", *_speed(reader, arguments)]


def _found(arguments: Arguments, text: str) -> bool:
    got: list[Statement] = []
    arguments(text, got.extend)
    return bool(got)


def _samples(arguments: Arguments) -> Iterator[str]:
    yield "| samples, as arguments of tool calls | label | texts | found | plain pattern |"
    yield "|---|---|---|---|---|"
    if not SAMPLES.exists():
        yield f"| none: {SAMPLES.name} is not there | | | | |"
        return
    groups: dict[tuple[str, int], list[str]] = {}
    for line in SAMPLES.read_text().splitlines():
        row = json.loads(line)
        groups.setdefault((row["source"], row["label"]), []).append(row["text"])
    for (source, label), texts in sorted(groups.items()):
        ours = sum(_found(arguments, text) for text in texts)
        plain = sum(PLAIN.search(text) is not None for text in texts)
        count = len(texts)
        name = "SQL" if label else "none"
        yield f"| {source} | {name} | {count} | {ours / count:.1%} | {plain / count:.1%} |"


def _made(reader: Reader) -> Iterator[str]:
    yield "| statements of `benchmarks.statements`, alone in a text | texts | found | plain pattern |"
    yield "|---|---|---|---|"
    for name, forms in (("writes", WRITES), ("writes in words of prose", LOUD), ("reads", READS)):
        texts = statements(forms)
        for form, said in (("as they are", texts), ("in capitals", [text.upper() for text in texts])):
            ours = sum(_in_text(reader, text) for text in said)
            plain = sum(PLAIN.search(text) is not None for text in said)
            yield f"| {name}, {form} | {len(said):,} | {ours / len(said):.1%} | {plain / len(said):.1%} |"


def _texts(reader: Reader) -> Iterator[str]:
    yield "| texts without SQL | paragraphs | found | plain pattern |"
    yield "|---|---|---|---|"
    pages = [path.read_text() for path in sorted(ROOT.glob("**/*.md")) if not {".venv", ".work"} & set(path.parts)]
    library = Path(json.__file__).parent.parent
    code = [path.read_text(errors="replace") for path in sorted(library.glob("*.py")) if "sql" not in path.name]
    for name, texts in (("the project's pages", pages), ("Python's standard library", code)):
        parts = [part for text in texts for part in text.split("\n\n")]
        ours = sum(_in_text(reader, part) for part in parts)
        plain = sum(PLAIN.search(part) is not None for part in parts)
        yield f"| {name} | {len(parts):,} | {ours} | {plain} |"


def _in_text(reader: Reader, text: str) -> bool:
    got: list[Statement] = []
    Finder(reader, got.extend, LIMIT).whole(text)
    return bool(got)


def _speed(reader: Reader, arguments: Arguments) -> Iterator[str]:
    yield "| work | CPU time |"
    yield "|---|---|"
    words = [f"{word} " for word in (ROOT / "README.md").read_text().split()]
    yield f"| a chunk of prose, {len(words)} words one by one, mean | {_chunks(reader, words):.2f} us |"
    plain = ["The ", "quick ", "brown ", "fox ", "jumps "] * 2_000
    yield f"| a chunk that begins nothing, mean | {_chunks(reader, plain):.2f} us |"
    fresh = itertools.count()  # makes each text unique, because known texts are not parsed again
    for name, text in (("a query of 210 characters", _SQL), (f"one of {len(_LONG):,} characters", _LONG)):
        work = partial(_fresh, reader, text, fresh)
        yield f"| {name}, read | {_each(work, 20):,.0f} us |"
    value = "Please ship it to 12 Main Street; don't ring, and it's fine to leave it at the door or with a neighbour."
    yield f"| an argument of prose, {len(value)} characters | {_each(lambda: _found(arguments, value), 200):,.1f} us |"


def _fresh(reader: Reader, text: str, numbers: Iterator[int]) -> None:
    reader.read(text.replace(" FROM", f" + {next(numbers)} FROM", 1))


def _chunks(reader: Reader, pieces: Sequence[str]) -> float:
    finder = Finder(reader, lambda _: None, LIMIT)
    start = time.thread_time_ns()
    for piece in pieces:
        finder.feed(piece)
    return (time.thread_time_ns() - start) / len(pieces) / 1_000


def _each(work: Callable[[], object], times: int) -> float:
    work()
    start = time.thread_time_ns()
    for _ in range(times):
        work()
    return (time.thread_time_ns() - start) / times / 1_000


def main() -> int:
    """Print the report; the exit code."""
    print("\n".join(section()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
