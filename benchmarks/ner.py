"""The cost of names for a call: `python -m benchmarks.ner [--model PACKAGE] [--calls N]`.

Two gateways in separate processes, one with `pii.ner`, one without, with the demo provider. Calls go to both in turn,
one at a time over a persistent connection; the gateways report the times of their stages, without the waits for
provider and disk. First the same conversation is repeated, so that no text is new: that may add at most `FLOOR` to the
p50. Then each text is new. Last, the memory of gateways and workers is measured. Exits with 1 if the limit is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.names import ENTITIES, HARMLESS
from gateway.detect.names.reader import Reader

FLOOR = 0.2
"""Maximum share of the p50 that names may add if no text is new."""
_KEY = "mg-benchmark"
_WAITS = ("upstream", "durable")  # waits for the provider and the disk, which do not depend on names
_SENTENCES = (*HARMLESS, "Maria Rossi from Toronto asks where her parcel is.", "Dear Mr. Okafor, the offer stands.")


class Served:
    """A running gateway and a connection to it."""

    def __init__(self, child: subprocess.Popen[bytes], port: int) -> None:
        self.child = child
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, messages: list[dict[str, str]]) -> dict[str, float]:
        """Stage of the gateway -> its seconds (Server-Timing). Raises RuntimeError unless the call was answered."""
        body = json.dumps({"model": "demo", "messages": messages})
        headers = {"authorization": f"Bearer {_KEY}", "content-type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}: {said[:300]!r}")
        stages = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
        return {stage: float(milliseconds) / 1000 for stage, milliseconds in stages if stage not in _WAITS}

    def processor(self) -> float:
        """CPU time of its threads so far, in seconds."""
        threads = Path(f"/proc/{self.child.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def memory(self) -> tuple[float, list[float]]:
        """Memory of the gateway and of each of its child processes, in MB."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return _rss(self.child.pid), [_rss(int(pid)) for pid in children]


def _rss(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@contextlib.contextmanager
def serving(ner: dict[str, Any] | None) -> Iterator[Served]:
    """A gateway with the shipped stages, with or without names."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "providers": {"demo": {"format": "demo"}},
            "models": {"demo": {"targets": ["demo/demo"]}},
            "agents": {"bench": {"key_sha256": hashlib.sha256(_KEY.encode()).hexdigest(), "team": "bench"}},
            "quotas": {"tokens": 10**15},
            "policy": None,
            "pii": {"ner": ner},
            "state": f"sqlite:///{folder}/state.db",
            "log": "off",
        }
        path = Path(folder) / "gateway.yaml"
        path.write_text(yaml.safe_dump(settings))
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--port", str(port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
            try:
                _wait(port, child)
                yield Served(child, port)
            finally:
                child.terminate()


def _compare(both: dict[str, Served], known: list[dict[str, str]], calls: int, title: str) -> float:
    """Repeat the same conversation; returns what names add to the p50, as a share of the p50."""
    for served in both.values():  # learn the conversation, and warm up
        for _ in range(100):
            served.call(known)
    line: dict[str, list[float]] = {name: [] for name in both}
    redact: dict[str, list[float]] = {name: [] for name in both}
    before = {name: served.processor() for name, served in both.items()}
    for _ in range(calls):
        for name, served in both.items():
            stages = served.call(known)
            line[name].append(sum(stages.values()))
            redact[name].append(stages["redact"])
    spent = {name: (served.processor() - before[name]) / calls for name, served in both.items()}
    size = sum(len(message["content"]) for message in known)
    print(f"{title}: {len(known)} messages, {size} characters, {calls} calls each; load {_load()}")
    p50 = {name: statistics.median(line[name]) for name in both}
    print(f"  line, p50: {_change(*p50.values())}")
    print(f"  stage redact, p50: {_change(*(statistics.median(redact[name]) for name in both))}")
    print(f"  processor, mean: {_change(*spent.values())}")
    return p50["with"] / p50["without"] - 1


def _quiet() -> list[str]:
    found = Reader("", ENTITIES, 0.4).read(HARMLESS)
    return [sentence for sentence, names in zip(HARMLESS, found, strict=True) if not names]


def _change(without: float, beside: float) -> str:
    return f"without names {without * 1e6:.0f} us, with {beside * 1e6:.0f} us: {beside / without - 1:+.1%}"


def _load() -> str:
    return Path("/proc/loadavg").read_text().split()[0]


def _wait(port: int, child: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        if child.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the gateway did not start")
        time.sleep(0.1)


def conversation(turns: int, sentences: Sequence[str]) -> list[dict[str, str]]:
    """Messages of a few sentences each, of user and assistant in turn."""
    chance = random.Random(0)
    return [
        {"role": "assistant" if turn % 2 else "user", "content": " ".join(chance.choices(sentences, k=3))}
        for turn in range(turns)
    ]


def fresh(size: int, seed: int) -> list[dict[str, str]]:
    """One message of about `size` characters, all of them new."""
    chance = random.Random(seed)
    text = f"Number {seed} of {size}. "
    while len(text) < size:
        text += chance.choice(_SENTENCES) + " "
    return [{"role": "user", "content": text[:size]}]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="an installed spaCy package")
    parser.add_argument("--calls", type=int, default=1500)
    options = parser.parse_args()
    with serving(None) as without, serving({"model": options.model, "deadline": 60}) as beside:
        both = {"without": without, "with": beside}
        quiet = _compare(both, conversation(21, _quiet()), options.calls, "nothing new, no names")
        _compare(both, conversation(21, _SENTENCES), options.calls, "nothing new, names that are masked and restored")
        for characters in (1000, 16_000):
            taken = {
                name: statistics.median(sum(served.call(fresh(characters, seed)).values()) for seed in range(30))
                for name, served in both.items()
            }
            print(
                f"{characters} new characters, p50: without {taken['without'] * 1e3:.1f} ms, "
                f"with {taken['with'] * 1e3:.1f} ms"
            )
        for name, served in both.items():
            gateway, workers = served.memory()
            print(f"memory {name}: gateway {gateway:.0f} MB, workers {[round(one) for one in workers]}")
    print(f"{'PASS' if quiet < FLOOR else 'FAIL'}: names add less than {FLOOR:.0%} to the p50 where nothing is new")
    return 0 if quiet < FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
