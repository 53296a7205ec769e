"""Digests, and texts of fixed forms: UUIDs, versions."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable
from typing import Any

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import UNDEFINED, Value


def _digest(name: str, function: Callable[..., Any]) -> Callable[[Context, Value], str]:
    def call(context: Context, text: Value) -> str:
        content = string(name, 1, text).encode()
        context.tick(len(content) // 256)
        return str(function(content, usedforsecurity=False).hexdigest())

    return call


def _hmac(name: str, digest: str) -> Callable[[Context, Value, Value], str]:
    def call(context: Context, text: Value, secret: Value) -> str:
        content = string(name, 1, text).encode()
        context.tick(len(content) // 256)
        return hmac.new(string(name, 2, secret).encode(), content, digest).hexdigest()

    return call


for _name, _function in (("md5", hashlib.md5), ("sha1", hashlib.sha1), ("sha256", hashlib.sha256)):
    builtin(f"crypto.{_name}", context=True)(_digest(f"crypto.{_name}", _function))
for _name in ("md5", "sha1", "sha256", "sha512"):
    builtin(f"crypto.hmac.{_name}", context=True)(_hmac(f"crypto.hmac.{_name}", _name))


@builtin("crypto.hmac.equal")
def hmac_equal(a: Value, b: Value) -> bool:
    name = "crypto.hmac.equal"
    return hmac.compare_digest(string(name, 1, a).encode(), string(name, 2, b).encode())


@builtin("uuid.rfc4122", context=True, volatile=True)
def rfc4122(context: Context, seed: Value) -> str:
    known = ("uuid.rfc4122", string("uuid.rfc4122", 1, seed))
    if known not in context.cache:
        context.cache[known] = str(uuid.uuid4())
    return str(context.cache[known])


_UUID = re.compile(
    r"(?:urn:uuid:)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"|\{([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}|([0-9a-f]{32})",
    re.IGNORECASE,
)
_DOMAINS = {0: "Person", 1: "Group", 2: "Org"}
_SINCE_1582 = 0x01B21DD213814000


@builtin("uuid.parse")
def parse(text: Value) -> Value:
    whole = string("uuid.parse", 1, text)
    match = _UUID.fullmatch("{" + whole[1:-1] + "}" if len(whole) == 38 else whole)
    if match is None:
        return UNDEFINED
    found = uuid.UUID(match[1] or match[2] or match[3])
    number = found.int
    variant = (number >> 60) & 0xF
    if variant & 0xC == 0x8:
        kind = "RFC4122"
    elif variant & 0xE == 0xC:
        kind = "Microsoft"
    else:
        kind = "Future" if variant & 0xE == 0xE else "Reserved"
    version = (number >> 76) & 0xF
    made: dict[str, Value] = {"version": version, "variant": kind}
    if version in (1, 2):
        node = found.node.to_bytes(6)
        made["nodeid"] = "-".join(f"{byte:02x}" for byte in node)
        made["macvariables"] = _mac(node[0])
        made["time"] = _int64((found.time - _SINCE_1582) * 100)
        made["clocksequence"] = found.clock_seq
    if version == 2:
        made["id"] = found.time_low
        domain = found.clock_seq_low
        made["domain"] = _DOMAINS.get(domain, f"Domain{domain}")
    return made


def _int64(number: int) -> int:
    """What Go has of a number that is too large for 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


def _mac(first: int) -> str:
    return f"{'local' if first & 2 else 'global'}:{'multicast' if first & 1 else 'unicast'}"


MOST_VERSION = 2**63 - 1
_VERSION = re.compile(
    r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?", re.ASCII
)


def _version(name: str, position: int, text: Value) -> tuple[Any, ...]:
    whole = string(name, position, text)
    match = _VERSION.fullmatch(whole)
    if (
        match is None
        or any(len(part) > 19 or int(part) > MOST_VERSION for part in match.group(1, 2, 3))
        or _broken(match[4])
        or (match[5] is not None and "" in match[5].split("."))
    ):
        raise BuiltinError(f'{name}: operand {position}: string "{whole}" is not a valid SemVer')
    marks = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in (match[4] or "").split(".") if part
    )
    return (int(match[1]), int(match[2]), int(match[3]), match[4] is None, marks)


def _broken(marks: str | None) -> bool:
    if marks is None:
        return False
    return any(not part or (part.isdigit() and len(part) > 1 and part[0] == "0") for part in marks.split("."))


@builtin("semver.compare")
def semver_compare(a: Value, b: Value) -> int:
    first, second = _version("semver.compare", 1, a), _version("semver.compare", 2, b)
    return (first > second) - (first < second)


@builtin("semver.is_valid")
def semver_is_valid(text: Value) -> bool:
    if type(text) is not str:
        return False
    try:
        _version("semver.is_valid", 1, text)
    except BuiltinError:
        return False
    return True
