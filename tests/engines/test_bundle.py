"""Bundles: the files of a bundle, its version, its data as OPA reads it, its tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines import opa_server
from engines.bundles import Write
from gateway.errors import ConfigError
from gateway.policy.engines.bundle import TestResult, load, run_tests
from gateway.policy.sources.folder import fingerprint

RULE = "package gateway\n\ndecision := {}\n"


def test_the_version_is_of_names_and_contents(write: Write) -> None:
    """Another content or name is another version; files that are not part of the bundle do not count."""
    first = load(write({"a.rego": RULE, "data.yaml": "x: 1"}))
    assert len(first.digest) == 64
    assert first.digest.startswith(first.version)
    assert load(write({"README.md": "x", ".git/a.rego": "x", "x.json": "{"})).version == first.version
    changed = load(write({"data.yaml": "x: 2"}))
    assert changed.version != first.version
    folder = write({"b.rego": RULE})
    (folder / "a.rego").unlink()
    assert load(folder).version != changed.version


def test_data_is_mounted_where_its_folder_is(write: Write) -> None:
    """Data is mounted as in OPA; tests and rules are distinguished."""
    bundle = load(write({"a.rego": RULE, "a_test.rego": RULE, "data.json": '{"x": 1}', "sub/y/data.yaml": "z: [a]"}))
    assert bundle.data == {"x": 1, "sub": {"y": {"z": ["a"]}}}
    assert [Path(module.file).name for module in bundle.modules] == ["a.rego"]
    assert [Path(module.file).name for module in bundle.tests] == ["a_test.rego"]


YAML = """
a: on
b: yes
c: [true, False, ~, null]
d: 2024-01-01
e: 12:30
f: [1, -2, 1.5, 1e3, 0.1]
g: 1.2.3
h: "010"
i: {on: x}
j: {"2": y}
k: |
  two
  lines
l: gpt-4*
m: !!str 3
"""


def test_yaml_is_read_as_opa_reads_it(write: Write) -> None:
    """The values are identical, also where YAML 1.1 and 1.2 differ."""
    folder = write({"a.rego": RULE, "data.yaml": YAML})
    command = [opa_server.program(), "eval", "-f", "json", "-d", str(folder / "data.yaml"), "data"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert load(folder).data == json.loads(done.stdout)["result"][0]["expressions"][0]["value"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"data.yaml": "x: 1"}, "no .*rego below"),
        ({"a.rego": 'package g\nx := "'}, r"a\.rego:2: a string"),
        ({"a.rego": RULE, "data.yaml": "a: 1\nb: {"}, r"data\.yaml:2: "),
        ({"a.rego": RULE, "data.yaml": "a: 1\na: 2"}, r"data\.yaml:2: the key 'a' is given twice"),
        ({"a.rego": RULE, "data.yaml": "1: 2"}, r"data\.yaml:1: the key 1 is not a string; quote it"),
        ({"a.rego": RULE, "data.yaml": "a: 010"}, r"data\.yaml:1: 010 is a number for some readers"),
        ({"a.rego": RULE, "data.yaml": "a: 1_000"}, r"data\.yaml:1: 1_000 is"),
        ({"a.rego": RULE, "data.yaml": "a: .inf"}, r"data\.yaml:1: \.inf is"),
        ({"a.rego": RULE, "data.yaml": "[1]"}, r"data\.yaml:1: the root must be a mapping"),
        ({"a.rego": RULE, "data.yaml": "a: !!python/object:os.system x"}, r"data\.yaml:1: could not determine"),
        ({"a.rego": RULE, "data.json": '{\n"a": }'}, r"data\.json:2: "),
        ({"a.rego": RULE, "data.json": '{"a": 1, "a": 2}'}, "a key is given twice"),
        ({"a.rego": RULE, "data.json": '{"a": 1e999}'}, "is not a JSON value"),
        ({"a.rego": RULE, "data.json": '{"a": 18446744073709551616}'}, "more than 64 bits"),
        ({"a.rego": RULE, "data.json": '{"a": 1}', "data.yaml": "a: 1"}, "also in another data file"),
        ({"a.rego": RULE, "data.json": '{"s": 1}', "s/data.yaml": "a: 1"}, "is a value in another data file"),
    ],
)
def test_mistakes_name_file_and_line(files: dict[str, str], words: str, write: Write) -> None:
    """Each mistake is reported with file, line and reason."""
    with pytest.raises(ConfigError, match=words):
        load(write(files))


def test_no_folder(tmp_path: Path) -> None:
    """The error for a missing path names the configuration key."""
    with pytest.raises(ConfigError, match=r"policy\.path: .* is not a directory"):
        load(tmp_path / "none")


def _link(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [_link, _loop, os.mkfifo])
@pytest.mark.parametrize("name", ["b.rego", "sub/data.yaml"])
def test_what_is_no_file_is_refused(write: Write, make: Callable[[Path], None], name: str) -> None:
    """Like OPA, a link to nothing is refused: the missing rule may be a deny. It also counts as a change."""
    folder = write({"a.rego": RULE, "sub/c.rego": "package c"})
    load(folder)
    before = fingerprint(str(folder))
    make(folder / name)
    assert fingerprint(str(folder)) != before
    with pytest.raises(ConfigError, match="is not a file, or a broken link"):
        load(folder)
    (folder / name).unlink()
    assert fingerprint(str(folder)) == before
    load(folder)


def test_a_folder_that_cannot_be_read_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of an unreadable folder are not left out silently."""
    folder = write({"a.rego": RULE, "sub/c.rego": "package c"})
    before = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return before(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigError, match="sub: Permission denied"):
        load(folder)


