"""A NER worker: the process that loads a model and reads texts until its socket closes.

`python -m gateway.detect.names.worker FD`, as `pool` starts it. A worker has no network and no keys, and is not part of
the line. It keeps no text, and its error messages contain no text.
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any, BinaryIO

from gateway.detect.names import wire
from gateway.detect.names.reader import ModelError, Reader


def serve(stream: BinaryIO, out: BinaryIO) -> None:
    """Answer requests until the other end is closed."""
    reader: Reader | None = None
    while (message := _next(stream)) is not None:
        answer: Any
        try:
            if reader is None:
                reader = Reader(message["model"], message["entities"], message["score"])
                answer = {"ready": True}
            else:
                answer = {"found": reader.read(message)}
        except ModelError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": f"the scanner for names failed: {type(error).__name__}"}
        out.write(wire.pack(answer))
        out.flush()


def _next(stream: BinaryIO) -> Any:
    head = stream.read(wire.LENGTH)
    if len(head) < wire.LENGTH:
        return None
    size = wire.length(head)
    data = stream.read(size)
    return wire.unpack(data) if len(data) == size else None


def main() -> None:
    """Serve the socket whose file descriptor is the argument."""
    logging.disable(logging.INFO)
    with socket.socket(fileno=int(sys.argv[1])) as peer, peer.makefile("rwb") as stream:
        try:
            serve(stream, stream)  # type: ignore[arg-type]
        except OSError:  # the gateway is gone
            return


if __name__ == "__main__":
    main()
