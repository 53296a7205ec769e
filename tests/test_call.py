"""A call that is copied: what is written to one is not written to the other."""

from __future__ import annotations

from dataclasses import fields

from calls import call
from gateway.call import Call, Request


def test_a_copied_call_has_the_same_in_every_field() -> None:
    one = call()
    for number, field in enumerate(fields(Call)):
        setattr(one, field.name, f"{field.name} {number}")
    other = one.copied()
    assert [getattr(other, field.name) for field in fields(Call)] == [
        getattr(one, field.name) for field in fields(Call)
    ]


def test_what_is_written_to_a_copied_call_is_not_written_to_the_other() -> None:
    one = call()
    other = one.copied()
    other.request = Request(correlation_id="other")
    assert one.request.correlation_id != "other"
