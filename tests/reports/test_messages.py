"""Messages: the first event of a block, signatures, results of new types, and names of betas."""

from __future__ import annotations

import base64
import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from formats.wires import Messages, datas
from gateway.call import Redaction
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects import Codec, tree
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.screen import AnswerFilter, Screen

CARD, KEY, MAIL = "4539148803436467", "AKIAQ3EGRWX7NFLT2ZPD", "zed.newman@other-mail.org"
WIRE = Messages()


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """A scanner with the rules for answers."""
    return StreamScanner(pii, SecretScanner(), {})


def judge_of(scanner: StreamScanner) -> AnswerFilter:
    """The filter of one answer; findings are redacted where possible."""
    call = calls.call(ANTHROPIC_MESSAGES, redaction=Redaction())
    call.request.body = WIRE.request(("user", "hi"), tools=[{"name": "send", "input_schema": {}}])
    return Screen(Output.model_validate({"secrets": "redact"}), scanner, lambda _: False).filter(call)


def streamed(scanner: StreamScanner, blocks: list[bytes]) -> bytes:
    """The part of a stream with these blocks that leaves."""
    made, stream = judge_of(scanner), ANTHROPIC_MESSAGES.stream()
    out: list[bytes] = []
    for event in WIRE.message(blocks):
        for chunk in stream.feed(event):
            out += made.feed(chunk, stream)
    return b"".join([*out, *made.close(stream)])


def texts(data: bytes) -> str:
    """All strings of the events of a stream, joined."""
    said: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner)
        elif isinstance(value, str):
            said.append(value)

    for line in data.decode().splitlines():
        if line.startswith("data: "):
            walk(json.loads(line[6:]))
    return "".join(said)


@pytest.mark.parametrize("value", [CARD, KEY, MAIL])
@pytest.mark.parametrize("later", ["", "{}", '{"q": "nothing"}', " "])
@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use"])
def test_arguments_in_the_first_event_of_a_tool_call(scanner: StreamScanner, value: str, later: str, kind: str) -> None:
    """Judged if clients read them; not sent if the following pieces replace them."""
    block = {"type": kind, "id": "toolu_a", "name": "send", "input": {"q": f"pay {value} now"}}
    deltas = [{"type": "input_json_delta", "partial_json": later}] if later else []
    said = texts(streamed(scanner, WIRE.block(0, block, deltas)))
    assert value not in said
    assert ("nothing" in said) == ("nothing" in later)


@pytest.mark.parametrize("value", [CARD, KEY, MAIL])
def test_text_that_begins_with_the_message(scanner: StreamScanner, value: str) -> None:
    """Blocks in `message_start` and those that follow are one text, wherever it is cut."""
    for cut in range(1, len(value)):
        made, stream = judge_of(scanner), ANTHROPIC_MESSAGES.stream()
        events = WIRE.message(
            WIRE.block(1, {"type": "text", "text": ""}, [{"type": "text_delta", "text": f"{value[cut:]} now"}])
        )
        first = json.dumps([{"type": "text", "text": f"pay {value[:cut]}"}]).encode()
        events[0] = events[0].replace(b'"content": []', b'"content": ' + first)
        out: list[bytes] = []
        for chunk in itertools.chain.from_iterable(map(stream.feed, events)):
            out += made.feed(chunk, stream)
        assert value not in texts(b"".join(out))


def encoded(text: str) -> str:
    """A text in base64."""
    return base64.b64encode(text.encode()).decode()


NO_SEALS = {
    "a text in base64": encoded(f"the card of the customer is {CARD}, thank you"),
    "a text in base64, twice": encoded(encoded(f"the card of the customer is {CARD}")),
    "a text in hexadecimal": f"the card of the customer is {CARD}".encode().hex(),
    "digits between letters": f"EqQBCkYIAxgCKkAx/{CARD}/AAAABBBBCCCCDDDD",
    "digits in groups": "EqQBCkYIAxgCKkAx+4539/1488/0343/6467+AAAABBBBCCCCDDDD",
    "an IBAN": "EqQBCkYIAxgCKkAx/DE89370400440532013000/AAAABBBB",
    "a key": f"EqQBCkYIAxgCKkAx/{KEY}/AAAABBBBCCCC",
}
SIGNED: list[tuple[str, dict[str, Any]]] = [
    ("signature", {"type": "thinking", "thinking": "a"}),
    ("data", {"type": "redacted_thinking"}),
    ("signature", {"type": "compaction", "content": "a"}),
]


@pytest.mark.parametrize("how", NO_SEALS)
@pytest.mark.parametrize(("key", "block"), SIGNED, ids=lambda it: it if isinstance(it, str) else it["type"])
def test_what_can_be_read_is_no_seal(scanner: StreamScanner, how: str, key: str, block: dict[str, Any]) -> None:
    """In a request the text is judged; an answer with such a text is blocked, whole and streamed, in any pieces."""
    seal = NO_SEALS[how]
    body = WIRE.request(("user", "hi"))
    body["messages"].append({"role": "assistant", "content": [{**block, key: seal}]})
    assert seal in [slot.text for slot in tree.parse(json.dumps(body).encode(), ANTHROPIC_MESSAGES.shape, 64)[1].slots]
    answer = WIRE.whole("hi")
    answer["content"] = [{**block, key: seal}]
    with pytest.raises(Refusal, match="signed"):
        judge_of(scanner).whole(answer)
    with pytest.raises(Refusal, match="signed"):
        streamed(scanner, WIRE.block(0, {**block, key: seal}, []))
    if key == "signature":
        half = max(40, len(seal) - 8)
        deltas = [{"type": "signature_delta", key: piece} for piece in (seal[:half], seal[half:]) if piece]
        with pytest.raises(Refusal, match="signed"):
            streamed(scanner, WIRE.block(0, {**block, key: ""}, deltas))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(24, 3000))
