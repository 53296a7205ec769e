"""What agents offer: functions with schemas, as an agent registers them or as an agent card lists them as skills."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.call import Json
from gateway.dialects.tree import Shape, Survey
from gateway.errors import Refusal
from gateway.texts import Slot

LONGEST: Final = 32 * 1024  # bytes of an offer
_DEPTH: Final = 24  # levels of a schema
_MOST: Final = 100  # functions of an agent
_PLAIN: Final = Shape(frozenset(), frozenset(), frozenset())
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
Words = Annotated[str, StringConstraints(max_length=4000)]


def _name(said: str) -> str:
    if _NAME.fullmatch(said) is None:
        raise ValueError("must be 1 to 128 letters, digits and _.-, the first a letter or digit")
    return said


class Function(BaseModel):
    """One function: its schemas (JSON Schema), and what the agent says it costs and takes."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, AfterValidator(_name)]
    description: Words = ""
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Channels(BaseModel):
    """Where the agent is called. `a2a`: the name of a row of the section `a2a`."""

    model_config = ConfigDict(extra="forbid")
    a2a: Annotated[str, StringConstraints(max_length=63)] = ""


class Offer(BaseModel):
    """What an agent registers."""

    model_config = ConfigDict(extra="forbid")
    description: Words = ""
    functions: Annotated[tuple[Function, ...], Field(max_length=_MOST)] = ()
    channels: Channels = Channels()
    ttl: int = Field(default=60, ge=5, le=86_400)
    """Seconds until the entry ends, unless its agent renews the entry."""


class Registration(Offer):
    """The body of a registration. `card`: an agent card, in place of description and functions.

    `name`: that of the path, for agents that send their whole entry.
    """

    name: str | None = None
    card: dict[str, Any] | None = None

    def offer(self) -> Offer:
        """The offer, with the skills of the card. Raises Refusal(invalid_request)."""
        if self.card is None:
            return Offer(**{name: getattr(self, name) for name in Offer.model_fields})
        if self.functions or self.description:
            words = "A registration has either `card`, or `description` and `functions`."
            raise Refusal("invalid_request", words, param="card")
        return of_card(self.card, self.channels, self.ttl)


def of_card(card: Json, channels: Channels, ttl: int = 60) -> Offer:
    """The offer of an agent card. Skills whose id is no name of a function are left out."""
    skills = card.get("skills")
    functions = []
    for skill in skills[:_MOST] if type(skills) is list else ():
        if type(skill) is not dict:
            continue
        said = [_text(skill.get("description")), *(_text(tag) for tag in _list(skill.get("tags")))]
        try:
            functions.append(Function(name=skill["id"], description=" ".join(filter(None, said))[:4000]))
        except (ValidationError, LookupError):
            continue
    description = _text(card.get("description"))[:4000]
    return Offer(description=description, functions=tuple(functions), channels=channels, ttl=ttl)


def encoded(offer: Offer) -> bytes:
    """An offer as it is stored. Raises Refusal(invalid_request) for one that is too large or too deep."""
    said = offer.model_dump(mode="json", exclude_defaults=True)
    texts(said)
    record = orjson.dumps(said)
    if len(record) > LONGEST:
        raise Refusal("invalid_request", f"An offer may have at most {LONGEST} bytes.")
    return record


def decoded(record: bytes) -> Offer:
    """A stored offer; fields of a newer release are left out."""
    said = orjson.loads(record)
    return Offer.model_validate({name: said[name] for name in Offer.model_fields if name in said})


def texts(said: Json) -> list[Slot]:
    """All texts of an offer. Raises Refusal(invalid_request) beyond the depth limit."""
    survey = Survey(_PLAIN, _DEPTH)
    survey.walk(said)
    return survey.slots


def matches(titles: str, described: str, words: tuple[str, ...], function: Function | None) -> int:
    """How well the words are found in an agent and one of its functions: 0 if one of them is nowhere.

    `titles`, `described`: the names and the description of the agent, casefolded.
    """
    if not words:
        return 1
    said = ""
    if function is not None:
        titles = f"{titles} {function.name.casefold()}"
        said = function.description.casefold()
    inside = [word in titles for word in words]
    if not all(found or word in described or word in said for found, word in zip(inside, words, strict=True)):
        return 0
    return 1 + sum(inside)


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
