"""Ids of calls and workflows."""

from __future__ import annotations

import re
import time

import pytest

from gateway import ids

FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_are_different_and_in_order() -> None:
    """The order of ids is that of calls: the decision log is read by id."""
    made = [ids.uuid7() for _ in range(5000)]
    assert made == sorted(set(made))
    assert all(map(FORM.fullmatch, made))


def test_an_id_of_a_time_begins_with_its_milliseconds() -> None:
    """So that a stretch of time is a stretch of ids."""
    now = time.time()
    assert ids.uuid7(at=1.5).startswith("00000000-05dc-7")
    assert ids.uuid7(at=now - 1)[:13] <= ids.uuid7()[:13] <= ids.uuid7(at=time.time() + 1)[:13]


@pytest.mark.parametrize("id", ["/tmp/evil.x", "../evil.x", ".x", "x", "a" * 17 + ".x", "A" * 16 + ".x", 7, None])
def test_only_ids_of_gateways_name_a_worker(id: object) -> None:
    """The name of a worker is the name of a socket, and tool servers choose ids, too."""
    assert ids.worker_of(ids.uuid7_here()) == ids.WORKER
    assert ids.worker_of(id) == ""
