"""The number of Hypothesis examples: a budget for each run, and a larger budget for `make nightly`."""

from __future__ import annotations

import os

NIGHTLY = os.environ.get("MESHGATE_NIGHTLY") == "1"


def examples(each_run: int, nightly: int) -> int:
    """The budget of a test: `each_run` in `make test`, `nightly` in `make nightly`."""
    return nightly if NIGHTLY else each_run
