"""The processes that find names: they answer, die, are replaced, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import ner_model
from gateway.config.sections import Ner
from gateway.detect.names import pool as pools
from gateway.detect.names.pool import Pool, Unread
from gateway.errors import ConfigError

pytestmark = pytest.mark.slow

PATIENCE = 30.0  # seconds, where a test waits for what must come


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ner_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """One worker without a model."""
    opened = await Pool(Ner()).open()
    yield opened
    await opened.close()


def gone(pid: int) -> bool:
    """Whether a process has ended, or is a zombie that its parent has yet to collect."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def wait_for_end(pids: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.02)


async def test_finds_names_without_a_model(pool: Pool) -> None:
    """Cues and lists alone; each text has its own findings, by text."""
    found = await pool.find(["My name is Maria Rossi.", "Nothing here."], PATIENCE)
    assert [(f.start, f.end, f.entity) for f in found["My name is Maria Rossi."]] == [(11, 22, "PERSON")]
    assert found["Nothing here."] == []


async def test_a_model_finds_what_lists_do_not_know(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entities of an installed spaCy package, by our names; types that are not personal data are left out."""
    monkeypatch.syspath_prepend(package)
    opened = await Pool(Ner(model=ner_model.NAME)).open()
    text = f"so {ner_model.PERSON} came to {ner_model.ORGANIZATION} yesterday"
    try:
        found = (await opened.find([text], PATIENCE))[text]
    finally:
        await opened.close()
    assert [(text[f.start : f.end], f.entity) for f in found] == [
        (ner_model.PERSON, "PERSON"),
        (ner_model.ORGANIZATION, "ORGANIZATION"),
    ]


async def test_only_the_wanted_types_are_found() -> None:
    """`entities` narrows the search."""
    text = "My name is Maria Rossi, I live in Toronto."
    opened = await Pool(Ner(entities=("LOCATION",))).open()
    try:
        found = (await opened.find([text], PATIENCE))[text]
    finally:
        await opened.close()
    assert {f.entity for f in found} == {"LOCATION"}


async def test_a_model_that_is_not_there_stops_the_start() -> None:
    """The message names the key, the package and the command."""
    with pytest.raises(ConfigError, match=r"pii\.ner: .*en_none.* python -m spacy download en_none"):
        await Pool(Ner(model="en_none")).open()


async def test_a_worker_that_dies_fails_its_calls_and_is_replaced(pool: Pool) -> None:
    """Waiting calls get an error; the next call is served by another process."""
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    call = asyncio.create_task(pool.find(["Dear Maria,"], PATIENCE))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Unread, match="died"):
        await call
    assert await pool.find(["Dear Maria,"], PATIENCE)
    assert pool.pids
    assert pid not in pool.pids


async def test_a_text_that_two_calls_bring_is_read_once(pool: Pool) -> None:
    """And both get its findings, though the first of them gave up."""
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    first = asyncio.create_task(pool.find(["I am Maria Rossi"], PATIENCE))
    second = asyncio.create_task(pool.find(["I am Maria Rossi"], PATIENCE))
    await asyncio.sleep(0)
    assert len(pool._jobs) == 1
    first.cancel()
    os.kill(pid, signal.SIGCONT)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second)["I am Maria Rossi"]


async def test_a_text_that_two_teams_bring_is_read_for_each(pool: Pool) -> None:
    """Who waits less for it would learn that another team sends it just now."""
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    asked = [asyncio.create_task(pool.find(["I am Maria Rossi"], PATIENCE, team)) for team in ("red", "blue")]
    await asyncio.sleep(0)
    assert len(pool._jobs) == 2
    os.kill(pid, signal.SIGCONT)
    assert all([(await one)["I am Maria Rossi"] for one in asked])


async def test_what_nobody_waits_for_is_not_sent(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled call leaves nothing in the queue."""
    asked: list[list[str]] = []
    sent = asyncio.Event()
    ask = pools._Worker.ask

    async def spy(worker: pools._Worker, texts: list[str]) -> object:
        asked.append(texts)
        sent.set()
        return await ask(worker, texts)

    monkeypatch.setattr(pools._Worker, "ask", spy)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    busy = asyncio.create_task(pool.find(["a busy one"], PATIENCE))
    await sent.wait()
    assert await pool.find(["too late"], 0.01) == {}
    os.kill(pid, signal.SIGCONT)
    await busy
    await pool.find(["afterwards"], PATIENCE)
    assert asked == [["a busy one"], ["afterwards"]]


async def test_a_full_queue_takes_no_more(pool: Pool) -> None:
    """Memory is bounded, and refused texts leave nothing behind."""
    with pytest.raises(Unread, match="more text waits"):
        await pool.find(["x" * pools.WAITING, "one more"], PATIENCE)
    assert await pool.find(["I am Maria Rossi"], PATIENCE)


async def test_many_texts_come_back_in_order(pool: Pool) -> None:
    """Batches hold several texts; each keeps its own findings."""
    texts = [f"{'x ' * (i * 37 % 900)}my name is Maria Rossi" for i in range(100)]
    found = await pool.find(texts, PATIENCE)
    assert [found[text][0].start for text in texts] == [len(text) - 11 for text in texts]


async def test_odd_text_is_read(pool: Pool) -> None:
    """Lone surrogates, nulls, scripts without case, nothing at all."""
    texts = ["\ud800 I am Maria Rossi", "\0\0", "你好", "", "🙂" * 50]
    found = await pool.find(texts, PATIENCE)
    assert [f.start for f in found[texts[0]]] == [7]


async def test_close_ends_every_process_and_every_wait() -> None:
    """No process is left, and no call waits forever."""
    opened = await Pool(Ner(workers=2)).open()
    pids = set(opened.pids)
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    call = asyncio.create_task(opened.find(["Dear Maria,"], PATIENCE))
    await asyncio.sleep(0)
    await opened.close()
    with pytest.raises(Unread):
        await call
    wait_for_end(pids)


async def test_a_retired_pool_ends_with_its_last_call(pool: Pool) -> None:
    """Its processes end; a call that began before is served nevertheless."""
    pids = set(pool.pids)
    await pool.retire()
    wait_for_end(pids)
    assert (await pool.find(["I am Maria Rossi"], PATIENCE))["I am Maria Rossi"]
    assert not pool.pids


def test_workers_end_when_the_gateway_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no orphans: their socket closes."""
    program = tmp_path / "parent.py"
    program.write_text(
        "import asyncio, sys\n"
        "from gateway.detect.names.pool import Pool\n"
        "from gateway.config.sections import Ner\n"
        "async def main():\n"
        "    pool = await Pool(Ner()).open()\n"
        "    print(*pool.pids, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=variables) as parent:
        assert parent.stdout is not None
        pids = set(map(int, parent.stdout.readline().split()))
        assert pids
        parent.kill()
    wait_for_end(pids)


async def test_a_worker_knows_nothing_of_the_gateway(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in its environment, and none of the gateway's large modules."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    opened = await Pool(Ner()).open()
    try:
        assert not any(b"sk-secret" in environment(pid) for pid in opened.pids)
    finally:
        await opened.close()
    heavy = "import gateway.detect.names.worker, sys; print([m for m in sys.modules if m.split('.')[0] in "
    heavy += "('pydantic', 'aiohttp', 'presidio_analyzer', 'hyperscan', 'spacy', 'uvicorn')])"
    with contextlib.chdir(Path(__file__).parent.parent):
        out = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", heavy], text=True)
    assert out.strip() == "[]"
