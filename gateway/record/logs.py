"""Python's `logging` on standard error. The gateway's own secrets are found by value and replaced.

All messages of exceptions, drivers and libraries pass through this handler.
"""

from __future__ import annotations

import logging

from gateway.detect.secrets.own import OwnSecrets


class Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """The only handler of the root logger. Each configuration sets `own`."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.own = OwnSecrets(())

    def format(self, record: logging.LogRecord) -> str:
        """The message, with the traceback if there is one, without secrets."""
        return self.own.hide(super().format(record))


def install(own: OwnSecrets) -> Handler:
    """Hide these secrets in all log messages of this process from now on."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, Handler):
            handler.own = own
            return handler
    handler = Handler()
    handler.own = own
    root.addHandler(handler)
    return handler
