"""The `demo` provider: a model that answers in-process, so that the gateway can be tried with no key and no network.

It repeats what it received, streams word by word, and calls the first tool it is offered when asked to ("call").
Whatever it repeats is what a real provider would have seen: masked and redacted values show as their placeholders
until the gateway restores those it may restore. What it says in a dialect is the codec's part (`demo`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

from gateway.call import Json
from gateway.dialects import Codec

_WORDS = re.compile(r"\s*\S+|\s+$")


def whole(codec: Codec, body: Json) -> bytes:
    """A whole answer."""
    return orjson.dumps(codec.demo(body))


def streamed(codec: Codec, body: Json) -> Iterator[bytes]:
    """The same answer as server-sent events, a word each."""
    return codec.unfold(codec.demo(body), _WORDS.findall)
