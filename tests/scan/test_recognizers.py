"""The users' own recognizers: Presidio's forms of YAML, the same findings, refusals by line, streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer import PatternRecognizer

from budgets import examples
from gateway.detect.core.checks import CHECKS
from gateway.detect.core.rules import RuleSet, resolve
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import recognizers
from gateway.detect.personal.recognizers import AllowProblem, FileProblems, Own
from gateway.detect.personal.scanner import PiiScanner, canonical
from gateway.texts import Finding
from scan_samples import cuts

ZIP: dict[str, Any] = {
    "name": "Zip code Recognizer",
    "supported_language": "de",
    "patterns": [{"name": "zip code (weak)", "regex": "(\\b\\d{5}(?:\\-\\d{4})?\\b)", "score": 0.01}],
    "context": ["zip", "code"],
    "supported_entity": "ZIP",
}
TITLES: dict[str, Any] = {
    "name": "Titles recognizer",
    "supported_language": "en",
    "supported_entity": "TITLE",
    "deny_list": ["Mr.", "Mrs.", "Ms.", "Miss", "Dr.", "Prof."],
}
STAFF: dict[str, Any] = {
    "name": "Staff",
    "supported_entity": "EMPLOYEE_ID",
    "patterns": [{"name": "badge", "regex": r"\bEMP-\d{6}\b", "score": 0.6}],
}
LINES: dict[str, Any] = {
    "name": "Tickets",
    "supported_entity": "TICKET",
    "patterns": [{"name": "on a line of its own", "regex": r"^ticket \d+$", "score": 0.7}],
}
AHV: dict[str, Any] = {
    "name": "Swiss AHV",
    "supported_entity": "AHV_NUMBER",
    "patterns": [{"name": "AHV", "regex": r"(756\.\d{4}\.\d{4}\.\d{2})|(756\d{10})", "score": 0.95}],
}
NAMES: dict[str, Any] = {
    "name": "Projects",
    "supported_entity": "PROJECT",
    "deny_list": ["Bluebird", "Blue", "Größe_7", ".NET", "Northern Lights over the far away sea", "Mr.", "C++"],
    "deny_list_score": 0.8,
}

Load = Callable[..., Own]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads entries as a file."""

    def reads(*entries: Any, allow: tuple[str, ...] = (), **more: Any) -> Own:
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump({"recognizers": list(entries), **more}))
        return recognizers.load(str(path), allow, canonical)

    return reads


def found(own: Own, text: str, score: float = 0.4) -> list[tuple[str, str]]:
    """The findings of the rules alone."""
    return [(text[one.start : one.end], one.entity) for one in RuleSet(own.spare(()), score).scan(text)]


def test_the_forms_that_presidio_documents(load: Load) -> None:
    """Its own example file: a weak pattern with context, in a language of its own, and a deny list."""
    own = load(ZIP, TITLES)
    assert own.entities == {"ZIP", "TITLE"}
    text = "Dr. Who, 54321, lives at zip code 12345-6789. MISS Marple is missing."
    assert found(own, text) == [("Dr.", "TITLE"), ("12345-6789", "ZIP"), ("MISS", "TITLE")]


def test_the_other_forms(load: Load, tmp_path: Path) -> None:
    """Several languages with words of their own, one entity in a list, flags, switched off; a bare list of entries."""
    several = {
        **{key: ZIP[key] for key in ("name", "patterns")},
        "supported_entities": ["zip"],
        "supported_languages": [{"language": "en", "context": ["zip"]}, {"language": "de", "context": ["plz"]}],
        "type": "custom",
        "enabled": True,
        "version": "0.0.1",
    }
    own = load(several, {**STAFF, "enabled": False}, supported_languages=["en", "de"], global_regex_flags=26)
    assert own.entities == {"ZIP"}
    assert found(own, "PLZ 10115, zip 10116, 10117") == [("10115", "ZIP"), ("10116", "ZIP"), ("10117", "ZIP")]
    assert found(load(STAFF), "emp-123456") == [("emp-123456", "EMPLOYEE_ID")]
    assert found(load({**STAFF, "global_regex_flags": 0}), "emp-123456") == []
    assert found(load(STAFF, global_regex_flags=0), "emp-123456") == []
    path = tmp_path / "list.json"
    path.write_text(yaml.safe_dump([STAFF]))
    assert recognizers.load(str(path), (), canonical).entities == {"EMPLOYEE_ID"}


