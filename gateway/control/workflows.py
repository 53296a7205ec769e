"""Workflows as an operator sees and changes them, the same by command line and by admin API.

Decides nothing about calls: it finds, shows and lists what the store knows, and takes amounts as the configuration
writes them. Config key: `quotas`. Error code: `invalid_request` (400, 404 for an unknown workflow, 409 for one that
cannot be changed so, or for an id that several teams use).
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from gateway import ids
from gateway.call import LABELS, NANO_USD, Json
from gateway.config import grammar, scalars
from gateway.config.sections import Section
from gateway.errors import Refusal
from gateway.ingress import correlation
from gateway.limits.quota import Quotas, whole
from gateway.policy.labels import A_LABEL, is_label
from gateway.stores import FOREVER, Store, Workflow

MOST = 10_000  # workflows looked at for one page, the last seen first

# What a quota is called here -> its key in the store. Money is counted in nano-USD and shown in USD.
QUOTAS = {"tokens": "tokens", "cost_usd": "cost", "calls": "calls"}
_KEPT_FOR_SHORT = 60  # seconds: a workflow that is forgotten before its first call helps nobody


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _no_flag(value: object) -> object:
    """JSON's true would pass for 1."""
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
    """What every change of a workflow may name."""

    team: Team | None = None


class Freeze(Change):
    """Refuse every further call."""

    reason: Reason = "frozen by hand"


class Close(Change):
    """End it for good."""

    reason: Reason = "closed by hand"


