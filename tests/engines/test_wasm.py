"""The engine that runs OPA's WebAssembly: accepted and refused bundles, and failed evaluations."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from engines import opa_server
from engines.bundles import Write
from engines.rego_expressions import ESCAPED, EXPRESSIONS, PLAIN, UNICODE
from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines import load_engine
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import load
from gateway.policy.engines.compiled import compiled
from gateway.policy.engines.wasm import LARGEST, Wasm
from gateway.policy.sources import unpack
from gateway.policy.sources.folder import fingerprint

GLOBS = 'package gateway\ndecision := {"m": m}\ndefault m := false\nm if glob.match(input.p, null, input.t)'


@pytest.fixture(autouse=True)
def _opa() -> None:
    opa_server.program()


def engine(write: Write, body: str, timeout: float = 30, **files: str) -> Wasm:
    named = {name.replace("_", ".", 1): text for name, text in files.items()}
    return Wasm(compiled(write({"p.rego": f"package gateway\n{body}", **named})), timeout)


def archive(folder: Path, *options: str) -> Path:
    """The output of `opa build` for a folder."""
    target = folder.parent / "bundle.tar.gz"
    command = [opa_server.program(), "build", "-t", "wasm", *options, "-b", str(folder), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target


async def test_every_builtin_of_the_embedded_engine_answers_as_opa_does(write: Write, tmp_path: Path) -> None:
    """Both engines accept the same bundles; only `sprintf` prints a set as a list."""
    rules = [(name, expression) for name, expressions in EXPRESSIONS.items() for expression in expressions]
    module = "package g\n" + "\n".join(f"r{index} := {expression}" for index, (_, expression) in enumerate(rules))
    judge = engine(write, "decision := data.g", g_rego=module)
    wrong = []
    for text in PLAIN + UNICODE + ESCAPED:
        if text in ("$1", "a\x00b", "q\\"):  # as a pattern of glob.match
            continue
        document = {"s": text, "l": ["m", text], "o": {text: 1, "k": [text]}}
        got = await judge.decide(document)
        expected = opa_server.evaluate(tmp_path, module, document)
        for index, (name, expression) in enumerate(rules):
            ours, theirs = got.get(f"r{index}"), expected.get(f"r{index}")
            if name in ("intersection", "object.keys", "union", "walk") and isinstance(ours, list):
                ours, theirs = sorted(ours, key=repr), sorted(theirs, key=repr)
            if ours != theirs and "{1, 2}" not in expression:
                wrong.append((text, expression, ours, theirs))
    assert wrong == []
    await judge.close()


async def test_an_archive_gives_the_same_results(shipped: Path, wasm_engine: Wasm, tmp_path: Path) -> None:
    """Works without the program `opa`; the version is a digest of code and data."""
    folder = tmp_path / "policies"
    shutil.copytree(shipped, folder)
    made = archive(folder, "-e", "gateway/decision")
    judge = load_engine(Policy(path=str(made), engine="wasm", timeout=30))
    document = {"action": {"kind": "llm", "model": "demo"}, "subject": {"roles": ["reader"], "agent": "a"}}
    assert await judge.decide(document) == await wasm_engine.decide(document)
    assert judge.version not in (wasm_engine.version, "")
    unpacked = tmp_path / "unpacked"
    unpack.write(unpack.read(made.read_bytes()), unpacked)
    assert compiled(unpacked).version == judge.version
    assert fingerprint(str(made)) != ()
    assert any("policy.wasm" in name for name, *_ in fingerprint(str(unpacked)))
    await judge.close()


async def test_without_the_sources_all_of_the_input_counts(write: Write) -> None:
    """The fields that compiled code reads are unknown."""
    folder = write({"p.rego": 'package gateway\ndecision := {"x": input.x}'})
    judge = Wasm(compiled(archive(folder, "-e", "gateway/decision")), 30)
    first = await judge.decide({"x": 1, "y": 1})
    assert await judge.decide({"x": 1, "y": 2}) == first
    assert await judge.decide({"x": 1, "y": 1}) is first
    assert len(judge._memo or ()) == 2
    await judge.close()


async def test_the_version_is_that_of_every_engine(shipped: Path, wasm_engine: Wasm) -> None:
    """The version is the digest of the folder."""
    assert wasm_engine.version == load(shipped).version


async def test_a_slow_evaluation_is_ended_and_the_next_one_judged(write: Write) -> None:
    """The loop continues, the call is denied, and the thread is free again."""
    nested = "{ some a in input.l; some b in input.l; some c in input.l; some d in input.l; a + b + c + d == -1 }"
    judge = engine(write, f'decision := {{"n": 1}} if {nested}\nelse := {{"n": 2}}', timeout=0.5)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    slow = [judge.decide({"l": list(range(300 + n))}) for n in range(3)]
    assert all(isinstance(one, PolicyUnavailable) for one in await asyncio.gather(*slow, return_exceptions=True))
    ticking.cancel()
    assert ticks > 10
    result: Any = None
    while result is None:  # until wasmtime has ended those
        with contextlib.suppress(PolicyUnavailable):
            result = await judge.decide({"l": [1]})
    assert result == {"n": 2}
    await judge.close()


@pytest.mark.parametrize(
    ("body", "document", "words"),
    [
        ("decision := {} if input.x", {}, "undefined or not an object"),
        ("decision := 3 if input.x\ndecision := {} if not input.x", {"x": 1}, "undefined or not an object"),
        ("decision := {}\ndecision := input.x if input.x", {"x": {"a": 1}}, "the policy failed"),
        ('decision := {"m": sprintf("%x", [input.x])} if input.x', {"x": 1}, "the policy failed: builtin 'sprintf'"),
        ('decision := {"m": sprintf("%v", [input.x, 1])} if input.x', {"x": 1}, "more values than verbs"),
        ("decision := {} if not input.x == 1", {"x": "a" * LARGEST}, "larger than 1000000 bytes"),
        ("decision := {} if not input.x == 1", {"x": object()}, "not JSON"),
    ],
)
async def test_without_a_verdict_it_says_so(body: str, document: dict[str, Any], words: str, write: Write) -> None:
    """None of these allows, and none is remembered."""
    judge = engine(write, body)
    for _ in range(2):
        with pytest.raises(PolicyUnavailable, match=words):
            await judge.decide(document)
    await judge.close()


GLOB = 'decision := {"ok": glob.match("a*", null, input.x)}'


async def test_line_breaks_are_judged_by_the_embedded_engine(write: Write, tmp_path: Path) -> None:
    """Compiled, `glob.match` misreads them; the verdict is the one of OPA."""
    judge = engine(write, GLOB)
    for text in ("a\nb", "a\x00b", "\na"):
        module = f"package g\n{GLOB}"
        assert await judge.decide({"x": text}) == opa_server.evaluate(tmp_path, module, {"x": text})["decision"]
    await judge.close()


async def test_line_breaks_without_sources_are_denied(write: Write) -> None:
    """A bundle that was compiled elsewhere can be judged by nothing else."""
    folder = write({"p.rego": f"package gateway\n{GLOB}"})
    judge = Wasm(compiled(archive(folder, "-e", "gateway/decision")))
    for _ in range(2):
        with pytest.raises(PolicyUnavailable, match="a line break or a NUL"):
            await judge.decide({"x": "a\nb"})
    assert await judge.decide({"x": "ab"}) == {"ok": True}
    await judge.close()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"p.rego": 'package gateway\n\ndecision := http.send({"url": input.x})'}, r"p\.rego:3: http\.send is refused"),
        ({"p.rego": "package gateway\ndecision := uuid.rfc4122(input.x)"}, r"p\.rego:2: uuid\.rfc4122 is refused"),
        ({"p.rego": "package gateway\ndecision := {"}, r"opa build: .*p\.rego:2"),
        ({"p.rego": "package gateway\nx := 1"}, "opa build: .*decision"),
        ({"p.rego": "package gateway\ndecision := 1\ndecision := 2"}, "cannot be evaluated: .*conflict"),
        ({"p.rego": GLOBS, "data.yaml": "a: x$y"}, r"data\.a: a string with \$"),
        ({"p.rego": 'package gateway\ndecision := glob.match("(a)*", null, input.x)'}, r"p\.rego:2: a string with \$"),
        (
            {"p.rego": "package gateway\ndecision := {}", "p_test.rego": "package t\ntest_x if 1 == 2"},
            "1 of the bundle's own tests failed: .*test_x",
        ),
    ],
)
def test_a_bundle_that_may_not_be_used(files: dict[str, str], words: str, write: Write) -> None:
    """The bundle is refused at load, with a message."""
    with pytest.raises(ConfigError, match=words):
        load_engine(Policy(path=str(write(files)), engine="wasm"))


def test_an_archive_that_is_none_of_ours(tmp_path: Path, write: Write) -> None:
    """Data that is not an archive, an archive without code, and another entry point are refused."""
    (tmp_path / "x.tar.gz").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="archive of the bundle cannot be read"):
        compiled(tmp_path / "x.tar.gz")
    folder = write({"p.rego": "package gateway\ndecision := {}\nother := {}"})
    command = [opa_server.program(), "build", "-b", str(folder), "-o", str(tmp_path / "plain.tar.gz")]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"has no policy\.wasm; .*opa build -t wasm -e gateway/decision"):
        compiled(tmp_path / "plain.tar.gz")
    with pytest.raises(ConfigError, match="compiled without its entry point"):
        Wasm(compiled(archive(folder, "-e", "gateway/other")))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "policy.wasm").write_bytes(b"\0asm")
    with pytest.raises(ConfigError, match="invalid policy wasm"):
        Wasm(compiled(tmp_path / "code"))


def test_without_the_program_opa(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message describes how to build the bundle."""
    folder = write({"p.rego": "package gateway\ndecision := {}"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"opa build -t wasm -e gateway/decision -b .*bundle -o bundle\.tar\.gz"):
        compiled(folder)


def test_without_the_extra() -> None:
    """The message names the package to install."""
    code = "import sys; sys.modules['opapywasm'] = None\nimport gateway.policy.engines.wasm"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install -e '.[wasm]'" in done.stderr


async def test_a_builtin_without_a_value_is_undefined(write: Write) -> None:
    """The result is undefined as in OPA, not an error."""
    body = 'decision := {"d": time.parse_duration_ns(input.d)} if true\nelse := {"d": "none"}'
    judge = engine(write, body)
    assert await judge.decide({"d": "1h"}) == {"d": 3_600_000_000_000}
    assert await judge.decide({"d": "one hour"}) == {"d": "none"}
    assert await judge.decide({"d": 3}) == {"d": "none"}
    await judge.close()


async def test_the_clock_stands_still_within_an_evaluation(write: Write) -> None:
    """A bundle that reads the clock is evaluated each time."""
    judge = engine(write, 'decision := {"same": time.now_ns() == time.now_ns(), "t": time.now_ns(), "x": input.x}')
    first, second = await judge.decide({"x": 1}), await judge.decide({"x": 1})
    assert not judge.memoized
    assert first["same"]
    assert first["t"] < second["t"]
    await judge.close()


async def test_one_evaluation_leaves_nothing_for_the_next(write: Write) -> None:
    """Compiled patterns, input and scratch memory belong to one evaluation."""
    judge = engine(write, GLOBS.partition("\n")[2])
    for number in range(200):
        text = f"model-{number % 7}{'x' * (number % 50)}"
        assert await judge.decide({"p": f"model-{number % 5}*", "t": text}) == {"m": number % 7 == number % 5}
    await judge.close()


def test_what_it_holds(write: Write) -> None:
    """Data and input arrive unchanged."""
    data = {"s": ["é\u2028漢😀", 'q"\\', "\n\t\x01"], "n": [1.5, -(2**53), 0.1]}
    folder = write({"p.rego": 'package gateway\ndecision := {"i": input.v, "d": data.v}'})
    (folder / "data.json").write_bytes(orjson.dumps({"v": data}))
    result = asyncio.run(Wasm(compiled(folder), 30).decide({"v": data}))
    assert result == {"i": data, "d": data}


async def test_a_time_that_cannot_be_said_is_undefined(write: Write) -> None:
    """As in OPA: times beyond 64 bits of nanoseconds, and unknown time zones."""
    rules = [
        "time.add_date(-9223372036854775808, 0, 0, -1)",
        "time.add_date(1700000000000000000, 999, 0, 0)",
        'time.clock([1700000000000000000, "Nowhere/Nothing"])',
    ]
    judge = engine(
        write, "decision := {" + ", ".join(f'"{n}": [x | x := {rule}]' for n, rule in enumerate(rules)) + "}"
    )
    assert await judge.decide({}) == {str(number): [] for number in range(len(rules))}
    await judge.close()
