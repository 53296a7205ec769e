"""The placeholders in a conversation that a provider stores: which there are, and their values.

The values stay in the vault of the workflow. The record of the conversation has only a keyed digest of each value: if
the vault has expired meanwhile, and numbers its values anew, no placeholder gets the value of another person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag

from gateway.call import Call, Stored
from gateway.errors import Refusal
from gateway.redaction.vault import Seal
from gateway.stores import Unsealed


def held(call: Call, seal: Seal) -> Mapping[str, str]:
    """The placeholders of the conversation after this call, with a digest of each value."""
    earlier = call.request.stored.masked if call.request.stored is not None else {}
    return {**earlier, **placed(call, seal)}


def placed(call: Call, seal: Seal) -> dict[str, str]:
    """The placeholders of this call that may be restored, with a digest of each value."""
    return digests(call.redaction.restore, seal)


def digests(values: Mapping[str, str], seal: Seal) -> dict[str, str]:
    """Placeholder -> digest of its value."""
    return {name: _digest(seal, name, value) for name, value in values.items()}


def kept(
    seal: Seal, team: str, workflow: str, masked: Mapping[str, str], sealed: Sequence[Unsealed]
) -> dict[str, tuple[str, str]]:
    """Entity and value of those placeholders whose value the vault of the workflow still has."""
    found: dict[str, tuple[str, str]] = {}
    for entity, number, ciphertext in sealed:
        name = f"<{entity}_{number}>"
        if name not in masked:
            continue
        try:
            value = seal.unseal(f"{team}\0{workflow}\0{entity}", ciphertext)
        except InvalidTag:
            continue
        if _digest(seal, name, value) == masked[name]:
            found[name] = entity, value
    return found


def recalled(seal: Seal, team: str, stored: Stored, sealed: Sequence[Unsealed]) -> dict[str, tuple[str, str]]:
    """Entity and value of each placeholder in a stored conversation. `sealed`: the vault of its workflow.

    Raises Refusal(invalid_request) if the vault no longer has every value.
    """
    found = kept(seal, team, stored.workflow, stored.masked, sealed)
    if len(found) < len(stored.masked):
        words = (
            "The masked values of this stored conversation are no longer kept (quotas.ttl), so its answers cannot be "
            "restored. Send all items of the conversation in `input`."
        )
        raise Refusal("invalid_request", words, param="previous_response_id")
    return found


def _digest(seal: Seal, placeholder: str, value: str) -> str:
    return seal.digest("stored value", f"{placeholder}\0{value}")[:8].hex()