def test_links_to_files_are_followed(write: Write, tmp_path: Path) -> None:
    """Links as in a config map of Kubernetes are followed; hidden files are not part of the bundle."""
    folder = write({"a.rego": RULE, "..data/real.rego": "package b", ".hidden/c.rego": "{"})
    (folder / "b.rego").symlink_to("..data/real.rego")
    assert [Path(module.file).name for module in load(folder).modules] == ["a.rego", "b.rego"]


def test_not_utf8(write: Write) -> None:
    """Bytes that are not UTF-8 are refused, with their line."""
    folder = write({"a.rego": RULE})
    (folder / "b.rego").write_bytes(b"package b\n# \xff")
    with pytest.raises(ConfigError, match=r"b\.rego:2: not UTF-8"):
        load(folder)


TESTED = {
    "p.rego": """package p
import rego.v1
default allow := false
allow if { input.user == data.owner; startswith(input.path, "/ok") }
message := sprintf("%v may not %v", [input.user, input.path])
""",
    "data.yaml": "owner: ann",
    "p_test.rego": """package p_test
import data.p
mine := {"user": "ann", "path": "/ok/1"}
test_by_rule if p.allow with input as mine
test_by_local if { asked := mine; p.allow with input as asked }
test_by_literal if p.allow with input as {"user": "ann", "path": "/ok"}
test_below if { p.allow with input.user as "ann" with input.path as "/ok" }
test_not if { not p.allow with input as mine with data.owner as "bob" }
test_each if { every path in ["/ok", "/okay"] { p.allow with input as {"user": "ann", "path": path} } }
test_message if { p.message == "ann may not /ok/1" with input as mine }
test_fails if p.allow with input as {}
test_false := false
test_number := 3
helper if true
""",
}


def test_tests_of_a_bundle(write: Write) -> None:
    """A test passes if it is true; other results are reported."""
    results = run_tests(load(write(TESTED)))
    assert {result.name.removeprefix("data.p_test.") for result in results if result.passed} == {
        "test_by_rule",
        "test_by_local",
        "test_by_literal",
        "test_below",
        "test_not",
        "test_each",
        "test_message",
    }
    failed = {result.name.rpartition(".")[2]: result.message for result in results if not result.passed}
    assert failed == {
        "test_fails": "the rule is false, and must be true",
        "test_false": "the rule is false, and must be true",
        "test_number": "the rule is 3, and must be true",
    } | {"test_fails": failed["test_fails"]}
    assert all(result.file.endswith("p_test.rego") for result in results)


def test_opa_agrees_on_the_tests(write: Write) -> None:
    """`opa test` gives the same results, except that any value other than false passes."""
    folder = write(TESTED)
    done = subprocess.run(
        [opa_server.program(), "test", "-f", "json", str(folder)], capture_output=True, text=True, check=False
    )
    theirs = {case["name"]: not case.get("fail", False) for case in json.loads(done.stdout)}
    ours = {result.name.rpartition(".")[2]: result.passed for result in run_tests(load(folder))}
    assert {**ours, "test_number": True} == {**theirs, "test_number": True}


def test_two_tests_of_one_name(write: Write) -> None:
    """Two tests with one name are refused, because it would be unclear which one failed."""
    files = {"p.rego": RULE, "a_test.rego": "package t\ntest_a if true", "b_test.rego": "package t\ntest_a if false"}
    with pytest.raises(ConfigError, match=r"t\.test_a: 2 tests have this name"):
        run_tests(load(write(files)))


def test_a_test_that_cannot_be_evaluated_fails(write: Write) -> None:
    """A test whose rule has two values fails, with the message of the engine."""
    files = {"p.rego": "package gateway\na := 1\na := 2", "p_test.rego": "package t\ntest_a if data.gateway.a == 1"}
    (result,) = run_tests(load(write(files)))
    assert isinstance(result, TestResult)
    assert not result.passed


def test_no_tests(write: Write) -> None:
    """A bundle without tests is accepted."""
    assert run_tests(load(write({"a.rego": RULE}))) == []


def test_many_files_of_tests(write: Write) -> None:
    """A bundle with many modules and tests is tested, including helpers in files of other tests."""
    rules = {
        f"r{n}.rego": f"package rules.r{n}\ndeny contains {n} if input.x == {n}\nother contains {n} if input.y == {n}"
        for n in range(12)
    }
    tests = {
        f"r{n}_test.rego": f"""package rules.r{n}_test
import data.rules.r{n}
import data.helpers_test
codes contains code if some code in r{n}.deny
test_hit if codes == {{{n}}} with input as helpers_test.made({n})
test_miss if codes == set() with input as helpers_test.made(99)
test_other if r{n}.other == {{{n}}} with input as {{"y": {n}}}"""
        for n in range(12)
    }
    gate = {
        "gateway.rego": """package gateway
decision := {"allow": true, "deny": deny}
deny contains d if some d in data.rules[_].deny"""
    }
    helper = {"helpers_test.rego": 'package helpers_test\nmade(n) := {"x": n}'}
    results = run_tests(load(write({**rules, **tests, **gate, **helper})))
    assert len(results) == 36
    assert [result for result in results if not result.passed] == []


def test_aliases_of_aliases(write: Write) -> None:
    """A few lines that expand to millions of values are refused quickly, with a message."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match=r"data\.yaml: its aliases .* expand to more than 100000 values"):
        load(write({"p.rego": "package gateway", "data.yaml": "\n".join(lines)}))
