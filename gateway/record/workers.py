"""What workers of one gateway tell each other: each leaves its counters in a file, so that any can report all.

The supervisor names the folder in `MESHGATE_WORKERS_DIR`; without it there is one worker. The file of a worker that has
ended stays until the supervisor ends, so that sums never fall.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from gateway.call import Json

FOLDER: Final = "MESHGATE_WORKERS_DIR"


def leave(snapshot: Callable[[], Json]) -> None:
    """Write this worker's counters, whole or not at all. Does nothing where there is one worker."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    path = Path(folder) / f"{os.getpid()}.json"
    part = path.with_suffix(".part")
    with suppress(OSError):  # counters must not end a worker
        part.write_bytes(orjson.dumps(snapshot()))
        part.replace(path)


def others() -> list[Json]:
    """What the other workers left, about a second ago or at their end."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return []
    found: list[Json] = []
    for path in Path(folder).glob("*.json"):
        if path.stem != str(os.getpid()):
            with suppress(OSError, ValueError):
                found.append(orjson.loads(path.read_bytes()))
    return found