class Resume(Change):
    """Take calls again, with more room if it says so."""

    tokens: Units | None = None
    cost_usd: Annotated[Decimal, Field(ge=Decimal(1) / NANO_USD, le=FOREVER // NANO_USD)] | None = None
    calls: Units | None = None

    def topups(self) -> dict[str, int]:
        """By the store's keys: tokens, nano-USD, calls."""
        nano = None if self.cost_usd is None else math.floor(self.cost_usd * NANO_USD)
        added = {"tokens": self.tokens, "cost": nano, "calls": self.calls}
        return {key: amount for key, amount in added.items() if amount}


class Relabel(Change):
    """Set a label, or take it off."""

    label: Annotated[str, AfterValidator(_label)]


class Open(Section):
    """Begin a workflow before its first call."""

    team: Team
    ttl: Annotated[scalars.Seconds, Field(ge=_KEPT_FOR_SHORT, le=366 * 86400)] | None = None


_REASONS = {
    "quotas.seconds": "it has outlived quotas.seconds",
    "quotas.idle": "not called for longer than quotas.idle",
    **{f"quotas.{name}": f"a call needed more than was left of quotas.{name}" for name in QUOTAS},
}


# Finding


def check_id(correlation_id: str) -> str:
    """The id, if calls could carry it. Raises Refusal(invalid_request)."""
    if not ids.is_correlation_id(correlation_id):
        raise Refusal("invalid_request", "A correlation id is 1 to 128 letters, digits and ._:/+=@- .", param="id")
    return correlation_id


async def find(store: Store, team: str | None, correlation_id: str) -> Workflow:
    """The workflow of a team, or the only one of that id. Raises Refusal: 404 for none, 409 for several."""
    check_id(correlation_id)
    found = []
    for name in await store.teams() if team is None else [team]:
        workflow = await store.workflow(name, correlation_id)
        if workflow is not None:
            found.append(workflow)
    if not found:
        of = "" if team is None else f" of team {team}"
        message = f"No workflow{of} has the id {correlation_id}; it may have been forgotten (quotas.ttl)."
        raise Refusal("invalid_request", message, status=404)
    if len(found) > 1:
        teams = sorted(workflow.team for workflow in found)
        message = f"Several teams have a workflow {correlation_id}: name one of them: {', '.join(teams)}."
        raise Refusal("invalid_request", message, status=409, detail={"teams": teams})
    return found[0]


async def page(
    store: Store, team: str | None, state: str | None, limit: int, cursor: str = ""
) -> tuple[list[Workflow], str]:
    """At most `limit` workflows, the last seen first, and the cursor of the next page ("" at the end).

    A workflow that is called while somebody pages moves to the front, and so may be missed but never shown twice.
    """
    after = _read_cursor(cursor) if cursor else None
    size = min(MOST, 4 * limit)
    while True:
        newest = await store.workflows(team, size)
        all_of_them = len(newest) < size or size == MOST
        if not all_of_them:  # of those last seen at the same moment as the last one, some may be missing
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
    return base64.urlsafe_b64encode(orjson.dumps(_place(workflow))).decode().rstrip("=")


def _read_cursor(cursor: str) -> _Place:
    try:
        last, team, correlation_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return (int(last), str(team), str(correlation_id))
    except (ValueError, TypeError):
        raise Refusal("invalid_request", "The cursor is not one that this list gave out.", param="cursor") from None


# Changing: each but the first returns the workflow as it stands after


async def begin(store: Store, settings: grammar.Config, correlation_id: str, wanted: Open) -> Json:
    """Open a workflow: its id, its team, when it ends, and the `token` that calls carry as X-Correlation-Id.

    The token is signed where `quotas.strict` wants that, and the bare id elsewhere. Raises Refusal (409) if there is
    a workflow of that id.
    """
    ttl = settings.quotas.ttl if wanted.ttl is None else wanted.ttl
    token, signer = check_id(correlation_id), correlation.signer(settings)
    if signer is not None:
        token = signer.token(wanted.team, correlation_id, ttl)
    seconds, idle = whole(settings.quotas.seconds), whole(settings.quotas.idle)
    if not await store.open_workflow(wanted.team, correlation_id, math.ceil(ttl), seconds=seconds, idle=idle):
        message = f"Team {wanted.team} has a workflow {correlation_id} already: open it under another id."
        raise Refusal("invalid_request", message, status=409)
    expires = _iso(time.time() + ttl)
    return {"team": wanted.team, "correlation_id": correlation_id, "token": token, "expires": expires}


async def freeze(store: Store, team: str, correlation_id: str, reason: str) -> Workflow:
    """Refuse every further call, also of an id that no call carried yet. Raises Refusal (409) if it has ended."""
    known = await store.workflow(team, check_id(correlation_id))
    if known is not None and known.state in ("closed", "expired"):
        raise _ended(known, "frozen")
    await store.freeze(team, correlation_id, reason)
    return await find(store, team, correlation_id)


async def resume(store: Store, known: Workflow, topups: Mapping[str, int]) -> Workflow:
    """Take calls again, with what is added. Raises Refusal: 409 for one that has ended, 400 for too much room."""
    for name, key in QUOTAS.items():
        if known.topups.get(key, 0) + topups.get(key, 0) > FOREVER:
            unit, most = (" USD", FOREVER // NANO_USD) if key == "cost" else ("", FOREVER)
            message = (
                f"With this, the top-ups of {name} would come to more than {most}{unit}, the most that can be kept."
            )
            raise Refusal("invalid_request", message, param=name)
    if not await store.resume(known.team, known.correlation_id, topups):
        raise _ended(known, "resumed")
    return await find(store, known.team, known.correlation_id)


async def close(store: Store, known: Workflow, reason: str) -> Workflow:
    """End it for good. Raises Refusal (409) for one that has ended before."""
    if not await store.close_workflow(known.team, known.correlation_id, reason):
        raise _ended(known, "closed")
    return await find(store, known.team, known.correlation_id)


async def relabel(store: Store, known: Workflow, label: str, *, off: bool) -> Workflow:
    """Set a label, or take one off: then policies do not set it again in this workflow. Raises Refusal (409)."""
    if not await store.relabel(known.team, known.correlation_id, label, off=off):
        now = await find(store, known.team, known.correlation_id)
        if now.state in ("closed", "expired"):
            raise _ended(now, "labelled")
        labels = now.history.labels
        if (label in labels) != off:
            what = f"has the label {label} already" if not off else f"has no label {label}"
        else:
            what = f"has {LABELS} labels {'taken off' if off else 'on it'}, the most there can be"
        of = f"Workflow {known.correlation_id} of team {known.team}"
        raise Refusal("invalid_request", f"{of} {what}; its labels: {', '.join(labels) or 'none'}.", status=409)
    return await find(store, known.team, known.correlation_id)


def _ended(workflow: Workflow, what: str) -> Refusal:
    state = workflow.state if workflow.state in ("closed", "expired") else "over"
    why = f" ({workflow.reason})" if workflow.reason else ""
    message = f"Workflow {workflow.correlation_id} of team {workflow.team} is {state}{why} and cannot be {what}."
    return Refusal("invalid_request", f"{message} Go on under another correlation id.", status=409)


# Showing


def shown(workflow: Workflow, settings: grammar.Quotas) -> Json:
    """A workflow for people and programs. Money is in USD, times are ISO 8601 in UTC.

    `chain` is the longest chain of agents that called each other, `path` who called after whom, the newest changes.
    `labels`, `cleared` and `tools` are what it remembers for policies: see `call.History`.
    For each quota: `limit` (top-ups included; null: not limited), `topup`, `used` (settled), `held` (in flight),
    `estimated` (the part of `used` whose calls were lost, so that their reservation was charged), `left`.
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
        "first_seen": _iso(workflow.first_seen),
        "last_seen": _iso(workflow.last_seen),
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
    """The state of a shown workflow, and what put it there, in one line."""
    state, reason = str(row["state"]), str(row["reason"])
    if not reason:
        return state
    return f"{state}: {_REASONS.get(reason, reason)}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def explained(errors: list[Any]) -> str:
    """What pydantic says about a body or an option, in one line that repeats no value."""
    words = []
    for error in errors:
        where = ".".join(map(str, error["loc"]))
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = "is not known here"
        words.append(f"{where}: {message}" if where else message)
    return "; ".join(words)
