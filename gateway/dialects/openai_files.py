"""Files and batches of OpenAI (OpenAI API reference: files, batches), passed through; each has an owner.

The requests in a batch file are for one model, and the upload is a call of this model; any other file is a call of the
model that is called like the path. A batch is a call of the model of its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import NO_VALUES, Intent, checks, hosted, openai_models, openai_tools, states
from gateway.dialects.field_table import table
from gateway.dialects.openai_media import FILE
from gateway.dialects.openai_tables import SHAPE
from gateway.dialects.parts import Joined, joined
from gateway.dialects.passed import Batch, Passed, Proof, prompted
from gateway.dialects.responses_tables import SHAPE as RESPONSES
from gateway.texts import Slot

_JOINED: Final = ("content", "output", "summary")
_CONTENT: Final = frozenset({"input", "instructions", "prompt", "text"})


class Files(Passed):
    """The codec of `/v1/files`."""

    shape = replace(
        Passed.shape,
        within=(Passed.shape.within | SHAPE.within | RESPONSES.within | {"lines", "body"}),
        opaque=Passed.shape.opaque | {"method", "custom_id", "role", "tool_call_id", "call_id"},
        blobs=frozenset({"image_url", "input_audio"}),
    )

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The path as a model; of requests for a batch, their model and tools. Raises Refusal(invalid_request)."""
        intent = super().parse(body, values)
        file = body.get("file")
        if type(file) is not dict or "filename" not in file:
            raise checks.wrong("file", "must be a file: send a form (multipart/form-data)")
        if body.get("purpose") != "batch":
            return intent
        if type(file.get("lines")) is not list:
            words = "must be JSON lines for the purpose `batch`, each an object that says no key twice"
            raise checks.wrong("file", words)
        model = prompted(file["lines"], _body, "file")
        bodies = [{"messages": [], **_settings(line["body"])} for line in file["lines"]]
        for one in bodies:
            states.check(one)
        tools = dict.fromkeys(name for one in bodies for name in openai_tools.names(one))
        return intent._replace(model=model, tools=tuple(tools))

    def hosted(self, body: Json) -> list[Json]:
        """The tools of requests for a batch that the provider runs."""
        file = body.get("file")
        lines = file.get("lines") if type(file) is dict and body.get("purpose") == "batch" else None
        bodies = [{"messages": [], **_settings(line["body"])} for line in lines or ()]
        return [tool for one in bodies for tool in hosted.of(one)]

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream in the requests for a batch."""
        if body.get("purpose") != "batch":
            return False
        for line in body["file"]["lines"]:
            openai_models.rename(line["body"], model)
            line["body"]["model"] = model
        return True

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined content parts of each message in the requests for a batch."""
        file = body.get("file")
        lines = file.get("lines") if type(file) is dict else None
        messages: list[Json] = []
        for line in lines if type(lines) is list else ():
            said = line.get("body") if type(line) is dict else None
            listed = [said.get("messages"), said.get("input")] if type(said) is dict else []
            messages += [one for items in listed if type(items) is list for one in items if type(one) is dict]
        held = [{"content": it[key]} for it in messages for key in _JOINED if type(it.get(key)) is list]
        return joined({"messages": held}, slots)

    def usage(self, answer: Json) -> Usage | None:
        """No usage: storing is free of charge."""
        return Usage()


def _body(line: Json) -> Any:
    return line.get("body")


def _settings(body: Json) -> Json:
    return {key: value for key, value in body.items() if key not in _CONTENT}


_FILES: Final = table(
    "purpose",
    file=FILE,
    expires_after=None,
    **{"expires_after[anchor]": None, "expires_after[seconds]": None},
)
_BATCH: Final = table("input_file_id endpoint completion_window", metadata=None, output_expires_after=None)
FILES: Final = Files(
    "openai_files", "a file", "/files", _FILES, needs=["purpose"], names="path", forms=True, stores="file"
)
FILE_PROOF: Final = Proof("openai_file", "a file", "/files", _FILES, names="path", stores="file")
BATCHES: Final = Batch(
    "openai_batches", "a batch", "/batches", _BATCH, needs=["input_file_id"], names="path", stores="batch"
)
