"""Requests to HTTP servers, and their whole answers, read within a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.errors import Refusal
from gateway.upstream.client import Client, Destination, Response


class Broken(Protocol):
    """Makes the refusal for a server that does not answer as it should; `what` completes the sentence.

    `late`: no answer came in time. `down`: no answer came for another reason.
    """

    def __call__(self, what: str, /, *, late: bool = False, down: bool = False) -> Refusal: ...


async def begun(client: Client, to: Destination, body: bytes, broken: Broken) -> Response:
    """Send a request; returns the answer once its head is there. Raises what `broken` makes."""
    try:
        return await client.post(to, body)
    except TimeoutError:
        raise broken("did not answer in time", late=True) from None
    except OSError as fault:
        raise broken(f"could not be reached ({type(fault).__name__})", down=True) from None


async def received(response: Response, most: int, hold: Callable[[int], None], broken: Broken) -> bytes:
    """The body of an answer, whose connection is released, or closed if the body was not read to its end.

    `hold` is called with the size of each piece before it is kept, and may raise Refusal. Raises what `broken` makes.
    """
    parts, size, finished = list[bytes](), 0, False
    try:
        async for data in response.chunks():
            size += len(data)
            if size > most:
                raise broken(f"answered with more than {most} bytes")
            hold(len(data))
            parts.append(data)
        finished = True
        return b"".join(parts)
    except TimeoutError:
        raise broken("fell silent in the middle of its answer", late=True) from None
    except OSError as fault:
        raise broken(f"broke off its answer ({type(fault).__name__})", down=True) from None
    finally:
        if finished:
            response.release()
        else:
            response.close()
