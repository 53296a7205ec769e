"""The cost of the scanners on one core, with text that never repeats, compared with Presidio alone in the same run.

    .venv/bin/python -m benchmarks.scanning [--quick] [--out FILE]

Needs Go, for the prose of `texts/`. Each figure is the median over texts of CPU time in one thread, so that other load
on the machine matters little. Presidio searches for the same entities, with a tokenizer instead of a language model,
which is its minimum cost. Exits with 1 if a floor does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.process import BenchmarkError, run_to_end
from gateway.call import Redaction
from gateway.config.sections import Output, Pii, Sql
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import placeholders
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.redaction.texts import Texts
from gateway.redaction.vault import Seal
from gateway.stores.sqlite import SqliteStore
from gateway.texts import Slot

HERE = Path(__file__).parent
FLOORS = {
    "tier 1, 16 kB of new text, us": 400.0,
    "unchanged history, us a kB": 5.0,
    "a stream's chunk in the window, us": 8.0,
    "a stream's chunk in the whole filter, us": 8.0,
}
RATIO = 50.0  # times faster than Presidio alone


def prose(size: int, count: int, seed: int, *, personal: bool = False) -> list[str]:
    """Fresh texts."""
    argv = [
        "go",
        "run",
        "./texts",
        f"-size={size}",
        f"-count={count}",
        f"-seed={seed}",
        f"-personal={personal}".lower(),
    ]
    try:
        made = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"the texts could not be made with Go: {error}") from error
    return made.stdout.split("\n")[:-1]


def median(work: Callable[[Any], object], inputs: Iterable[Any]) -> float:
    """Median CPU time of one call in microseconds."""
    times = []
    gc.collect()
    gc.disable()
    for one in inputs:
        before = time.thread_time_ns()
        work(one)
        times.append(time.thread_time_ns() - before)
    gc.enable()
    return statistics.median(times) / 1000


def mean(work: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Mean CPU time of a whole stream in microseconds."""
    gc.collect()
    before = time.thread_time_ns()
    for one in inputs:
        work(one)
    return (time.thread_time_ns() - before) / 1000 / len(inputs)


def tokens(text: str) -> list[str]:
    """Pieces of the length of tokens: a word with the blank before it, three digits, a sign."""
    return re.findall(r" ?[^\W\d]+| ?\d{1,3}|\s+|[^\w\s]", text)


def presidio() -> Callable[[str], Any]:
    """Presidio alone with the same entities and regions."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from scan_reference import by_spacy
    from scan_reference import presidio as reference

    findings: Callable[[str], Any] = reference(by_spacy())
    return findings


def chunk(text: str) -> bytes:
    """One event of a stream."""
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return (
        b"data: "
        + orjson.dumps(body | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        + b"\n\n"
    )


def filtered(scanner: StreamScanner, pieces: Sequence[str]) -> float:
    """Mean cost of one piece in `output.AnswerFilter` with all gates, without parsing of events."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import calls
    from gateway.output.exfiltration import Exfiltration
    from gateway.output.invisible import Invisible
    from gateway.output.screen import Screen
    from gateway.output.sqlgate import SqlGate

    gates = (Invisible("remove"), Exfiltration([]), SqlGate(Sql(allow=("select",))))
    screen = Screen(Output(), scanner, lambda _: False, gates=gates)
    call = calls.call()
    call.redaction = Redaction()
    codec = OPENAI_CHAT.stream(keep_usage=False)
    chunks = [one for piece in pieces for one in codec.feed(chunk(piece))]
    made = screen.filter(call)
    return mean(lambda one: made.feed(one, codec), chunks)


async def workflows(count: int, folder: Path) -> tuple[int, float]:
    """Rows left in the vault after a number of workflows, and growth of this process in MB after the first tenth.

    Each workflow masks one value that is kept for a minute; the store's clock advances by a second for each.
    """
    now = [1_700_000_000.0]
    store = SqliteStore(f"sqlite:///{folder}/state.db", clock=lambda: now[0])
    await store.open()
    seal = Seal(os.urandom(32))
    grown = 0.0
    for number in range(count):
        if number == count // 10:
            grown = resident()
        value, name = f"user{number}@example.com", f"w{number}"
        sealed = (("EMAIL", seal.digest("EMAIL", value), seal.seal(name, value)),)
        await store.seal("team", name, sealed, 60)
        now[0] += 1
        if number % 500 == 0:
            await asyncio.sleep(0)
            await store.durable()
            await store.sweep()
    grown = resident() - grown
    now[0] += 7200
    await store.durable()
    await store.sweep()
    await store.durable()
    left = store._reader.execute("SELECT count(*) FROM sealed").fetchone()[0]
    await store.close()
    return left, grown


def resident() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(texts: int, flows: int) -> dict[str, float]:
    """All figures."""
    seed = time.time_ns() % 2**32
    with tempfile.TemporaryDirectory() as folder:
        pii = PiiScanner(Pii().regions, Pii().score, Path(folder))
        scanner = StreamScanner(
            pii,
            SecretScanner(Path(folder)),
            {placeholders.PLACEHOLDER: placeholders.WRITTEN},
            weak={placeholders.LIKE: placeholders.SPELLINGS},
        )
        long = prose(16_384, texts, seed)
        personal = prose(400, texts, seed + 1, personal=True)
        slow = presidio()
        found = {
            "tier 1, 16 kB of new text, us": median(pii.scan, long),
            "tier 1, the same with one address in each, us": median(pii.scan, [f"{text} a@b.de" for text in long]),
            "tier 1 and secrets, 16 kB of new text, us": median(scanner.scan, long),
            "tier 1, 400 bytes with personal data, us": median(pii.scan, personal),
            "Presidio alone, 16 kB of new text, us": median(slow, prose(16_384, max(3, texts // 20), seed + 2)),
        }
        history = prose(4096, 256, seed + 3)
        slots = [Slot({}, "content", text, "user", None) for text in history]
        kept = Texts(len, pii.scan)
        kept.find(slots)
        # A body that is parsed again has new strings, whose hashes are not computed yet.
        again = [[slot._replace(text="".join(slot.text.partition(" "))) for slot in slots] for _ in range(20)]
        found["unchanged history, us a kB"] = median(kept.find, again) / (len(history) * 4)
        pieces = tokens("".join(prose(16_384, max(2, texts // 20), seed + 4)))
        window = scanner.window(256)
        mean(window.feed, tokens(prose(16_384, 1, seed + 5)[0]))
        found["a stream's chunk in the window, us"] = mean(window.feed, pieces)
        found["a stream's chunk in the whole filter, us"] = filtered(scanner, pieces)
        found["vault rows left after all workflows"], found["memory grown, MB"] = asyncio.run(
            workflows(flows, Path(folder))
        )
    found["times faster than Presidio"] = (
        found["Presidio alone, 16 kB of new text, us"] / found["tier 1, 16 kB of new text, us"]
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="What the scanners cost.")
    parser.add_argument("--quick", action="store_true", help="a short run that judges no floor")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    found = measure(40 if arguments.quick else 400, 2_000 if arguments.quick else 100_000)
    for name, value in found.items():
        print(f"{value:12.1f}  {name}")
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    missed = [name for name, floor in FLOORS.items() if found[name] > floor]
    missed += ["times faster than Presidio"] * (found["times faster than Presidio"] < RATIO)
    missed += ["vault rows left after all workflows"] * (found["vault rows left after all workflows"] > 0)
    if missed and not arguments.quick:
        print("missed: " + "; ".join(missed), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_to_end(main)
