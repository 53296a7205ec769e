"""Showing and changing workflows, for the command line and the admin API.

Decides nothing about calls. Amounts have the notation of the configuration. Config key: `quotas`. Error code:
`invalid_request` (400; 404 for an unknown workflow; 409 for a change that does not apply, or an id that several teams
use).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from gateway import ids
from gateway.amounts import LABELS, NANO_USD
from gateway.call import Json
from gateway.config import grammar, scalars
from gateway.config.limits import Quotas as Limits
from gateway.config.sections import Section
from gateway.errors import Refusal
from gateway.ingress import correlation
from gateway.limits.quota import Quotas, whole
from gateway.policy.labels import A_LABEL, is_label
from gateway.stores import FOREVER, Workflow, Workflows

MOST = 10_000  # workflows read for one page, most recently seen first

# Name of a quota for operators -> its key in the store. Money is counted in nano-USD and shown in USD.
QUOTAS = {"tokens": "tokens", "cost_usd": "cost", "calls": "calls"}
_SHORTEST_TTL = 60  # seconds: a workflow should not expire before its first call


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _no_flag(value: object) -> object:
    """Refuse JSON's true, which pydantic would read as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _label(text: str) -> str:
    if not is_label(text):
        raise ValueError(f"must be {A_LABEL}")
    return text


Team = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_printable)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Units = Annotated[scalars.Count, Field(gt=0, le=FOREVER), BeforeValidator(_no_flag)]


class Change(Section):
    """The fields of every change of a workflow."""

    team: Team | None = None


class Freeze(Change):
    """Freeze a workflow: refuse every further call."""

    reason: Reason = "frozen by hand"


class Close(Change):
    """Close a workflow permanently."""

    reason: Reason = "closed by hand"


