"""Recall of test statements of public SQL grammars: `python -m benchmarks.sql_sets`; needs Cargo and pip.

Statements are fetched at run time by the clients of their registries, and not kept here: the fixtures of some thirty
dialects (the crate `sqruff-lib-dialects`), and the statements of sqlglot's own tests. A statement counts as found if it
is judged as SQL in an argument of a tool call. Harmless text: paragraphs of the documents of installed packages
(`benchmarks.harmless`) and the samples of `../shared/data`, as arguments. Files are divided by the digest of their
name: forms may be tuned on `tune`, `held` is only scored.

`--show N` prints missed statements of `tune`, by their first two words; `--out DIRECTORY` writes `sql.md`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import subprocess
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import harmless
from benchmarks.systems import ROOT, WORK
from gateway.detect.sql.find import Arguments
from gateway.detect.sql.inject import Breakout
from gateway.detect.sql.read import Reader, Statement

_PLACE: Final = WORK / "sql-sets"
_CRATE: Final = ("sqruff-lib-dialects", "0.44.0")
_SDIST: Final = ("sqlglot", "30.30.0")
_PATIENCE: Final = 600  # seconds
LIMIT: Final = 65_536
AIM: Final = (0.97, 0.01)
"""Minimum recall, maximum false positives."""
_LEX: Final = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\$(\w*)\$.*?\$\1\$|[A-Za-z_@#][\w@#$]*|;|.",
    re.DOTALL,
)
_BLOCK: Final = re.compile(
    r"\b(?:end\s*;|end\s+(?:if|loop|while|for|case|repeat|try|catch)\b|begin\b(?!\s*(?:;|tran|work|isolation))|declare\s+\w+\s)",
    re.IGNORECASE,
)
_IDENTITY: Final = re.compile(r'validate_identity\(\s*("(?:[^"\\]|\\.)*")')


class Sample(NamedTuple):
    """A statement with its list, its dialect and its half."""

    source: str
    dialect: str
    half: str
    text: str


def samples() -> list[Sample]:
    """All statements that can be fetched. Raises OSError or CalledProcessError if a client is missing or refused."""
    return [*_fixtures(), *_sqlglot()]


def _fixtures() -> Iterator[Sample]:
    crate = _PLACE / "crate"
    root = crate / "vendored" / _CRATE[0] / "test/fixtures/dialects"
    if not root.exists():
        (crate / "src").mkdir(parents=True, exist_ok=True)
        (crate / "src/lib.rs").touch()
        name, version = _CRATE
        (crate / "Cargo.toml").write_text(
            f'[package]\nname = "fetched"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n{name} = "={version}"\n'
        )
        _run(["cargo", "vendor", "--quiet", "vendored"], crate)
    for path in sorted(root.glob("**/*.sql")):
        name = str(path.relative_to(root))
        for text in split(path.read_text(errors="replace")):
            yield Sample("sqruff", name.partition("/")[0], _half(name), text)


def _sqlglot() -> Iterator[Sample]:
    name, version = _SDIST
    archive = _PLACE / f"{name}-{version}.tar.gz"
    if not archive.exists():
        _PLACE.mkdir(parents=True, exist_ok=True)
        _run(["pip", "download", "-q", "--no-deps", "--no-binary", name, f"{name}=={version}"], _PLACE)
    with tarfile.open(archive) as opened:
        for member in sorted(opened.getmembers(), key=lambda member: member.name):
            file = opened.extractfile(member)
            if file is None or not re.search(r"/tests/dialects/test_\w+\.py$", member.name):
                continue
            for quoted in _IDENTITY.findall(file.read().decode()):
                text = ast.literal_eval(quoted)
                # The tests also have expressions; a statement begins with a word and a blank.
                if re.match(r"[\s(]*(?:SELECT|[A-Z]{2,}\s+\w)", text, re.IGNORECASE) and " " in text:
                    yield Sample("sqlglot", Path(member.name).stem[5:], _half(text), text)


def _half(name: str) -> str:
    return "tune" if hashlib.sha256(name.encode()).digest()[0] % 2 else "held"


def split(text: str) -> Iterator[str]:
    """The statements of a file: up to a `;` outside of blocks, quotes and brackets, or a line with GO or `/`."""
    if _BLOCK.search(text):  # a `;` may be inside a statement
        for piece in re.split(r"(?mi)^[ \t]*(?:go|/+|\$\$)[ \t]*$", text):
            yield from _bare(piece)
        return
    depth = blocks = start = 0
    last = ""
    for token in _LEX.finditer(text):
        said = token[0].lower()
        if said.isspace() or said.startswith(("--", "/*")):
            continue
        if said in "()":
            depth = max(0, depth + (1 if said == "(" else -1))
        elif said in ("begin", "case"):
            blocks += 1
        elif said == "end" or (last == "begin" and said in ("transaction", "tran", "work", ";")):
            blocks = max(0, blocks - 1)
        alone = said in ("go", "/") and re.search(r"(?:^|\n)[ \t]*\Z", text[: token.start()])
        if alone and re.match(r"[ \t]*(?:\n|\Z)", text[token.end() :]):
            depth = blocks = 0
            yield from _bare(text[start : token.start()])
            start = token.end()
        elif said == ";" and not depth and not blocks:
            yield from _bare(text[start : token.start()])
            start = token.end()
        last = said
    yield from _bare(text[start:])


def _bare(text: str) -> Iterator[str]:
    """The statement without comments before it, if there is one."""
    said = re.sub(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", text, flags=re.DOTALL).rstrip()
    if (len(said) > 5 and said[0].isalpha()) or said.startswith("("):
        yield said


def found(arguments: Arguments, text: str) -> bool:
    """Whether a text is judged as SQL when it is an argument."""
    got: list[Statement] = []
    arguments(text, got.extend)
    return bool(got)


def section(some: Sequence[Sample], arguments: Arguments) -> Iterator[str]:
    """The figures as lines of Markdown."""
    yield "| statements of | half | statements | found |"
    yield "|---|---|---|---|"
    hits: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for sample in some:
        hit = found(arguments, sample.text)
        hits[sample.source, sample.half, ""].append(hit)
        hits[sample.source, sample.half, sample.dialect].append(hit)
    for (source, half, dialect), right in sorted(hits.items()):
        name = f"{source}, {dialect}" if dialect else source
        yield f"| {name} | {half} | {len(right)} | {sum(right) / len(right):.1%} |"
    yield ""
    yield "| text without SQL | half | texts | found |"
    yield "|---|---|---|---|"
    for name, half, texts in prose():
        taken = sum(found(arguments, text) for text in texts)
        yield f"| {name} | {half} | {len(texts)} | {taken / max(1, len(texts)):.2%} |"


def prose(size: int = 600_000) -> Iterator[tuple[str, str, list[str]]]:
    """Harmless texts: kind, half, text."""
    for half in ("tune", "held"):
        for kind, texts in harmless.texts(half, size).items():
            if kind in ("documents", "code", "logs"):
                yield kind, half, [part for text in texts for part in re.split(r"\n\s*\n", text) if part.strip()]
    for file, label in (("sql_dev", "label"), ("injection_dev", "label"), ("pii_dev", "")):
        path = ROOT.parent / "shared" / "data" / f"{file}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        yield path.name, "", [row["text"] for row in rows if not label or not row[label]]


def _shown(some: Sequence[Sample], arguments: Arguments, most: int) -> Iterator[str]:
    missed: dict[str, list[str]] = defaultdict(list)
    for sample in some:
        if sample.half == "tune" and not found(arguments, sample.text):
            missed[" ".join(sample.text.split()[:2]).upper()].append(f"{sample.dialect}: {sample.text[:160]!r}")
    counts = Counter({words: len(texts) for words, texts in missed.items()})
    for words, count in counts.most_common():
        yield f"{count} {words}"
        yield from (f"    {text}" for text in missed[words][:most])
    for name, half, texts in prose():
        if half != "held":
            yield from (f"+ {name}: {text[:300]!r}" for text in texts if found(arguments, text))


def _run(command: list[str], place: Path) -> None:
    subprocess.run(command, cwd=place, check=True, capture_output=True, text=True, timeout=_PATIENCE)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report, or the missed statements."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sql_sets")
    parser.add_argument("--show", type=int, default=0, help="missed statements of each kind to print")
    parser.add_argument("--out", type=Path, help="the directory for sql.md")
    options = parser.parse_args(argv)
    arguments = Arguments(Reader(), Breakout(), LIMIT)
    some = samples()
    if options.show:
        print("\n".join(_shown(some, arguments, options.show)))
        return
    lines = [
        "# Statements of public grammars",
        "",
        "`python -m benchmarks.sql_sets`",
        "",
        *section(some, arguments),
        "",
    ]
    print("\n".join(lines))
    if options.out:
        (options.out / "sql.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