TEXT = st.lists(
    st.sampled_from(
        (
            *("12345", "12345-6789", "EMP-123456", "emp-1234567", "ticket 12", "\n", " ", " ", "-", "é", "_", "7", "."),
            *("756.1234.5678.97", "7561234567897", "Bluebird", "blue", "größe_7", ".NET", "Mr.", "Mrs.", "Miss", "C++"),
            *("Northern Lights over the far away sea", "Northern", "Dr.", "x", "٣", "K"),
        )
    ),
    max_size=9,
).map("".join)


@pytest.mark.parametrize("entry", [ZIP, TITLES, STAFF, LINES, AHV, NAMES], ids=lambda entry: entry["name"])
def test_the_findings_of_presidio(load: Load, entry: dict[str, Any]) -> None:
    """For the same YAML, the same matches and scores as its PatternRecognizer, before context."""
    plain = {key: value for key, value in entry.items() if key != "context"}
    reference = PatternRecognizer.from_dict(dict(plain))
    rules = RuleSet(load(plain).rules, 0, undo=False)

    @settings(max_examples=examples(50, nightly=1500), deadline=None)
    @given(TEXT)
    def alike(text: str) -> None:
        results = reference.analyze(text, [])
        expected = resolve(Finding(one.start, one.end, one.entity_type, one.score) for one in results)
        assert rules.scan(text) == expected

    alike()


@pytest.mark.parametrize(
    ("checksum", "good", "bad"),
    [
        ("luhn", "EMP-123455", "EMP-123456"),
        ("mod11", "EMP-306401", "EMP-306402"),
        ("verhoeff", "EMP-123451", "EMP-123452"),
    ],
)
def test_checksums(load: Load, checksum: str, good: str, bad: str) -> None:
    """A number with a correct check digit is certain; any other number is not found."""
    own = load({**STAFF, "checksum": checksum})
    assert [one.score for one in RuleSet(own.rules, 0.4).scan(f"{good}, {bad}")] == [1.0]
    assert found(own, f"{bad}, {good}") == [(good, "EMPLOYEE_ID")]


def test_checks_by_hand() -> None:
    """Known numbers; a number that is too short is not found."""
    assert CHECKS["mod97"]("GB82 WEST 1234 5698 7654 32")
    assert not CHECKS["mod97"]("GB82 WEST 1234 5698 7654 33")
    assert CHECKS["verhoeff"]("2363")
    assert CHECKS["mod11"]("943 476 5919")
    assert not any(check("0") or check("") for check in CHECKS.values())


def test_what_is_allowed(load: Load) -> None:
    """Values in any case, patterns of the whole value; for all recognizers, for the file, for one recognizer."""
    text = "EMP-000000 EMP-123456 EMP-999999 EMP-777777"
    kept = [("EMP-123456", "EMPLOYEE_ID")]
    entry = {**STAFF, "allow_list": ["EMP-777777"]}
    assert found(load(entry, allow=("/emp-0+/",), allow_list=["emp-999999"]), text) == kept
    assert len(found(load(STAFF, allow=("/EMP-1/",)), text)) == 4


