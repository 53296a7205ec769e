"""Messages on standard error: one line a second for those that repeat, none lost, no two kinds taken for one."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.record.logs import Handler

GONE = "state store: redis at 127.0.0.1:6379: %s"


class Log:
    """A logger with the gateway's handler, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said = io.StringIO()
        self.handler = Handler(lambda: self.now)
        self.handler.setStream(self.said)

    def warn(self, words: str, *args: object) -> None:
        """Log a message."""
        self.handler.handle(logging.LogRecord("meshgate", logging.WARNING, __file__, 1, words, args, None))

    @property
    def lines(self) -> list[str]:
        """What was written."""
        return self.said.getvalue().splitlines()


def test_a_message_of_every_call_is_one_line_a_second() -> None:
    """The first at once; the next says how many there were."""
    log = Log()
    for tick in range(300):
        log.now = tick / 100
        log.warn(GONE, "TimeoutError")
        log.handler.report()
    log.now = 5
    log.handler.report()
    line = GONE % "TimeoutError"
    assert log.lines == [
        line,
        f"{line} (and 99 more like this)",
        f"{line} (and 99 more like this)",
        f"{line} (and 98 more like this)",
    ]


def test_ids_and_numbers_make_no_kinds() -> None:
    """Each call has an id; the line names the newest."""
    log = Log()
    for number in range(10):
        log.warn("settling call %s will be tried again", f"01a21aa3-f74c-722b-b70e-b3afa90965{number:02}")
    log.now = 1
    log.handler.report()
    assert log.lines == [
        "settling call 01a21aa3-f74c-722b-b70e-b3afa9096500 will be tried again",
        "settling call 01a21aa3-f74c-722b-b70e-b3afa9096509 will be tried again (and 8 more like this)",
    ]


def test_faults_of_two_kinds_are_two_lines() -> None:
    """Also from one place in the code."""
    log = Log()
    for fault in ("TimeoutError", "ReadOnlyError", "TimeoutError"):
        log.warn(GONE, fault)
    assert log.lines == [GONE % "TimeoutError", GONE % "ReadOnlyError"]


def test_a_message_whose_arguments_do_not_fit_is_no_fault_of_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    """As for every handler of Python: reported on standard error, and the program continues."""
    log = Log()
    log.warn("%d calls", "many")
    assert log.lines == []
    assert "Logging error" in capsys.readouterr().err


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(0, 3)), max_size=60), st.booleans())
def test_each_message_is_written_or_counted_once(steps: list[tuple[str, float]], reports: bool) -> None:
    """At any distance in time."""
    log = Log()
    for kind, passed in steps:
        log.now += passed
        log.warn(kind)
        if reports:
            log.handler.report()
    log.now += 9
    log.handler.report()
    more = [line.partition(" (and ")[2].partition(" ")[0] for line in log.lines]
    assert len(log.lines) + sum(int(number) for number in more if number) == len(steps)
