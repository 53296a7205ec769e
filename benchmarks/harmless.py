"""Findings in text without personal data: code, documents, JSON and CSV of installed packages, and generated logs.

`python -m benchmarks.harmless [--part tune|held] [--show TYPE]`, a section of `benchmarks.detection`. Each finding in
such text counts as wrong, so the figure is findings per MB of each type. Files are divided by the digest of their path:
rules are tuned on one half, and the results are those of the other. Packages whose data are phone numbers, addresses or
identities are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sysconfig
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.config.sections import Pii
from gateway.detect.personal.scanner import PiiScanner
from gateway.texts import Finding

ROOT: Final = Path(__file__).parents[1]
AIM: Final = 10.0
"""Maximum findings per MB of each type."""
_PURE: Final = Path(sysconfig.get_paths()["purelib"])
_STDLIB: Final = Path(sysconfig.get_paths()["stdlib"])
_PERSONAL: Final = ("faker", "phonenumbers", "presidio", "stdnum", "dateutil/zoneinfo", "tests/", "/test/", "lang/")
_LARGEST: Final = 60_000  # characters of one file
_PLACES: Final[dict[str, tuple[tuple[Path, str], ...]]] = {
    "code": ((_PURE, "**/*.py"), (_STDLIB, "*.py"), (_STDLIB, "*/*.py")),
    "headers and scripts": ((_PURE, "**/*.h"), (_PURE, "**/*.pyx"), (_PURE, "**/*.js"), (_PURE, "**/*.css")),
    "documents": (
        (_PURE, "*.dist-info/METADATA"),
        (_PURE, "**/*.md"),
        (_PURE, "**/*.rst"),
        (_PURE, "**/*.txt"),
        (Path("/usr/share/doc"), "*/*"),
        (Path("/usr/share/perl"), "*/*.pod"),
    ),
    "JSON and CSV": ((_PURE, "**/*.json"), (_PURE, "**/*.csv"), (_PURE, "*.dist-info/RECORD")),
}
_EXTENSIONS: Final = frozenset({"", ".py", ".h", ".pyx", ".js", ".css", ".md", ".rst", ".txt", ".pod", ".json", ".csv"})


def part_of(path: str) -> str:
    """`tune` or `held`."""
    return "tune" if hashlib.sha256(path.encode()).digest()[0] % 2 else "held"


def texts(part: str, size: int, seed: int = 20) -> dict[str, list[str]]:
    """About `size` characters of each kind."""
    found = {kind: _files(places, part, size, seed) for kind, places in _PLACES.items()}
    chance = random.Random(f"{seed}{part}")
    for kind, make in _MADE.items():
        found[kind] = ["\n".join(make(chance) for _ in range(100)) for _ in range(max(1, size // 12_000))]
    return {kind: some for kind, some in found.items() if some}


def _files(places: Sequence[tuple[Path, str]], part: str, size: int, seed: int) -> list[str]:
    paths = sorted({path for root, pattern in places for path in root.glob(pattern)})
    random.Random(seed).shuffle(paths)
    found: list[str] = []
    total = 0
    for path in paths:
        name = str(path)
        if path.suffix not in _EXTENSIONS or any(word in name for word in _PERSONAL) or part_of(name) != part:
            continue
        try:
            text = path.read_text()[:_LARGEST]
        except (OSError, UnicodeDecodeError):
            continue
        found.append(text)
        total += len(text)
        if total >= size:
            break
    return found


def _moment(chance: random.Random) -> datetime:
    return datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.random() * 2e8)


def _log(chance: random.Random) -> str:
    at, number = _moment(chance), chance.randrange
    return chance.choice(
        (
            f"{at:%Y-%m-%d %H:%M:%S},{number(1000):03} INFO worker-{number(64)} job "
            f"{number(10**7)} took {number(9999)} ms",
            f"{at:%b %d %H:%M:%S} host{number(9)} kernel: [{number(10**6)}.{number(10**6):06}] "
            f"eth0: link up, {number(10000)} Mbps",
            f"[{at:%d/%b/%Y:%H:%M:%S} +0000] \"GET /item/{number(10**8)} HTTP/1.1\" 200 "
            f"{number(10**6)} 0.{number(1000):03}",
            f"{at:%m/%d %H:%M:%S} pid={number(32768)} rss={number(10**9)} trace={number(2**64):016x}",
            f"{at.isoformat()} build 4.{number(20)}.{number(9)}-{number(300)} pass "
            f"{number(500)}/{number(500)} in {number(90)}.{number(100):02}s",
            f"step {number(90000)} loss 0.{number(10**10):010} lr {chance.random():.3e} tokens {number(10**10):,}",
            f"order {number(1000)}-{number(1000):03}-{number(10000):04} shipped {at:%d.%m.%Y} - "
            f"{at + timedelta(9):%d.%m.%Y}",
            f"model claude-opus-4-1-{at:%Y%m%d} gpt-4o-{at:%Y-%m-%d} seed {number(2**31)}",
            f"resolution {number(4000)} {number(3000)} {number(120)} bitrate {number(9000)}-{number(9000)}",
            f"{at:%Y-%m-%d} {number(99)} times, range {number(500)} - {number(5000)}, p99 {number(10**4)}.{number(99)}",
            f"part {number(100, 999)}-{number(100, 999)}-{number(1000, 9999)} rev {number(9)} lot "
            f"{number(10**6):06}/{number(99)}",
        )
    )  # fmt: skip


def _record(chance: random.Random) -> str:
    number = chance.randrange
    return json.dumps(
        {
            "id": number(10**18, 2 * 10**18),
            "ts": int(_moment(chance).timestamp() * chance.choice((1, 1000, 10**6))),
            "lat": round(chance.uniform(-90, 90), number(4, 9)),
            "lon": round(chance.uniform(-180, 180), number(4, 9)),
            "hash": f"{number(2**160):040x}",
            "version": f"{number(9)}.{number(40)}.{number(40)}",
            "bbox": [round(chance.uniform(0, 2000), 1) for _ in range(4)],
            "embedding": [round(chance.gauss(0, 1), 10) for _ in range(6)],
        }
    )


def _row(chance: random.Random) -> str:
    number, at = chance.randrange, _moment(chance)
    cells = (
        number(10**6),
        f"{at:%Y-%m-%d}",
        f"{at:%H:%M:%S}",
        f"{chance.uniform(-90, 90):.6f}",
        f"{chance.uniform(-180, 180):.6f}",
        f"{number(10**4)}.{number(100):02}",
        number(10**10),
        f"SKU-{number(10**5)}-{number(100):02}",
        number(1, 6),
        f"{number(1000)} {number(1000)} {number(1000)}",
    )
    return chance.choice((",", ";", "\t")).join(map(str, cells))


def _release(chance: random.Random) -> str:
    """Lists of versions, places, fingerprints, drawings, dumps."""
    number = chance.randrange
    pairs = [f"{number(256):02X}" for _ in range(chance.choice((8, 16, 20, 32)))]
    return chance.choice(
        (
            f"org.example:lib{number(99)}\t" + " ".join(f"{number(9)}.{number(20)}.{number(20)}" for _ in range(12)),
            f"pkg{number(999)}\t{number(9)}.{number(9)}.{number(9)}\t20{number(10, 27)}-{number(1, 13):02}\tdescribed",
            f"XX\t{number(-8959, 8959):+05d}{number(-17959, 17959):+06d}\tArea/Place{number(99)}",
            f"XX\t{number(-895959, 895959):+07d}{number(-1795959, 1795959):+08d}\tArea/Place{number(99)}",
            f"SHA Fingerprint={':'.join(pairs)}",
            "d=\"M"
            + "".join(f"{chance.uniform(-9, 9):.4g}".replace("0.", ".") + chance.choice(" -c.l") for _ in range(40)),
            f"{number(10**7):07o} " + " ".join(f"{number(256):03o}" for _ in range(16)),
            f"pkg ({number(9)}.{number(99)}.{number(99)}.{number(9)}-{number(9)}) unstable; closes: #{number(10**6)}",
            f"CVE-20{number(10, 27)}-{number(10**6)} in {number(9)}.{number(9)}.{number(10**4):04}",
            f"{number(256)} {number(256)} {number(256)}\t\tcolour {number(99)}",
        )
    )  # fmt: skip


_MADE: Final[dict[str, Callable[[random.Random], str]]] = {
    "logs": _log,
    "JSON lines": _record,
    "CSV": _row,
    "lists and certificates": _release,
}


def rates(scan: Callable[[str], Sequence[Finding]], some: dict[str, list[str]]) -> dict[str, Counter[str]]:
    """Findings of each type, by kind of text; under "" the number of characters that were read."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, several in some.items():
        for text in several:
            found[kind].update(one.entity for one in scan(text))
            found[kind][""] += len(text)
    return found


