"""The circuit breaker of a target: when it opens, one probe, and when it closes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.circuit import Circuit, Rules

RULES = Rules(failures=3, ratio=0.5, calls=8, window=30, wait=5, longest=20)


def test_failures_in_a_row_open_it() -> None:
    """An answer in between starts the row anew."""
    circuit = Circuit(RULES)
    for _ in range(2):
        circuit.failed(0)
    circuit.answered()
    for _ in range(2):
        circuit.failed(0)
    assert circuit.closed
    circuit.failed(0)
    assert circuit.state(0) == "open"


def test_a_share_of_failures_opens_it() -> None:
    """Every second call fails: never three in a row, but half of them."""
    circuit = Circuit(RULES)
    for _ in range(3):
        circuit.answered()
        circuit.failed(0)
    assert circuit.closed
    circuit.answered()
    circuit.failed(0)
    assert not circuit.closed


def test_old_calls_do_not_count() -> None:
    """The share is one of the calls in the window."""
    circuit = Circuit(RULES)
    for at in range(20):
        circuit.answered()
        circuit.failed(at * 31)
    assert circuit.closed


def test_one_probe_at_a_time_and_longer_after_each_failure() -> None:
    """5, 10, 20, 20 seconds; an answer closes it, and the next failures begin with 5 again."""
    circuit = Circuit(RULES)
    for _ in range(3):
        circuit.failed(0)
    now = 0.0
    for wait in (5, 10, 20, 20):
        assert not circuit.may_probe(now + wait - 0.01)
        now += wait
        assert circuit.state(now) == "half_open"
        assert circuit.may_probe(now)
        assert not circuit.may_probe(now)
        circuit.failed(now)
    now += 20
    assert circuit.may_probe(now)
    circuit.let_go()  # its caller has gone
    assert circuit.may_probe(now)
    circuit.answered()
    assert circuit.state(now) == "closed"
    for _ in range(3):
        circuit.failed(now)
    assert circuit.may_probe(now + 5)


@given(st.lists(st.tuples(st.sampled_from(["answered", "failed", "probe", "let_go"]), st.floats(0, 9)), max_size=80))
def test_no_more_than_one_call_reaches_an_open_target(steps: list[tuple[str, float]]) -> None:
    """For any course of events: between two outcomes, at most one probe, and none before its time."""
    told = list[bool]()
    circuit = Circuit(RULES, lambda: told.append(True))
    now, probes = 0.0, 0
    for kind, after in steps:
        now += after
        was = circuit.closed
        if kind == "probe" and not circuit.closed:
            until = circuit.until
            if circuit.may_probe(now):
                probes += 1
                assert probes == 1
                assert now >= until
        elif kind == "let_go":
            probes = 0
            circuit.let_go()
        elif kind == "answered":
            probes = 0
            circuit.answered()
            assert circuit.closed
        elif kind == "failed" and (circuit.closed or circuit.probing):
            probes = 0
            circuit.failed(now)
        assert circuit.closed or circuit.until <= now + RULES.longest
        assert circuit.closed == was or told


def test_rules_of_a_reload_apply_to_open_circuits() -> None:
    """The state stays, the rules are new."""
    circuit: Any = Circuit(RULES)
    circuit.rules = RULES._replace(failures=1)
    circuit.failed(0)
    assert not circuit.closed