def test_what_is_sealed_passes(seed: int, size: int) -> None:
    """Random bytes in base64 are not text."""
    assert tree.is_seal("signature", base64.b64encode(random.Random(seed).randbytes(size)).decode())


@pytest.mark.parametrize(
    "kind", ["tool_result", "foo_tool_result", "mcp_search_result", "advisor_tool_result", "web_fetch_tool_result"]
)
@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("codec", [ANTHROPIC_MESSAGES, OPENAI_CHAT])
def test_results_of_any_type_are_a_tools(codec: Codec, kind: str, role: str) -> None:
    """In messages of any author."""
    body = WIRE.request(("user", "hi"))
    block = {"type": kind, "tool_use_id": "t", "content": [{"type": "text", "text": "do as I say"}]}
    body["messages"].append({"role": role, "content": [block]})
    slots = tree.parse(json.dumps(body).encode(), codec.shape, 64)[1].slots
    assert [slot.role for slot in slots if slot.text == "do as I say"] == ["tool"]


BETA = ANTHROPIC_MESSAGES.passes[b"anthropic-beta"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "context-1m-2025-08-07",
            "claude-code-20250219",
            "max-tokens-3-5-sonnet-2024-07-15",
            "output-128k-2025-02-19",
        ),
        *("token-efficient-tools-2025-02-19", "pdfs-2024-09-25", "fine-grained-tool-streaming-2025-05-14"),
        *("computer-use-2025-11-24, files-api-2025-04-14", "mcp-client-2025-11-20,skills-2025-10-02"),
    ],
)
def test_names_of_betas_pass(name: str) -> None:
    """Names with a version, and several names in one header."""
    assert BETA.fullmatch(name.encode())


@pytest.mark.parametrize(
    "name",
    [
        *(f"context-{CARD}-2025-08-07", "beta-4539-1488-0343-6467-2025-01-01", "x-219-09-9999-2025-01-01", "a-2025"),
        *("beta-1a2b3c4d5e6f7-2025-01-01", f"{'a' * 40}-2025-01-01", "ab-c.d-2025-01-01", "context-1m-2025-08-07;x"),
    ],
)
def test_numbers_are_no_names_of_betas(name: str) -> None:
    """With any grouping."""
    assert not BETA.fullmatch(name.encode())


PLACES = [
    (value, cut)
    for value in (CARD, KEY, MAIL, "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")
    for cut in range(len(value) + 1)
]


def block(index: int, text: str, size: int) -> list[bytes]:
    """The events of a block of text in pieces."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return WIRE.block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": it} for it in pieces])


@pytest.mark.parametrize(("value", "cut"), PLACES)
@pytest.mark.parametrize(("before", "after"), [("pay ", " now"), ("", ""), ("key: ", ".")])
def test_a_value_over_two_blocks(scanner: StreamScanner, value: str, cut: int, before: str, after: str) -> None:
    """With any cut between two blocks, and with an unrelated block between them."""
    for size in (1, 100):
        blocks = block(0, before + value[:cut], size) + block(1, value[cut:] + after, size)
        said = streamed(scanner, blocks)
        assert value not in WIRE.listen(said).text
        thinking = WIRE.block(1, {"type": "thinking", "thinking": "hm", "signature": ""}, [])
        said = streamed(scanner, block(0, before + value[:cut], size) + thinking + block(2, value[cut:] + after, size))
        assert value not in "".join(
            it["delta"].get("text", "") for it in datas(said) if it["type"] == "content_block_delta"
        )


@settings(max_examples=examples(100, 2000), deadline=None)
@given(data=st.data())
def test_blocks_of_a_stream_are_judged_as_a_whole_answer_is(scanner: StreamScanner, data: st.DataObject) -> None:
    """No value in one block or across several blocks leaves; texts without a value keep each character."""
    halves = [f"pay {CARD[:9]}", f"{CARD[9:]} now", f"to {MAIL[:14]}", f"{MAIL[14:]} or"]
    words = st.sampled_from(["the", "order", "7", ".", "went out", "\n", CARD, MAIL, *halves])
    parts = data.draw(st.lists(st.lists(words, max_size=4).map(" ".join), min_size=1, max_size=4))
    size = data.draw(st.integers(1, 30))
    answer = {**WIRE.whole(""), "content": [{"type": "text", "text": part} for part in parts]}
    judge_of(scanner).whole(answer)
    blocks = [event for at, part in enumerate(parts) for event in block(at, part, size)]
    said = WIRE.listen(streamed(scanner, blocks)).text
    whole = "".join(one["text"] for one in answer["content"])
    for value in (CARD, MAIL):
        assert value not in said
        assert value not in whole
    if not scanner.scan("".join(parts)) and not any(map(scanner.scan, parts)):
        assert said == whole == "".join(parts)
