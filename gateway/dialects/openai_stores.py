"""Vector stores and containers of OpenAI (OpenAI API reference: vector_stores, containers), passed through.

Each has an owner, and what is in a store or container belongs to the same team: files, batches of files, results of a
search. A request that makes a store or container is a call of the model that is called like the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.bodies import Json, State, Usage
from gateway.dialects import hosted, hosted_runs
from gateway.dialects.checks import text
from gateway.dialects.field_table import table
from gateway.dialects.openai_media import FILE
from gateway.dialects.passed import Passed, Proof
from gateway.dialects.responses_items import ID

_SHAPE: Final = replace(
    Passed.shape,
    opaque=Passed.shape.opaque
    | frozenset({"file_ids", "vector_store_id", "container_id", "skill_id", "anchor", "memory_limit", "ranker"}),
    within=Passed.shape.within
    | frozenset({"chunking_strategy", "static", "ranking_options", "filters", "files", "skills", "network_policy"}),
)
_RUNTIME: Final = "code_interpreter"
"""The tool that a container is made for, as policies know it."""


class _Stored(Passed):
    shape = _SHAPE
    cites: tuple[bytes, ...] = (b"file_id", b'"voice"', b"vector_store", b"container")


class Stores(_Stored):
    """The codec of `/v1/vector_stores`."""

    def usage(self, answer: Json) -> Usage | None:
        """No usage: the answer does not report what storing costs."""
        return Usage()


class Containers(_Stored):
    """The codec of `/v1/containers`: a container is charged as one in which the code of an answer ran."""

    marker = b"container"

    def hosted(self, body: Json) -> list[Json]:
        """What code in the container may reach."""
        return hosted.shown(hosted.run(_RUNTIME, {key: value for key, value in body.items() if key != "name"}))

    def usage(self, answer: Json) -> Usage | None:
        """One session of a container of this size."""
        return Usage(runs=hosted_runs.of_container(answer))

    def makes(self, answer: Json) -> Sequence[tuple[str, str]]:
        """The container."""
        id = text(answer.get("id"))
        return [(hosted_runs.CONTAINER, id)] if ID.fullmatch(id) else []


class Within(_Stored, Proof):
    """The codec of one store or container, and of what is in it. No part has an owner of its own.

    Placeholders in a vector store stay: its files come from any workflow.
    """

    def __init__(
        self, name: str, noun: str, of: Passed, *, needs: Sequence[str] = (), forms: bool = False, adds: bool = False
    ) -> None:
        super().__init__(name, noun, of.path, of.fields, needs=needs, names="path", forms=forms, stores=of.stores)
        self.restores = of.stores != "vector_store"
        self._adds = adds

    def state(self, answer: Json) -> State | None:
        """A state without an id if the request adds something, whose labels the store or container then has, too."""
        return State("", ()) if self._adds else None

    def usage(self, answer: Json) -> Usage | None:
        """No usage."""
        return None


_SETTINGS: Final = "name description file_ids file_id"
_STORE: Final = table(
    f"{_SETTINGS} query max_num_results rewrite_query",
    **dict.fromkeys(("files", "expires_after", "metadata", "chunking_strategy", "attributes")),
    **dict.fromkeys(("filters", "ranking_options")),
)
_CONTAINER: Final = table(
    f"{_SETTINGS} memory_limit", file=FILE, **dict.fromkeys(("skills", "network_policy", "expires_after"))
)
STORES: Final = Stores(
    "openai_vector_stores", "a vector store", "/vector_stores", _STORE, names="path", stores="vector_store"
)
STORE: Final = Within("openai_vector_store", "a vector store", STORES)
STORE_FILES: Final = Within("openai_store_files", "a file of a vector store", STORES, adds=True)
SEARCH: Final = Within("openai_store_search", "results of a search", STORES, needs=["query"])
CONTAINERS: Final = Containers(
    "openai_containers", "a container", "/containers", _CONTAINER, needs=["name"], names="path", stores="container"
)
CONTAINER: Final = Within("openai_container", "a container", CONTAINERS)
CONTAINER_FILES: Final = Within("openai_container_files", "a file of a container", CONTAINERS, forms=True)
