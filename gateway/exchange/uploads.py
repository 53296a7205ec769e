"""Answers to the calls of an upload in several calls (Gemini's resumable protocol).

Nothing of an answer before the last is passed on, but what the protocol needs. The last has the file, and is judged.
"""

from __future__ import annotations

from typing import Final

from gateway.call import Call, Screening, Usage
from gateway.dialects.gemini_files import COMMAND, STATUS, UPLOAD, URL
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import garbage
from gateway.exchange.passed import passed
from gateway.ingress.reply import Reply
from gateway.upstream.answer import Answer

_GRAIN: Final = "x-goog-upload-chunk-granularity"
_MOST: Final = 64 * 1024  # bytes of an answer that nobody reads
_AGAIN: Final = (408, 429)


async def uploaded(answers: Answers, call: Call, answer: Answer, reply: Reply) -> None:
    """Send the answer to a call of an upload. Raises Refusal."""
    command = call.values[COMMAND]
    status = _header(answer, STATUS) or ("" if answer.response is not None else _demo(command))
    if command != "start" and status == "final":
        call.outcome.headers = ((STATUS.encode(), b"final"),)
        await passed(answers, call, answer, reply)
        return
    if status != "active":
        raise garbage(call, "an upload that is neither active nor final")
    size = len(answer.start)
    while not answer.ended and (data := await anext(answer.chunks, None)) is not None:
        size += len(data)
        if size > _MOST:
            raise garbage(call, f"more than {_MOST} bytes")
    call.step("output")
    call.screening, call.outcome.usage = Screening(), Usage()
    headers = [(STATUS.encode(), b"active")]
    if command == "start":
        headers.append((URL.encode(), _url(answers, call, answer).encode("latin-1")))
        grain = _header(answer, _GRAIN)
        if grain.isascii() and grain.isdigit() and len(grain) < 10:
            headers.append((_GRAIN.encode(), grain.encode()))
    await reply.whole(200, b"", headers, kind="")


def final(refusal: Refusal) -> None:
    """Tell the client that a refused upload has ended, unless waiting helps: else, clients send the bytes again."""
    if refusal.status < 500 and refusal.status not in _AGAIN:
        refusal.headers = (*refusal.headers, (STATUS.encode(), b"final"))


def _url(answers: Answers, call: Call, answer: Answer) -> str:
    """The URL of the gateway for the upload. Raises Refusal if the provider gave none."""
    to = _header(answer, URL) or ("" if answer.response is not None else f"{UPLOAD}?upload_id=demo")
    if answers.owners is None or not to:
        raise garbage(call, "no URL for the upload")
    try:
        return answers.owners.uploads.url(call, to)
    except ValueError:
        raise garbage(call, "a URL for the upload that cannot be one") from None


def _header(answer: Answer, name: str) -> str:
    return "".join(answer.response.values(name.encode())[:1]).strip() if answer.response is not None else ""


def _demo(command: str) -> str:
    """The status that the provider `demo` answers with."""
    return "final" if command.endswith("finalize") else "active"
