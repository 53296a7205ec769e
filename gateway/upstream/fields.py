"""Unknown fields of a request: forwarded, removed, or refused.

Config keys: `providers.*.fields`, `providers.*.strict`; a policy sets `obligations.fields`. Refuses with
invalid_request and the name of the field. Of all settings that apply (every provider that may serve the call, the
policy), the strictest decides, so that a failover sends the same body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from gateway.call import Call
from gateway.errors import Refusal

FIELDS: Final = ("pass", "drop", "refuse")
"""From the loosest to the strictest."""
_SHOWN: Final = 5  # maximum number of fields that a message names
_NAMED: Final = 32  # and that the header `x-meshgate-dropped` names


def keep(call: Call, said: Mapping[str, str]) -> None:
    """Remove unknown fields from the body, if so configured; writes `call.request.dropped`.

    `said`: provider -> its setting.

    Raises Refusal(invalid_request) if they are refused.
    """
    demanded = call.authorization.decision.obligations.fields if call.authorization.decision is not None else None
    if demanded is None and all(said.get(target.provider, "pass") == "pass" for target in call.admission.targets):
        return
    wants = {f"providers.{name}.fields": said.get(name, "pass") for name in call.providers()}
    if demanded is not None:
        wants["the policy"] = demanded
    who, what = max(wants.items(), key=lambda item: FIELDS.index(item[1]), default=("", "pass"))
    if what == "drop":
        if call.request.reading is not None:  # the messages are shared with other calls
            call.request.body, call.request.reading = orjson.loads(orjson.dumps(call.request.body)), None
        call.request.dropped = tuple(call.codec.foreign(call.request.body)[:_NAMED])
        call.authorization.edited |= call.codec.drop_foreign(call.request.body)
    elif what == "refuse" and (fields := call.codec.foreign(call.request.body)):
        names = ", ".join(f"`{name}`" for name in fields[:_SHOWN])
        more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        raise Refusal(
            "invalid_request",
            f"The request has fields that are not in the dialect: {names}{more}. Take them out, or ask the operator "
            f"about {who}, which refuses them.",
            param=fields[0],
            detail={"fields": fields[:64]},
        )
