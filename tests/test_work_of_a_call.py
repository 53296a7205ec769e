"""How much Python a call takes: functions of the gateway that are called for it, which no machine makes slower.

A bound that does not hold means that a call has become dearer; `python -m benchmarks.profile` shows where.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import upstream as scripted
from line import Line, config, running

_CALLS = 10
_WARM = 5
_WORDS = "The order was sent on Monday and should be there soon, so please wait until Friday. "
_TEXT = _WORDS * 10
_OFF: dict[str, Any] = {"limits": [], "quotas": {}, "policy": None, "pii": None, "output": None}
_ON: dict[str, Any] = {
    "limits": [{"per": "agent", "requests": "100m/min"}, {"per": "team", "tokens": "100000m/min"}],
    "quotas": {"tokens": 10**12, "cost_usd": 1e6, "calls": 10**12, "seconds": "1d"},
    "policy": {"path": str(Path(__file__).parent.parent / "policies")},
    "pii": {"default": "mask"},
    "output": {"secrets": "block", "pii": "redact", "exfiltration_urls": "block"},
}
_MOST = 3.0
"""Calls of functions with everything on, at most, for each of the same call on the bare line (measured: 1.7)."""
_A_MESSAGE = 10
"""Calls of functions for a message that was sent before, at most (measured: 1)."""


def _calls(line: Line, history: int) -> float:
    """Calls of functions of the gateway for one call that resends `history` messages."""
    past = [{"role": ("user", "assistant")[n % 2], "content": f"{_WORDS}{n}"} for n in range(history)]

    def chat(number: int) -> None:
        messages = [*past, {"role": "user", "content": f"{_TEXT}Step {number}."}]
        answer = line.chat(cid=f"w-{history}", messages=messages)
        assert answer.status_code == 200, answer.text

    for number in range(_WARM):
        chat(number)
    count = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and "/gateway/" in frame.f_code.co_filename

    def watched(watch: Any) -> None:
        done = threading.Event()
        line.loop.call_soon_threadsafe(sys.setprofile, watch)
        line.loop.call_soon_threadsafe(done.set)
        assert done.wait(60)

    watched(note)
    for number in range(_WARM, _WARM + _CALLS):
        chat(number)
    watched(None)
    return count / _CALLS


def test_everything_on_takes_a_bounded_share(up: scripted.Upstream, tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    (tmp_path / "on").mkdir()
    with running(tmp_path / "off", config(tmp_path / "off", up.url, **_OFF)) as line:
        bare = _calls(line, 0)
    with running(tmp_path / "on", config(tmp_path / "on", up.url, **_ON)) as line:
        whole, long = _calls(line, 0), _calls(line, 40)
    assert whole <= _MOST * bare
    assert (long - whole) / 40 <= _A_MESSAGE
