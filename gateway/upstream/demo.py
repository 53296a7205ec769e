"""The `demo` provider: a model that answers in-process, so that the gateway can be tried without a key or a network.

The model repeats what it received, streams word by word, and calls the first tool offered if the prompt asks for a
call ("call"). The repeated text is what a real provider would have received: masked and redacted values are
placeholders, until the gateway restores those that may be restored. The codec writes the answer (`Codec.demo`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

from gateway.call import Json
from gateway.dialects import Codec

_WORDS = re.compile(r"\s*\S+|\s+$")


def whole(codec: Codec, body: Json) -> bytes:
    """A whole answer in the dialect of `codec`, as JSON."""
    return orjson.dumps(codec.demo(body))


def streamed(codec: Codec, body: Json) -> Iterator[bytes]:
    """The same answer as server-sent events, one word in each."""
    return codec.unfold(codec.demo(body), _WORDS.findall)
