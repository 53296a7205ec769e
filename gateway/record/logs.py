"""Python's `logging` on standard error. The gateway's own secrets are found by value and replaced.

All messages of exceptions, drivers and libraries pass through this handler. A message that repeats, for example with
every call while the state store is gone, is one line a second.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Final

from gateway.detect.secrets.own import OwnSecrets
from gateway.record.repeats import Repeats

_VARIES: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")  # what differs between messages of one kind: ids, numbers


class Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """The only handler of the root logger. Each configuration sets `own`. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.own = OwnSecrets(())
        self._repeats = Repeats(self._write, clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message, unless one of its kind was written less than a second ago: then count it."""
        try:
            kind = (record.name, record.levelno, _VARIES.sub("#", record.getMessage()))
        except Exception:  # arguments that do not fit the message: reported as for every other handler
            self.handleError(record)
            return
        self._repeats.take(kind, record)

    def report(self, *, last: bool = False) -> None:
        """See `Repeats.report`."""
        self.acquire()
        try:
            self._repeats.report(last=last)
        finally:
            self.release()

    def _write(self, record: logging.LogRecord, more: int) -> None:
        record.more = more
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """The message, with the traceback if there is one, without secrets."""
        more = getattr(record, "more", 0)
        return self.own.hide(super().format(record)) + (f" (and {more} more like this)" if more else "")


def install(own: OwnSecrets) -> Handler:
    """Hide these secrets in all log messages of this process from now on."""
    handler = _installed() or Handler()
    handler.own = own
    logging.getLogger().addHandler(handler)  # no effect if it is there
    return handler


def report(*, last: bool = False) -> None:
    """See `Repeats.report`."""
    if (handler := _installed()) is not None:
        handler.report(last=last)


def _installed() -> Handler | None:
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, Handler)), None)
