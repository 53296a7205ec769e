"""Lists of what providers store, with the entries of the caller's team alone.

Pages of a provider are asked for until one has an entry of the team, at most `_PAGES` for one call. No other entry is
judged, recorded or sent. Fails closed: without the store there is no list.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from gateway.bodies import Cursor, Json, Page
from gateway.call import Call, Place, Reference, Usage
from gateway.dialects.listed import Listed
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import TooMuch, garbage, loaded
from gateway.exchange.passed import passed
from gateway.ingress.lists import Lists
from gateway.ingress.reply import Reply
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.upstream.answer import Answer
from gateway.upstream.forward import Forward

_PAGES: Final = 16
"""Pages of a provider for one call: 16,000 files, or 1,600 batches of OpenAI."""

_LAST: Final = "last "
"""Before the name of a cursor: the list is read on to the last page of its place, and back from there."""


class _Found(NamedTuple):
    """The entries of the team in a page, and the page. `token`: the cursor that leads on, if no entry does.

    `back`: the cursor leads to the page before.
    """

    entries: list[Json]
    page: Json
    more: bool
    token: str
    back: bool


async def listed(answers: Answers, forward: Forward, lists: Lists, call: Call, reply: Reply) -> None:
    """Send a page of entries of the caller's team. Raises Refusal, StoreUnavailable."""
    codec, about = call.codec, call.reference
    assert isinstance(codec, Listed), "a call for a list has the codec of one"
    assert about is not None, "and says which page is asked for"
    assert about.page is not None, "and says which page is asked for"
    find = _gathered if codec.gathers else _found
    found = await find(forward, lists, answers, call, codec, about, about.page)
    said = codec.shown(found.page, found.entries, found.more, found.token, found.back)
    try:
        await passed(answers, call, Answer.complete(orjson.dumps(said)), reply)
    finally:
        call.outcome.usage, call.outcome.heard = Usage(), []
    call.outcome.finished = True


async def _found(
    forward: Forward, lists: Lists, answers: Answers, call: Call, codec: Listed, about: Reference, page: Page
) -> _Found:
    """The next page with an entry of the team, or the last that was looked at. Raises Refusal, StoreUnavailable.

    Going back, the place before is read on to its last page, and back from there: no provider begins at the end.
    """
    places = forward.places(call.admission.targets)
    if ("order", "asc") in page.rest:  # the reverse of the usual order, over all places
        places.reverse()
    cursor, at = page.cursor, _start(places, about, page)
    seeks, back = cursor.name.startswith(_LAST), bool(cursor.name) and cursor.name == codec.paging.back
    cursor, back = Cursor(cursor.name.removeprefix(_LAST), cursor.value), back or seeks
    for left in reversed(range(_PAGES)):
        place, here = places[at], places[at].target.provider
        said = await _page(forward, answers, call, place, about._replace(query=codec.query(page, cursor)))
        every = codec.entries(said)
        follows = codec.next(said, every, back and not seeks)
        if follows == cursor:  # the provider does not read its own cursors
            follows = None
        if seeks and follows is not None:
            own: list[Json] = []
        else:
            known = frozenset(it.account for it in places if it.target.provider == here)
            own = await lists.own(call, _until(every[::-1] if back else every, page), place, known, page.most + 1)
            if seeks:  # this is the last page of the place
                follows = Cursor(codec.paging.back, every[0]["id"]) if every and cursor.name else None
                seeks = False
            if follows is None and back and at:
                at, follows, seeks = at - 1, Cursor(), True
            elif follows is None and not back and at + 1 < len(places):
                at, follows = at + 1, Cursor()
            if any(one["id"] == page.until for one in every):
                follows = None
        if own or follows is None or not left:
            kept = own[: page.most][::-1] if back else own[: page.most]
            more = len(own) > page.most or follows is not None
            if follows is None or not ("next_page" in said or not own):
                return _Found(kept, said, more, "", back)
            on = Cursor(_LAST + follows.name, follows.value) if seeks else follows
            return _Found(kept, said, more, lists.token(call, on, places[at]), back)
        cursor = follows
    raise AssertionError("the last page ends the loop")


