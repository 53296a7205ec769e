"""Signals of a process that does not serve yet. Imports nothing of the gateway, because it is loaded first."""

from __future__ import annotations

import contextlib
import signal


def ignore_reloads() -> None:
    """Let SIGHUP not end a process that is starting; it reads its files again once it serves."""
    with contextlib.suppress(ValueError):  # not the main thread, which alone may do this
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