@pytest.mark.slow
def test_allowed_values_of_the_built_in_kinds(tmp_path: Path) -> None:
    """They are left alone, too, one by one or as a family, anywhere in a text."""
    own = recognizers.load("", ("info@example.org", "/123-45-\\d+/"), canonical)
    scanner = PiiScanner(("US",), 0.4, tmp_path, ["US"], own)
    text = "info@example.org, ann@example.org; ssn 123-45-6789, ssn 536-90-4399"
    assert [text[one.start : one.end] for one in scanner.scan(text)] == ["ann@example.org", "536-90-4399"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"patterns": [{"name": "x", "regex": r"(?<!\d)\d{5}", "score": 1}]}, r"patterns\[0\].regex \(Staff\) is refu"),
        ({"patterns": [{"name": "x", "regex": r"(\d)\1{4}", "score": 1}]}, "a back-reference"),
        ({"patterns": [{"name": "x", "regex": r"(a{1,900}){1,900}", "score": 1}]}, "too large; shorter repeats"),
        ({"patterns": [{"name": "x", "regex": r"\d*", "score": 1}]}, "matches nothing at all"),
        ({"patterns": [{"name": "x", "regex": "a(", "score": 1}]}, "not a pattern"),
        ({"patterns": [{"name": "x", "regex": "abc", "score": 2}]}, "score .*less than or equal to 1"),
        ({"patterns": [{"name": "x", "score": 1}]}, "regex .*is required"),
        ({"patterns": []}, "needs patterns or a deny_list"),
        ({"deny_lst": ["x"]}, "deny_lst .*is not a known key; did you mean deny_list"),
        ({"checksum": "crc"}, "checksum .*cannot be 'crc'; allowed: luhn, mod11, mod97, verhoeff"),
        ({"type": "predefined"}, "must be custom"),
        ({"supported_entity": "SECRET_KEY"}, "are taken"),
        ({"supported_entity": "née"}, "must be letters"),
        ({"supported_entity": None}, "supported_entity"),
        ({"deny_list": "Mr."}, "deny_list"),
        ({"allow_list": ["/(?=x)y/"]}, "lookahead"),
    ],
)
def test_refusals_name_file_line_entry_and_reason(load: Load, change: dict[str, Any], reason: str) -> None:
    """The second entry is wrong: the message names at least the line where it begins."""
    with pytest.raises(FileProblems, match=reason) as caught:
        load(TITLES, {**STAFF, **change})
    where, line, rest = str(caught.value).splitlines()[0].split(":", 2)
    assert where.endswith("own.yaml")
    assert int(line) > 8
    assert rest.startswith(" recognizers[1]")


def test_files_that_are_none(tmp_path: Path) -> None:
    """Missing, not YAML, no recognizers; each mistake of a file is reported."""
    path = tmp_path / "own.yaml"
    for content, reason in (
        (None, "cannot be read"),
        ("a: [", r":\d+: not valid YAML"),
        ("x: 1", "is not a known key"),
    ):
        if content:
            path.write_text(content)
        with pytest.raises(FileProblems, match=reason):
            recognizers.load(str(path), (), canonical)
    path.write_text(yaml.safe_dump({"recognizers": ["EmailRecognizer", {"name": "x"}]}))
    with pytest.raises(FileProblems) as caught:
        recognizers.load(str(path), (), canonical)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(AllowProblem, match="a back-reference"):
        recognizers.load("", (r"/(a)\1/",), canonical)


def test_a_long_deny_list(load: Load) -> None:
    """Thousands of words are as many as the index needs to hold them."""
    words = [f"codename{number}" for number in range(600)]
    own = load({**NAMES, "deny_list": words})
    assert len(own.rules) < 100
    assert found(own, "codename599, codename6000") == [("codename599", "PROJECT")]


def test_a_hostile_text(load: Load) -> None:
    """A text that takes other engines hours is one match, or none."""
    evil = {**STAFF, "patterns": [{"name": "evil", "regex": r"(a+)+$", "score": 1}]}
    own = load(evil)
    assert found(own, "a" * 100_000 + "!") == []
    assert [len(value) for value, _ in found(own, "a" * 100_000)] == [100_000]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> StreamScanner:
    folder = tmp_path_factory.mktemp("own")
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"recognizers": [ZIP, TITLES, STAFF, LINES, AHV, NAMES], "allow_list": ["Miss"]}))
    own = recognizers.load(str(path), (), canonical)
    return StreamScanner(PiiScanner(("US",), 0.4, folder, [], own), None, {})


@pytest.mark.slow
@settings(max_examples=examples(50, nightly=1500), deadline=None)
@given(TEXT, st.data())
def test_any_cut_gives_the_findings_of_the_whole(stream: StreamScanner, text: str, data: st.DataObject) -> None:
    """Lines, word boundaries and context are recognized in any pieces."""
    window, out, findings = stream.window(4096), "", []
    for piece in [*data.draw(cuts(text)), None]:
        segment = window.close() if piece is None else window.feed(piece)
        findings += [one._replace(start=one.start + len(out), end=one.end + len(out)) for one in segment.findings]
        out += segment.text
    assert (out, findings) == (text, stream.scan(text))


def test_the_example_holds() -> None:
    """The example file loads, and finds its examples."""
    own = recognizers.load(str(Path(__file__).parents[2] / "config" / "recognizers.yaml"), (), canonical)
    assert own.entities == {"EMPLOYEE_ID", "PROJECT", "CUSTOMER_NUMBER"}
    assert found(own, "badge 123456, northern lights") == [("123456", "EMPLOYEE_ID"), ("northern lights", "PROJECT")]