def section(size: int, seed: int) -> list[str]:
    """The table as lines of Markdown, for text on which no rule was tuned."""
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    found = rates(scanner.scan, texts("held", size * 5_000, seed))
    types = sorted({entity for one in found.values() for entity in one} - {""})
    lines = ["## Findings a MB of text without personal data", ""]
    lines += [f"| type | {' | '.join(found)} | all |", "|---|" + "---|" * (len(found) + 1)]
    total = sum(one[""] for one in found.values())
    for entity in types:
        cells = [f"{1e6 * one[entity] / one['']:.0f}" for one in found.values()]
        every = 1e6 * sum(one[entity] for one in found.values()) / total
        lines.append(f"| {entity} | {' | '.join(cells)} | {every:.1f} |")
    return [*lines, "", f"Aim: {AIM:.0f} of each type at most. {total / 1e6:.1f} MB were read.", ""]


def _shown(scanner: PiiScanner, some: dict[str, list[str]], entity: str, most: int) -> Iterator[str]:
    chance = random.Random(5)
    for kind, several in some.items():
        shown = []
        for text in several:
            for one in scanner.scan(text):
                if one.entity == entity:
                    before, after = text[max(0, one.start - 40) : one.start], text[one.end : one.end + 20]
                    shown.append(f"{kind}: {before!r} [{text[one.start : one.end]!r} {one.score:.2f}] {after!r}")
        yield from chance.sample(shown, min(most, len(shown)))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report, and the findings of a type."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harmless", description=__doc__)
    parser.add_argument("--part", choices=("tune", "held"), default="tune")
    parser.add_argument("--size", type=int, default=600_000, help="characters of each kind of text")
    parser.add_argument("--show", default="", help="a type whose findings are shown")
    parser.add_argument("--most", type=int, default=12, help="findings shown of each kind of text")
    options = parser.parse_args(argv)
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    some = texts(options.part, options.size)
    if options.show:
        print("\n".join(_shown(scanner, some, options.show, options.most)))
        return
    scanner.scan("")
    began = time.process_time()
    found = rates(scanner.scan, some)
    spent = time.process_time() - began
    total = sum(one[""] for one in found.values())
    print(f"{total / 1e6:.2f} MB, {1e9 * spent / total:.1f} us a kB")
    every = sum(found.values(), Counter[str]())
    for entity, count in every.most_common():
        if entity:
            cells = ", ".join(f"{kind} {1e6 * one[entity] / one['']:.0f}" for kind, one in found.items())
            print(f"{entity:24} {1e6 * count / total:8.1f} a MB: {cells}")


if __name__ == "__main__":
    main()
