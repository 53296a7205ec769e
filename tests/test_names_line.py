"""Names, places and organizations on the line: masked, restored, scanned once, refused without a result."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import line as lines
import upstream as scripted
from gateway.config.load import loads
from gateway.config.sections import Ner
from gateway.detect.names.pool import Pool, Unread
from gateway.detect.names.windows import SIZE
from gateway.errors import ConfigError, Refusal
from gateway.redaction.names import Names
from gateway.texts import Finding, Slot

BASE = "providers: {d: {format: demo}}\nmodels: {m: {targets: [d/m]}}\npolicy: null\n"


class Workers:
    """In place of the worker processes: finds the word Zibbet, records its requests, and can fail."""

    def __init__(self) -> None:
        self.config = Ner()
        self.asked: list[str] = []
        self.fault = ""
        self.slow: set[str] = set()

    async def find(self, texts: list[str], deadline: float, team: str = "") -> dict[str, list[Finding]]:
        self.asked += texts
        if self.fault:
            raise Unread(self.fault)
        return {text: self._read(text) for text in dict.fromkeys(texts) if text not in self.slow}

    def _read(self, text: str) -> list[Finding]:
        return [Finding(at, at + 6, "PERSON", 0.85) for at in range(len(text)) if text.startswith("Zibbet", at)]


def names(workers: Workers, **fields: Any) -> Names:
    return Names(Ner(**fields), workers)  # type: ignore[arg-type]


def slots(*texts: str) -> list[Slot]:
    return [Slot({}, "content", text, "user", None) for text in texts]


async def test_names_join_what_patterns_found() -> None:
    """In the order of the request, sorted within a text; a text without either is not named."""
    email = Finding(0, 5, "EMAIL", 1.0)
    one, two, three = slots("a@b.c and Zibbet", "plain", "Zibbet")
    found = await names(Workers()).add([one, two, three], [(one, [email])])
    assert [(slot.text, list(findings)) for slot, findings in found] == [
        (one.text, [email, (10, 16, "PERSON", 0.85)]),
        (three.text, [(0, 6, "PERSON", 0.85)]),
    ]


async def test_a_checksum_outranks_a_name() -> None:
    """If two findings overlap, the finding with the higher score wins."""
    (slot,) = slots("Zibbet12 is a code")
    code = Finding(0, 8, "IBAN_CODE", 1.0)
    assert list(await names(Workers()).add([slot], [(slot, [code])])) == [(slot, [code])]


@pytest.mark.parametrize("guard", [Finding(0, 10, "PLACEHOLDER_LIKE", 0.1), Finding(3, 3, "UNSCANNABLE_IMAGE", 0.1)])
async def test_a_name_takes_no_guard_away(guard: Finding) -> None:
    """Look-alikes of placeholders and unreadable data act through their findings: a name over one must not hide it."""
    (slot,) = slots("<Zibbet 1>")
    assert list(await names(Workers()).add([slot], [(slot, [guard])])) == [(slot, [guard])]


async def test_only_new_text_is_asked_about() -> None:
    """A growing conversation costs only its new texts, with and without names."""
    workers = Workers()
    seen = names(workers)
    for turn in range(20):
        history = slots("the system prompt", "of Zibbet", *(f"turn {n} " for n in range(turn)))
        assert len(await seen.add(history, [])) == 1
    assert len(workers.asked) == len(set(workers.asked)) == 21


async def test_what_holds_no_letters_is_not_asked_about() -> None:
    """Numbers and marks have no names."""
    workers = Workers()
    assert await names(workers).add(slots("12345", "!?", "a"), []) == []
    assert workers.asked == []


async def test_a_call_that_could_not_be_read_is_blocked() -> None:
    """By default, for any reason; the message repeats no text, and the next attempt scans again."""
    workers = Workers()
    workers.fault = "a worker of the scanner for names died"
    seen = names(workers)
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await seen.add(slots("of Zibbet"), [])
        assert caught.value.code == "pii_blocked"
        assert "died" in caught.value.message
        assert "Zibbet" not in caught.value.message
    workers.fault = ""
    assert len(await seen.add(slots("of Zibbet"), [])) == 1


async def test_allow_goes_on_with_what_is_known() -> None:
    """Findings of patterns, and of texts that were read in time; the rest is read again."""
    failures: list[int] = []
    workers = Workers()
    workers.slow = {"slow Zibbet"}
    seen = Names(Ner(on_deadline="allow"), workers, lambda: failures.append(1))  # type: ignore[arg-type]
    slow, quick = slots("slow Zibbet", "Zibbet")
    email = Finding(0, 4, "EMAIL", 1.0)
    found = await seen.add([slow, quick], [(slow, [email])])
    assert [(slot.text, list(findings)) for slot, findings in found] == [
        ("slow Zibbet", [email]),
        ("Zibbet", [(0, 6, "PERSON", 0.85)]),
    ]
    assert failures == [1]
    workers.slow.clear()
    found = await seen.add([slow, quick], [])
    assert len(found) == 2
    assert workers.asked == ["slow Zibbet", "Zibbet", "slow Zibbet"]


async def test_a_long_text_is_read_in_pieces_and_goes_on_where_it_ended() -> None:
    """The next try reads only the texts that were not read; names at seams are found whole, once."""
    workers = Workers()
    text = "".join(f"This is Zibbet, number {n}. " for n in range(2000))
    seen = names(workers)
    await names(workers).add(slots(text), [])
    pieces = list(workers.asked)
    assert len(pieces) > 10
    assert max(map(len, pieces)) <= SIZE
    workers.asked.clear()
    workers.slow = set(pieces[-2:])
    with pytest.raises(Refusal):
        await seen.add(slots(text), [])
    workers.asked.clear()
    workers.slow.clear()
    ((_, findings),) = await seen.add(slots(text), [])
    assert workers.asked == pieces[-2:]
    assert [text[f.start : f.end] for f in findings] == ["Zibbet"] * 2000


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[lines.Line]:
    folder = tmp_path_factory.mktemp("names")
    settings = lines.config(folder, up.url, pii={"ner": {"deadline": 30}, "entities": {"LOCATION": "allow"}})
    with lines.running(folder, settings) as running:
        yield running


def test_a_name_is_masked_and_comes_back(line: lines.Line, up: scripted.Upstream) -> None:
    """The provider sees a placeholder, the caller the name; allowed names stay."""
    answer = line.chat("My name is Maria Rossi and I live in Toronto.")
    assert answer.status_code == 200
    sent = up.last.body["messages"][0]["content"]
    assert sent == "My name is <PERSON_1> and I live in Toronto."
    assert "Maria Rossi" in answer.text


def test_no_process_is_left_and_no_spacy_in_the_gateway(line: lines.Line) -> None:
    """The gateway itself stays small: workers are other processes."""
    pool = line.gateway.shared.ner
    assert pool is not None
    assert pool.pids
    assert os.getpid() not in pool.pids


def test_a_dead_worker_blocks_and_the_next_call_is_served(line: lines.Line) -> None:
    """Fails closed, then continues."""
    pool = line.gateway.shared.ner
    assert pool is not None
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    call = asyncio.run_coroutine_threadsafe(asyncio.to_thread(line.chat, "My name is Paola Bianchi."), line.loop)
    while not pool._jobs:
        os.sched_yield()
    os.kill(pid, signal.SIGKILL)
    answer = call.result()
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "pii_blocked"
    assert "Bianchi" not in answer.text
    assert line.chat("My name is Paola Bianchi.").status_code == 200


def test_reload_takes_the_workers_away(up: scripted.Upstream, tmp_path: Path) -> None:
    """If disabled, the processes end; if enabled again, new processes start."""

    async def apply(text: str) -> None:
        await running.gateway._apply(loads(text, "test").config)

    on = lines.config(tmp_path, up.url, pii={"ner": {}})
    with lines.running(tmp_path, on) as running:
        text = running.path.read_text()
        before = running.gateway.shared.ner
        assert before is not None
        asyncio.run_coroutine_threadsafe(apply(text.replace("ner: {}", "ner: null")), running.loop).result()
        assert running.gateway.shared.ner is None
        assert running.gateway.runtime.line.redact._names is None
        assert not before.pids
        asyncio.run_coroutine_threadsafe(apply(text), running.loop).result()
        after = running.gateway.shared.ner
        assert after is not None
        assert after.pids
    assert not after.pids


def test_a_model_that_is_not_installed_is_an_error_with_its_command() -> None:
    """The message has line, key, and the command to run; no process is started."""
    with pytest.raises(ConfigError) as caught:
        loads(f"{BASE}pii:\n  ner:\n    model: en_nowhere_sm\n", "f.yaml")
    assert "f.yaml:6: pii.ner.model: en_nowhere_sm is not installed: run python -m spacy download en_nowhere_sm" in str(
        caught.value
    )


def test_entities_of_ner_need_ner() -> None:
    """An action for names without `pii.ner` is a mistake, not ignored."""
    with pytest.raises(ConfigError, match=r"pii\.entities\.person is found by pii\.ner only"):
        loads(f"{BASE}pii: {{entities: {{person: block}}}}", "f.yaml")
    config = loads(f"{BASE}pii: {{entities: {{person: block}}, ner: {{}}}}", "f.yaml").config
    assert config.pii is not None
    assert config.pii.entities == {"PERSON": "block"}


async def test_the_pool_is_asked_through_names() -> None:
    """The real thing, without a server in between."""
    pool = await Pool(Ner(deadline=30)).open()
    try:
        found = await Names(pool.config, pool).add(slots("Dear Maria Rossi,", "nothing"), [])
    finally:
        await pool.close()
    assert [f.entity for _, findings in found for f in findings] == ["PERSON"]
