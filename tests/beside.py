"""Two gateways beside each other: what caller and upstream saw of a call, the record of it, and where two differ."""

from __future__ import annotations

import json
from typing import Any

import upstream as scripted
from line import Line

Json = dict[str, Any]


def send(line: Line, up: scripted.Upstream, call: Json, cid: str, path: str) -> Json:
    """One call: what the caller and the upstream saw."""
    up.seen.clear()
    headers = {"authorization": f"Bearer mg-{call['agent']}", "content-type": "application/json"}
    if call["workflow"]:
        headers["x-correlation-id"] = cid
    got = line.client.post(path, content=call["raw"].encode(), headers=headers)
    said, id = got.json(), got.headers["x-request-id"]
    rows = line.rows(f"select record from decisions where id = '{id}'")
    return {
        "status": got.status_code,
        "told": json.loads(json.dumps(said.get("error") or said).replace(id, "ID")),
        "sent": [seen.raw for seen in up.seen],
        "decision": [document(record, named=call["workflow"]) for (record,) in rows],
    }


def document(record: bytes, *, named: bool) -> Json:
    """The policy input and the verdict, without time and random id."""
    said = json.loads(record)
    del said["input"]["context"]["time"]
    if not named:
        del said["input"]["context"]["correlation_id"]
    return {key: said.get(key) for key in ("input", "result")}


def differing(got: Any, expected: Any, at: str = "") -> str:
    """Where two values differ, one line for each place: bodies are long, and reports of failures are cut."""
    if isinstance(got, dict) and isinstance(expected, dict):
        keys = sorted({*got, *expected})
        return "".join(differing(got.get(key), expected.get(key), f"{at}.{key}") for key in keys)
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        return "".join(
            differing(*pair, f"{at}[{number}]") for number, pair in enumerate(zip(got, expected, strict=True))
        )
    if got == expected:
        return ""
    if isinstance(got, str | bytes) and isinstance(expected, str | bytes) and type(got) is type(expected):
        same = next(
            (place for place, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b),
            min(len(got), len(expected)),
        )
        got, expected = got[max(0, same - 40) : same + 160], expected[max(0, same - 40) : same + 160]
        at += f" from {same}"
    return f"\n{at}: {str(got)[:400]!r}, expected {str(expected)[:400]!r}"
