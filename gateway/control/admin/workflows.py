"""`/admin/api/workflows`: list, show, open, freeze, resume, close and label workflows. See docs/admin-api.md.

Config key: `admin`. Error codes: `invalid_request` (400, 404, 409). Every change is recorded before it is made.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.call import Json
from gateway.config.sections import Section
from gateway.control import workflows
from gateway.control.admin.access import Action, Context
from gateway.control.admin.once import once
from gateway.stores import State, Workflow


class _List(Section):
    """The query parameters of a list."""

    team: workflows.Team | None = None
    state: State | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: Annotated[str, Field(max_length=1000)] = ""


class _One(Section):
    """The query parameters of one workflow."""

    team: workflows.Team | None = None


async def show_all(context: Context) -> tuple[int, Json]:
    """GET /workflows: a page of workflows, most recently seen first."""
    wanted = context.query(_List)
    found, cursor = await workflows.page(context.store, wanted.team, wanted.state, wanted.limit, wanted.cursor)
    rows = [workflows.shown(workflow, context.config.quotas) for workflow in found]
    return 200, {"workflows": rows, "next": cursor or None}


async def show(context: Context) -> tuple[int, Json]:
    """GET /workflows/{id}."""
    found = await workflows.find(context.store, context.query(_One).team, context.name("id"))
    return _shown(context, found)


async def begin(context: Context) -> tuple[int, Json]:
    """POST /workflows/{id}: open the workflow; the answer has the token that calls send as X-Correlation-Id."""
    wanted, id = await context.body(workflows.Open), workflows.check_id(context.name("id"))
    await context.record("workflow opened", wanted.team, id, wanted)
    return 201, await workflows.begin(context.store, context.config, id, wanted)


async def freeze(context: Context) -> tuple[int, Json]:
    """POST /workflows/{id}/freeze; with a team, also before the first call of the workflow."""
    wanted, id = await context.body(workflows.Freeze), workflows.check_id(context.name("id"))
    team = wanted.team or (await workflows.find(context.store, None, id)).team
    await context.record("workflow frozen", team, id, wanted)
    return _shown(context, await workflows.freeze(context.store, team, id, wanted.reason))


async def resume(context: Context) -> tuple[int, Json]:
    """POST /workflows/{id}/resume, with or without a top-up."""
    wanted, id = await context.body(workflows.Resume), context.name("id")
    known = await workflows.find(context.store, wanted.team, id)

    async def change() -> Workflow:
        await context.record("workflow resumed", known.team, id, wanted)
        return await workflows.resume(context.store, known, wanted.topups())

    async def again() -> Workflow:
        return known

    return _shown(context, await once(context, known.team, wanted.model_dump(mode="json"), change, again))


async def close(context: Context) -> tuple[int, Json]:
    """POST /workflows/{id}/close."""
    wanted, id = await context.body(workflows.Close), context.name("id")
    known = await workflows.find(context.store, wanted.team, id)
    await context.record("workflow closed", known.team, id, wanted)
    return _shown(context, await workflows.close(context.store, known, wanted.reason))


async def label(context: Context) -> tuple[int, Json]:
    """POST /workflows/{id}/label."""
    return await _relabel(context, "workflow labeled", off=False)


async def unlabel(context: Context) -> tuple[int, Json]:
    """POST /workflows/{id}/unlabel."""
    return await _relabel(context, "workflow unlabeled", off=True)


async def _relabel(context: Context, what: str, *, off: bool) -> tuple[int, Json]:
    wanted, id = await context.body(workflows.Relabel), context.name("id")
    known = await workflows.find(context.store, wanted.team, id)
    await context.record(what, known.team, id, wanted)
    return _shown(context, await workflows.relabel(context.store, known, wanted.label, off=off))


def _shown(context: Context, workflow: Workflow) -> tuple[int, Json]:
    return 200, workflows.shown(workflow, context.config.quotas)


ROUTES: tuple[tuple[str, str, Action], ...] = (
    ("GET", "/workflows", show_all),
    ("GET", "/workflows/{id}", show),
    ("POST", "/workflows/{id}", begin),
    ("POST", "/workflows/{id}/freeze", freeze),
    ("POST", "/workflows/{id}/resume", resume),
    ("POST", "/workflows/{id}/close", close),
    ("POST", "/workflows/{id}/label", label),
    ("POST", "/workflows/{id}/unlabel", unlabel),
)
