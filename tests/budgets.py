"""How many examples Hypothesis tries: a budget for each run, and a larger one for the night (`make nightly`)."""

from __future__ import annotations

import os

NIGHTLY = os.environ.get("MESHGATE_NIGHTLY") == "1"


def examples(each_run: int, nightly: int) -> int:
    """The budget of a test: `each_run` in `make test`, `nightly` in `make nightly`."""
    return nightly if NIGHTLY else each_run
