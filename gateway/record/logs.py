"""What Python's `logging` says, on standard error, without the gateway's own secrets: they are found by value.

Whatever an exception, a driver or a library puts into its words passes here.
"""

from __future__ import annotations

import logging

from gateway.detect.secrets.own import OwnSecrets


class Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """The one handler of the root logger. `own` is replaced with each configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.own = OwnSecrets(())

    def format(self, record: logging.LogRecord) -> str:
        """The words, with the traceback if there is one."""
        return self.own.hide(super().format(record))


def install(own: OwnSecrets) -> Handler:
    """Have what is logged in this process pass by these secrets from now on."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, Handler):
            handler.own = own
            return handler
    made = Handler()
    made.own = own
    root.addHandler(made)
    return made