class Resume(Change):
    """Resume a workflow, optionally with top-ups."""

    tokens: Units | None = None
    cost_usd: Annotated[Decimal, Field(ge=Decimal(1) / NANO_USD, le=FOREVER // NANO_USD)] | None = None
    calls: Units | None = None

    def topups(self) -> dict[str, int]:
        """The top-ups by the store's keys: tokens, nano-USD, calls."""
        nano = None if self.cost_usd is None else math.floor(self.cost_usd * NANO_USD)
        added = {"tokens": self.tokens, "cost": nano, "calls": self.calls}
        return {key: amount for key, amount in added.items() if amount}


class Relabel(Change):
    """Set or remove a label."""

    label: Annotated[str, AfterValidator(_label)]


class Open(Section):
    """Open a workflow before its first call."""

    team: Team
    ttl: Annotated[scalars.Seconds, Field(ge=_SHORTEST_TTL, le=366 * 86400)] | None = None


_REASONS = {
    "quotas.seconds": "older than quotas.seconds",
    "quotas.idle": "no call for longer than quotas.idle",
    **{f"quotas.{name}": f"a call needed more than was left of quotas.{name}" for name in QUOTAS},
}


# Finding


def check_id(correlation_id: str) -> str:
    """The id, if it is a valid correlation id. Raises Refusal(invalid_request)."""
    if not ids.is_correlation_id(correlation_id):
        raise Refusal("invalid_request", "A correlation id has 1 to 128 letters, digits and ._:/+=@- .", param="id")
    return correlation_id


async def find(store: Workflows, team: str | None, correlation_id: str) -> Workflow:
    """The workflow of a team, or the only workflow with this id. Raises Refusal: 404 for none, 409 for several."""
    check_id(correlation_id)
    found = []
    for name in await store.teams() if team is None else [team]:
        workflow = await store.workflow(name, correlation_id)
        if workflow is not None:
            found.append(workflow)
    if not found:
        of = "" if team is None else " of this team"
        message = f"No workflow{of} has this id; its record may have expired (quotas.ttl)."
        raise Refusal("invalid_request", message, status=404)
    if len(found) > 1:
        teams = sorted(workflow.team for workflow in found)
        message = f"Several teams have a workflow with this id: name one team: {', '.join(teams)}."
        raise Refusal("invalid_request", message, status=409, detail={"teams": teams})
    return found[0]


async def page(
    store: Workflows, team: str | None, state: str | None, limit: int, cursor: str = ""
) -> tuple[list[Workflow], str]:
    """At most `limit` workflows, most recently seen first, and the cursor of the next page ("" at the end).

    A workflow with a call between two pages moves to the front, so it may be missed but is never shown twice.
    """
    after = _read_cursor(cursor) if cursor else None
    size = min(MOST, 4 * limit)
    while True:
        newest = await store.workflows(team, size)
        all_of_them = len(newest) < size or size == MOST
        if not all_of_them:  # workflows that were last seen at the same moment as the last workflow may be missing
            newest = [it for it in newest if it.last_seen > newest[-1].last_seen]
        fitting = [it for it in newest if state in (None, it.state) and (after is None or _place(it) > after)]
        if len(fitting) > limit or all_of_them:
            break
        size = min(MOST, 4 * size)
    shown = sorted(fitting, key=_place)[:limit]
    return shown, _cursor(shown[-1]) if len(fitting) > limit else ""


_Place = tuple[int, str, str]


def _place(workflow: Workflow) -> _Place:
    return (-round(workflow.last_seen * 1_000_000), workflow.team, workflow.correlation_id)


def _cursor(workflow: Workflow) -> str:
    return ids.base64url(orjson.dumps(_place(workflow)))


def _read_cursor(cursor: str) -> _Place:
    try:
        last, team, correlation_id = orjson.loads(ids.from_base64url(cursor))
        return (int(last), str(team), str(correlation_id))
    except (ValueError, TypeError):
        raise Refusal("invalid_request", "The cursor is not valid for this list.", param="cursor") from None


# Changing: each function except the first returns the changed workflow


async def begin(store: Workflows, settings: grammar.Config, correlation_id: str, wanted: Open) -> Json:
    """Open a workflow: returns its id, its team, its end, and the `token` that calls send as X-Correlation-Id.

    The token is signed with `quotas.strict`, otherwise it is the id itself. Raises Refusal (409) if the workflow exists
    already.
    """
    ttl = settings.quotas.ttl if wanted.ttl is None else wanted.ttl
    token, signer = check_id(correlation_id), correlation.signer(settings)
    if signer is not None:
        token = signer.token(wanted.team, correlation_id, ttl)
    seconds, idle = whole(settings.quotas.seconds), whole(settings.quotas.idle)
    if not await store.open_workflow(wanted.team, correlation_id, math.ceil(ttl), seconds=seconds, idle=idle):
        message = "This team has a workflow with this id already: open it under another id."
        raise Refusal("invalid_request", message, status=409)
    expires = iso(time.time() + ttl)
    return {"team": wanted.team, "correlation_id": correlation_id, "token": token, "expires": expires}


async def freeze(store: Workflows, team: str, correlation_id: str, reason: str) -> Workflow:
    """Freeze a workflow, even before its first call. Raises Refusal (409) if the workflow has ended."""
    known = await store.workflow(team, check_id(correlation_id))
    if known is not None and known.state in ("closed", "expired"):
        raise _ended(known, "frozen")
    await store.freeze(team, correlation_id, reason)
    return await find(store, team, correlation_id)


async def resume(store: Workflows, known: Workflow, topups: Mapping[str, int]) -> Workflow:
    """Resume a workflow with top-ups. Raises Refusal: 409 if the workflow has ended, 400 for too large top-ups."""
    for name, key in QUOTAS.items():
        if known.topups.get(key, 0) + topups.get(key, 0) > FOREVER:
            unit, most = (" USD", FOREVER // NANO_USD) if key == "cost" else ("", FOREVER)
            message = (
                f"With this change, the top-ups of {name} would exceed {most}{unit}, the maximum that can be stored."
            )
            raise Refusal("invalid_request", message, param=name)
    if not await store.resume(known.team, known.correlation_id, topups):
        raise _ended(known, "resumed")
    return await find(store, known.team, known.correlation_id)


async def close(store: Workflows, known: Workflow, reason: str) -> Workflow:
    """Close a workflow permanently. Raises Refusal (409) if the workflow has ended before."""
    if not await store.close_workflow(known.team, known.correlation_id, reason):
        raise _ended(known, "closed")
    return await find(store, known.team, known.correlation_id)


async def relabel(store: Workflows, known: Workflow, label: str, *, off: bool) -> Workflow:
    """Set a label, or remove it so that policies do not set it again in this workflow. Raises Refusal (409)."""
    if not await store.relabel(known.team, known.correlation_id, label, off=off):
        now = await find(store, known.team, known.correlation_id)
        if now.state in ("closed", "expired"):
            raise _ended(now, "labeled")
        labels = now.history.labels
        if (label in labels) != off:
            what = f"has the label {label} already" if not off else f"has no label {label}"
        else:
            what = f"has {LABELS} {'removed labels' if off else 'labels'}, the maximum"
        of = f"Workflow {known.correlation_id} of team {known.team}"
        raise Refusal("invalid_request", f"{of} {what}; its labels: {', '.join(labels) or 'none'}.", status=409)
    return await find(store, known.team, known.correlation_id)


def _ended(workflow: Workflow, what: str) -> Refusal:
    state = workflow.state if workflow.state in ("closed", "expired") else "over"
    why = f" ({workflow.reason})" if workflow.reason else ""
    message = f"Workflow {workflow.correlation_id} of team {workflow.team} is {state}{why} and cannot be {what}."
    return Refusal("invalid_request", f"{message} Use another correlation id.", status=409)


# Showing


def shown(workflow: Workflow, settings: Limits) -> Json:
    """A workflow for display. Money is in USD, times are ISO 8601 in UTC.

    `chain`: the longest chain of agents. `path`: which agent called after which, the newest changes. `labels`,
    `cleared` and `tools`: the history for policies, see `call.History`. For each quota: `limit` (with top-ups; null:
    not limited), `topup`, `used` (settled), `held` (in flight), `estimated` (the part of `used` that is an estimate
    because calls were lost), `left`.
    """
    ceilings = Quotas(settings).ceilings
    return {
        "team": workflow.team,
        "correlation_id": workflow.correlation_id,
        "state": workflow.state,
        "reason": workflow.reason,
        "opened": workflow.strict_opened,
        "agents": list(workflow.agents),
        "chain": list(workflow.chain),
        "path": list(workflow.path),
        "labels": list(workflow.history.labels),
        "cleared": list(workflow.history.cleared),
        "tools": list(workflow.history.tools),
        "calls": workflow.used.get("calls", 0) + workflow.held.get("calls", 0),
        "first_seen": iso(workflow.first_seen),
        "last_seen": iso(workflow.last_seen),
        "hops": {"limit": settings.hops, "deepest": max(0, len(workflow.chain) - 1)},
        "repeats": {"limit": settings.repeats, "most": workflow.used.get("repeats", 0)},
        "quotas": {name: _quota(workflow, key, ceilings.get(key)) for name, key in QUOTAS.items()},
    }


def _quota(workflow: Workflow, key: str, ceiling: int | None) -> Json:
    topup = workflow.topups.get(key, 0)
    used, held = workflow.used.get(key, 0), workflow.held.get(key, 0)
    limit = None if ceiling is None else ceiling + topup
    amounts: dict[str, int | None] = {
        "limit": limit,
        "topup": topup,
        "used": used,
        "held": held,
        "estimated": workflow.lapsed.get(key, 0),
        "left": None if limit is None else max(0, limit - used - held),
    }
    if key != "cost":
        return amounts
    return {name: None if nano is None else float(Fraction(nano, NANO_USD)) for name, nano in amounts.items()}


def why(row: Json) -> str:
    """The state of a shown workflow with its reason, in one line."""
    state, reason = str(row["state"]), str(row["reason"])
    if not reason:
        return state
    return f"{state}: {_REASONS.get(reason, reason)}"


def iso(seconds: float) -> str:
    """A time in Unix seconds as ISO 8601 in UTC, without fractions."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
