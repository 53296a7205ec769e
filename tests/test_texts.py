"""Results about texts: computed once, cached as long as conversations resend the texts, bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.redaction.texts import Texts
from gateway.texts import Finding, Slot


class Scanner:
    """Finds an `@`; records the scanned texts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def scan(self, text: str) -> list[Finding]:
        self.asked.append(text)
        at = text.find("@")
        return [Finding(at, at + 1, "EMAIL", 1.0)] if at >= 0 else []


def slots(*texts: str) -> list[Slot]:
    return [Slot({}, "content", text, "user", None) for text in texts]


def test_tokens_are_summed_and_only_texts_with_findings_are_named() -> None:
    texts = Texts(len, Scanner().scan)
    body = slots("plain", "a@b", "plain")
    assert texts.tokens(body) == 13
    found = texts.find(body)
    assert [(slot.text, list(findings)) for slot, findings in found] == [("a@b", [(1, 2, "EMAIL", 1.0)])]


def test_a_text_that_is_resent_is_worked_out_once_however_much_passes_between() -> None:
    scanner = Scanner()
    texts = Texts(len, scanner.scan, size=8)
    for turn in range(100):
        texts.find(slots("the system prompt", "kept @ too", f"turn {turn}"))
    assert scanner.asked.count("the system prompt") == scanner.asked.count("kept @ too") == 1


def test_the_memory_is_bounded() -> None:
    texts = Texts(len, Scanner().scan, size=8)
    texts.find(slots(*(f"text {number}" for number in range(1000))))
    texts.tokens(slots(*(f"text {number}" for number in range(1000))))
    for kept in (texts._kept, texts._tokens):
        assert len(kept.young) + len(kept._old) <= 16


def test_nothing_is_done_where_nobody_asks() -> None:
    def never(text: str) -> int:
        raise AssertionError(text)

    assert Texts(never, None).find(slots("a")) == []
    assert Texts(never, lambda _: []).find(slots("a")) == []


@given(st.lists(st.lists(st.sampled_from(["a", "b@", "c", "d@@", "", "long text", "@e"]), max_size=6), max_size=20))
def test_whatever_the_order_the_answer_is_that_of_a_fresh_look(bodies: list[list[str]]) -> None:
    texts = Texts(len, Scanner().scan, size=3)
    for body in bodies:
        fresh = Texts(len, Scanner().scan)
        assert texts.find(slots(*body)) == fresh.find(slots(*body))
        assert texts.tokens(slots(*body)) == fresh.tokens(slots(*body)) == sum(map(len, body))
