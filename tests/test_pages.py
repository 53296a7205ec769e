"""gateway.control.workflows.page: pagination of lists."""

from __future__ import annotations

from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.control import workflows
from gateway.stores import State, Store, Workflow

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["red", "blue"]),
        st.integers(0, 60),
        st.sampled_from(["open", "frozen", "closed", "expired"]),
        st.integers(0, 2),  # many are seen at the same moment
    ),
    unique_by=lambda row: (row[0], row[1]),
    min_size=5,
    max_size=60,
)


class Shelf:
    """A store that only lists."""

    def __init__(self, found: list[Workflow]) -> None:
        self.found = sorted(found, key=lambda it: it.last_seen, reverse=True)

    async def workflows(self, team: str | None, limit: int) -> list[Workflow]:
        return [it for it in self.found if team in (None, it.team)][:limit]


@example([("red", number, "open", 0) for number in (5, 6, 7, 8, 1, 2, 3)], None, None, 1)
@given(ROWS, st.sampled_from([None, "red"]), st.sampled_from([None, "frozen"]), st.integers(1, 9))
async def test_pages_are_a_partition(
    rows: list[tuple[str, int, State, int]], team: str | None, state: str | None, limit: int
) -> None:
    """For any filter and size: every matching workflow is on exactly one page, most recently seen first."""
    found = [Workflow(team, f"w{number}", state, "", 0.0, float(seen)) for team, number, state, seen in rows]
    shelf = cast(Store, Shelf(found))
    listed: list[Workflow] = []
    cursor = ""
    while True:
        page, cursor = await workflows.page(shelf, team, state, limit, cursor)
        assert len(page) <= limit
        listed += page
        if not cursor:
            break
        assert page
    fitting = [it for it in found if team in (None, it.team) and state in (None, it.state)]
    assert sorted(it.correlation_id + it.team for it in listed) == sorted(it.correlation_id + it.team for it in fitting)
    assert [it.last_seen for it in listed] == sorted((it.last_seen for it in listed), reverse=True)