async def _gathered(
    forward: Forward, lists: Lists, answers: Answers, call: Call, codec: Listed, about: Reference, page: Page
) -> _Found:
    """The next entries of the team, from as many pages as they stand on. Raises Refusal, StoreUnavailable.

    For lists with tokens alone, whose clients stop at an empty page. The cursor of the caller is a page of the provider
    and the last entry of the page that the caller has; if that was deleted, the page is read from its beginning.
    """
    places, kept = forward.places(call.admission.targets), list[Json]()
    at = _start(places, about, page)
    after, _, token = page.cursor.value.partition(" ")
    name = codec.paging.cursors[0]
    cursor, on, said = Cursor(name, token) if token else Cursor(), (page.cursor, places[at]), dict[str, Any]()
    for _ in range(_PAGES):
        place = places[at]
        said = await _page(forward, answers, call, place, about._replace(query=codec.query(page, cursor)))
        every = codec.entries(said)
        read = next((number for number, one in enumerate(every, 1) if one["id"] == after), 0)
        known = frozenset(it.account for it in places if it.target.provider == place.target.provider)
        for own in await lists.own(call, every[read:], place, known, page.most + 1 - len(kept)):
            if len(kept) == page.most:
                return _Found(kept, said, True, lists.token(call, *on), False)
            kept.append(own)
            on = Cursor(name, f"{own['id']} {cursor.value}"), place
        follows = codec.next(said, every, False)
        if follows is None or follows == cursor:
            if at + 1 == len(places):
                return _Found(kept, said, False, "", False)
            at, follows = at + 1, Cursor()
        cursor, after = follows, ""
    return _Found(kept, said, True, lists.token(call, Cursor(name, f" {cursor.value}"), places[at]), False)


def _until(entries: list[Json], page: Page) -> list[Json]:
    """The entries up to that before which the list ends."""
    ends = next((at for at, one in enumerate(entries) if page.until and one["id"] == page.until), len(entries))
    return entries[:ends]


def _start(places: list[Place], about: Reference, page: Page) -> int:
    """The index of the place of the first page. Raises Refusal(invalid_request) if the cursor's is gone."""
    if about.at is None:
        return 0
    here = [at for at, one in enumerate(places) if one.target.provider == about.at.target.provider]
    if not here:
        words = f"`{page.cursor.name}` names an entry at a provider that this list no longer covers. Begin again."
        raise Refusal("invalid_request", words, param=page.cursor.name, status=404)
    return next((at for at in here if places[at].account == about.at.account), here[0])


async def _page(forward: Forward, answers: Answers, call: Call, place: Place, about: Reference) -> Json:
    """A page of a provider. Raises Refusal."""
    call.reference, call.admission.account = about, place.account
    answer, parts, size = await forward.open(call, [place.target]), list[bytes](), 0
    finished = False
    try:
        parts.append(answer.start)
        async for data in answer.chunks:
            size += len(data)
            if size > call.codec.max_answer:
                raise garbage(call, f"more than {call.codec.max_answer} bytes")
            call.ticket.hold(len(data))
            parts.append(data)
        finished = True
    finally:
        answer.close(finished)
    call.budget.extend(size)
    return await judge(call, size > NEW_TEXT, _read, answers, call, b"".join(parts))


def _read(answers: Answers, call: Call, raw: bytes) -> Json:
    """A page as an object. Raises Refusal."""
    try:
        body, _ = loaded(raw, answers.caps)
        call.codec.check(body, 1)
    except TooMuch as fault:
        raise garbage(call, str(fault)) from None
    except ValueError:
        raise garbage(call, f"something that is not {call.codec.noun}") from None
    return body
