"""Exchange of counters between the workers of one gateway, by files, so that any worker can report the totals.

The supervisor names the folder in `MESHGATE_WORKERS_DIR`; without that variable there is one worker. The file of an
ended worker stays until the supervisor ends, so that sums never decrease.
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
    """Write this worker's counters atomically. Does nothing if there is only one worker."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    path = Path(folder) / f"{os.getpid()}.json"
    part = path.with_suffix(".part")
    with suppress(OSError):  # a failed write must not end the worker
        part.write_bytes(orjson.dumps(snapshot()))
        part.replace(path)


def others() -> list[Json]:
    """The counters of the other workers, about a second old, or as of their end."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return []
    snapshots: list[Json] = []
    for path in Path(folder).glob("*.json"):
        if path.stem != str(os.getpid()):
            with suppress(OSError, ValueError):
                snapshots.append(orjson.loads(path.read_bytes()))
    return snapshots
