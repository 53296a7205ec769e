"""Lists of what a provider stores (OpenAI API reference: files, batches, vector_stores, containers;
Anthropic: files, messages/batches; Gemini: files).

A provider lists the states of all teams. The gateway asks for pages, and passes on the entries of the caller's team. A
page follows a cursor: an entry (`after`, `after_id`), or a token of the provider (`page`, `pageToken`); or it ends
before one (`before`, `before_id`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from gateway.bodies import Cursor, Json, Page
from gateway.dialects import checks
from gateway.dialects.anthropic_batches import ANTHROPIC_FILE, MESSAGE_BATCH, AnthropicProof
from gateway.dialects.gemini_files import FILE_OF_GEMINI, NAME, GeminiProof
from gateway.dialects.openai_files import BATCHES as ONE_BATCH
from gateway.dialects.openai_files import FILE_PROOF
from gateway.dialects.openai_stores import CONTAINERS as ONE_CONTAINER
from gateway.dialects.openai_stores import STORES as ONE_STORE
from gateway.dialects.passed import Passed, Proof

_OPAQUE: Final = "page"
TOKENS: Final = frozenset({_OPAQUE, "pageToken"})
"""The fields of a query with a token, where others have the id of an entry."""
_ENDS: Final = ("first_id", "last_id")
_LARGEST: Final = 16 * 1024 * 1024


class Paging(NamedTuple):
    """The pages of a list. `cursors`: the fields of a query with a cursor, the usual one first; `chosen`: others.

    `back`: the field with a cursor before which a page ends, "" for none. `usual`, `most`: entries of a page. `size`:
    entries that the provider is asked for, 0 for as many as the caller asks for. `limit`: the field with that number.
    """

    cursors: tuple[str, ...]
    back: str = ""
    chosen: frozenset[str] = frozenset()
    usual: int = 20
    most: int = 100
    size: int = 100
    limit: str = "limit"


class Listed(Proof):
    """The codec of a list."""

    max_answer = _LARGEST
    paging: Paging
    gathers = False
    """Whether a page has the entries of several pages of the provider, because clients stop at an empty page."""

    def query(self, page: Page, cursor: Cursor) -> str:
        """The query of a page at the provider."""
        fields = [*page.rest, (self.paging.limit, str(self.paging.size or page.most))]
        return urlencode([*fields, (cursor.name, cursor.value)] if cursor.name else fields)

    def entries(self, answer: Json) -> list[Json]:
        """The entries of a page. Raises ValueError if the answer is no page."""
        said = answer.get("data")
        if type(said) is not list or not all(type(one) is dict and type(one.get("id")) is str for one in said):
            raise ValueError("it is no list of objects with ids")
        return said

    def next(self, answer: Json, entries: Sequence[Json], back: bool) -> Cursor | None:
        """The cursor of the page that follows at the provider; None if there is none. `back`: of that before it."""
        if token := checks.text(answer.get("next_page")):
            return Cursor(_OPAQUE, token)
        if answer.get("has_more") is not True or not entries:
            return None
        if back:
            return Cursor(self.paging.back, entries[0]["id"])
        by = next(name for name in self.paging.cursors if name != _OPAQUE)
        return Cursor(by, entries[-1]["id"])

    def shown(self, answer: Json, entries: list[Json], more: bool, token: str, back: bool) -> Json:
        """The page that the caller gets. `token`: the cursor of the next page where no entry can be one, or ""."""
        made: dict[str, Any] = {name: answer[name] for name in ("object",) if name in answer}
        made["data"] = entries
        if "next_page" in answer:
            return {**made, "next_page": token or None}
        ends = [entries[0]["id"], entries[-1]["id"]] if entries else [None, None]
        if token:
            ends[0 if back else 1] = token
        return {**made, "has_more": more, **dict(zip(_ENDS, ends, strict=True))}

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a page."""
        self.entries(answer)


class OpenAIFiles(Listed):
    """The codec of `GET /v1/files`."""

    paging = Paging(("after",), chosen=frozenset({"purpose", "order"}), usual=10_000, most=10_000, size=1000)


class OpenAIBatches(Listed):
    """The codec of `GET /v1/batches`."""

    paging = Paging(("after",))


class VectorStores(Listed):
    """The codec of `GET /v1/vector_stores`."""

    paging = Paging(("after",), "before", frozenset({"order"}))


class OpenAIContainers(Listed):
    """The codec of `GET /v1/containers`."""

    paging = Paging(("after",), chosen=frozenset({"order", "name"}))


class _Anthropic(AnthropicProof, Listed):
    check = Listed.check
    max_answer = _LARGEST


class MessageBatches(_Anthropic):
    """The codec of `GET /v1/messages/batches`."""

    paging = Paging(("after_id",), "before_id", most=1000, size=1000)


class AnthropicFiles(_Anthropic):
    """The codec of `GET /v1/files` for Anthropic's clients: newer versions of the API have tokens, older ones ids."""

    paging = Paging((_OPAQUE, "after_id"), "before_id", frozenset({"scope_id"}), most=1000, size=0)


class GeminiFiles(GeminiProof, Listed):
    """The codec of `GET /v1beta/files`. An entry has a name, `files/x`, in place of an id."""

    check = Listed.check
    max_answer = _LARGEST
    paging = Paging(("pageToken",), usual=10, limit="pageSize")
    gathers = True

    def entries(self, answer: Json) -> list[Json]:
        """The entries of a page, each with its id. Raises ValueError if the answer is no page."""
        said = answer.get("files", [])
        if type(said) is not list or not all(type(one) is dict for one in said):
            raise ValueError("it is no list of files")
        named = [(one, NAME.fullmatch(checks.text(one.get("name")))) for one in said]
        return [{**one, "id": name[1]} for one, name in named if name is not None]

    def next(self, answer: Json, entries: Sequence[Json], back: bool) -> Cursor | None:
        """The token of the page that follows."""
        token = checks.text(answer.get("nextPageToken"))
        return Cursor("pageToken", token) if token else None

    def shown(self, answer: Json, entries: list[Json], more: bool, token: str, back: bool) -> Json:
        """The page that the caller gets."""
        files = [{key: value for key, value in one.items() if key != "id"} for one in entries]
        return {"files": files, **({"nextPageToken": token} if token else {})}


def _made(listed: type[Listed], name: str, of: Passed) -> Listed:
    """The codec of the list of the states that `of` is the codec of."""
    noun = f"a list of {of.stores.replace('_', ' ')}{'es' if of.stores.endswith('ch') else 's'}"
    return listed(name, noun, of.path, of.fields, names="path", stores=of.stores)


FILES: Final = _made(OpenAIFiles, "openai_files_list", FILE_PROOF)
BATCHES: Final = _made(OpenAIBatches, "openai_batches_list", ONE_BATCH)
VECTOR_STORES: Final = _made(VectorStores, "openai_vector_stores_list", ONE_STORE)
CONTAINERS: Final = _made(OpenAIContainers, "openai_containers_list", ONE_CONTAINER)
MESSAGE_BATCHES: Final = _made(MessageBatches, "anthropic_batches_list", MESSAGE_BATCH)
GEMINI_FILES: Final = _made(GeminiFiles, "gemini_files_list", FILE_OF_GEMINI)
ANTHROPIC_FILES: Final = _made(AnthropicFiles, "anthropic_files_list", ANTHROPIC_FILE)
