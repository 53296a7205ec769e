"""Inputs for the shipped policies with the expected results; every engine gets all of them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """An input, whether it is allowed, and the codes of the rules that deny it."""

    name: str
    document: dict[str, Any]
    allow: bool
    denies: frozenset[str] = frozenset()


def document(
    roles: list[str],
    model: str = "demo",
    providers: tuple[str, ...] = ("demo",),
    tools: tuple[str, ...] = (),
    pii: dict[str, int] | None = None,
    kind: str = "llm",
    name: str | None = None,
    agent: str = "agent-1",
) -> dict[str, Any]:
    """An input as the gateway creates it."""
    return {
        "subject": {"agent": agent, "team": "team", "roles": roles, "claims": {"sub": 'x"\n'}},
        "action": {
            "kind": kind,
            "name": name if name is not None else model,
            "model": model,
            "provider": providers[0] if providers else "",
            "providers": list(providers),
            "stream": False,
            "tools": list(tools),
            "max_tokens": 100,
            "args": {"note": 'any "text"\n\\ é'},
        },
        "resource": {"type": "model", "name": model},
        "content": {"pii": pii or {}, "sql": [], "urls": [], "injection_score": 0, "unscannable": 0},
        "context": {
            "correlation_id": "id",
            "hop": 0,
            "chain": [agent],
            "calls": 1,
            "history": {"tools": [], "labels": []},
        },
    }


def flowed(tools: tuple[str, ...], labels: tuple[str, ...] = (), **content: Any) -> dict[str, Any]:
    """An input of a workflow with a history, or with new content."""
    made = document(["developer"], tools=tools)
    made["content"] |= content
    made["context"]["history"] = {"tools": ["get_page"], "labels": list(labels)}
    return made


READER, DEVELOPER = ["reader"], ["developer"]
WRITE = frozenset({"flow_write"})
INJECTED = frozenset({"injection_suspected"})
MODEL, TOOL, PLACE = frozenset({"model_not_allowed"}), frozenset({"tool_not_allowed"}), frozenset({"pii_residency"})
AGENT = frozenset({"agent_not_allowed"})
CASES = [
    Case("reader, demo", document(READER), True),
    Case("developer, demo", document(DEVELOPER), True),
    Case("reader, openai", document(READER, "gpt-4o-mini", ("openai",)), True),
    Case("developer, openai", document(DEVELOPER, "gpt-4o-mini", ("openai",)), True),
    Case("reader, other model", document(READER, "gpt-4o", ("openai",)), False, MODEL),
    Case("reader, longer name", document(READER, "demo2"), False, MODEL),
    Case("reader, shorter name", document(READER, "dem"), False, MODEL),
    Case("reader, other case", document(READER, "Demo"), False, MODEL),
    Case("reader, pattern as name", document(READER, "*"), False, MODEL),
    Case("developer, any model", document(DEVELOPER, "vendor/some.model-1:x"), True),
    Case("developer, empty model", document(DEVELOPER, ""), True),
    Case("both roles", document([*READER, *DEVELOPER], "gpt-4o"), True),
    Case("unknown role", document(["ghost"]), False, MODEL),
    Case("role with odd name", document(["[*]", "a.b", "roles"]), False, MODEL),
    Case("no role", document([]), False, MODEL),
    Case("reader, allowed tools", document(READER, tools=("get_order", "search_x", "list_")), True),
    Case("reader, one tool too many", document(READER, tools=("get_order", "drop_table")), False, TOOL),
    Case("reader, prefix in the middle", document(READER, tools=("x_get_order",)), False, TOOL),
    Case("developer, any tools", document(DEVELOPER, tools=("drop_table", "a b", "")), True),
    Case("many tools", document(READER, tools=tuple(f"get_{n}" for n in range(80))), True),
    Case("many tools, one wrong", document(READER, tools=(*(f"get_{n}" for n in range(80)), "x")), False, TOOL),
    Case("nobody, tool", document([], tools=("get_x",)), False, MODEL | TOOL),
    Case("pii to anyone", document(READER, "gpt-4o-mini", ("openai",), pii={"EMAIL_ADDRESS": 2}), True),
    Case("pii at home", document(READER, pii={"MEDICAL_LICENSE": 1}), True),
    Case("pii abroad", document(READER, "gpt-4o-mini", ("openai",), pii={"MEDICAL_LICENSE": 1}), False, PLACE),
    Case("pii by failover", document(READER, providers=("demo", "openai"), pii={"MEDICAL_LICENSE": 1}), False, PLACE),
    Case(
        "two types", document(READER, "gpt-4o-mini", ("openai",), pii={"MEDICAL_LICENSE": 1, "PERSON": 3}), False, PLACE
    ),
    Case("none found", document(READER, "gpt-4o-mini", ("openai",), pii={"MEDICAL_LICENSE": 0}), True),
    Case("no provider", document(READER, providers=(), pii={"MEDICAL_LICENSE": 1}), True),
    Case("all at once", document([], "x", ("openai",), ("y",), {"MEDICAL_LICENSE": 1}), False, MODEL | TOOL | PLACE),
    Case("untrusted, reads", flowed(("get_page",), ("untrusted",)), True),
    Case("untrusted, writes", flowed(("get_page", "send_mail"), ("read:pii", "untrusted")), False, WRITE),
    Case("untrusted, many tools", flowed(tuple(f"send_{n}" for n in range(80)), ("untrusted",)), False, WRITE),
    Case("other labels, writes", flowed(("send_mail",), ("read:pii", "trusted")), True),
    Case("reads what scores", flowed(("send_mail",), injection={"tool": 0.5}), True),
    Case("reads what scores high", flowed((), injection={"tool": 0.8}), False, INJECTED),
    Case("untrusted, addresses", flowed((), ("untrusted",), urls=["a.example", "b.example"]), True),
    Case("tool call", document(READER, "", (), kind="tool", name="get_order"), True),
    Case("tool call, other tool", document(READER, "", (), kind="tool", name="pay"), False, TOOL),
    Case("agent call", document(DEVELOPER, "", (), kind="agent", name="helper"), True),
    Case("agent call, other agent", document(READER, "", (), kind="agent", name="helper"), False, AGENT),
    Case("empty", {}, False),
    Case("wrong types", {"subject": [], "action": "x", "content": 3}, False),
    Case("roles no list", document("reader"), False, MODEL),  # type: ignore[arg-type]
    Case("null", {"subject": None, "action": None, "content": None, "context": None}, False),
]
