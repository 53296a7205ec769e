"""The common part of the engines in this process: inputs are reduced to what a bundle reads, and verdicts are kept.

The engine gets only the part of the input that its bundle reads, so a verdict cannot depend on anything else.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.call import Json
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.memo import Projection
from gateway.policy.engines.outline import Path
from gateway.policy.engines.read_sets import ReadSets, sort


class Memoized:
    """An engine whose subclass implements `_judge`.

    `inputs`: the paths of the input that the bundle reads. `volatile`: verdicts depend on more than the input, so they
    are not kept.
    """

    def __init__(self, inputs: Iterable[Path], *, volatile: bool, sets_labels: bool) -> None:
        self._inputs = frozenset(inputs)
        self._projection = Projection(self._inputs)
        self._memo = None if volatile else ReadSets()
        self.reads_history = self._projection.reads("context", "history")
        self.sets_labels = sets_labels

    @property
    def memoized(self) -> bool:
        """Whether inputs are judged only once that are equal in what the verdict depends on."""
        return self._memo is not None

    async def open(self) -> None:
        """No effect: the bundle is compiled already."""

    async def decide(self, document: Json) -> Json:
        """`data.gateway.decision`; the same object for all equal verdicts."""
        memo = self._memo
        of = sort(document)  # another thread may judge: nothing of the document is read after that
        try:
            if memo is not None and (found := memo.get(of, document)) is not None:
                return found
            part = self._projection.key(document)
        except (TypeError, ValueError, RecursionError) as error:
            raise PolicyUnavailable(f"the input is not JSON: {error}") from None
        result, read = await self._judge(document, part)
        return result if memo is None else memo.put(of, self._projection.part(part), read, result)

    async def ping(self) -> None:
        """No effect: the engine is always ready."""

    async def _judge(self, document: Json, key: bytes) -> tuple[Json, Iterable[Path]]:
        """The verdict on the part of a document that `key` represents, and what of `inputs` it depends on.

        Raises PolicyUnavailable.
        """
        raise NotImplementedError
