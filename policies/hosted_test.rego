package rules.hosted_test

import data.rules.hosted

config := {"types": ["code_*", "mcp"], "hosts": ["mcp.corp.example", "*.tools.example"]}

asks(tools) := {"subject": {"roles": ["admin"]}, "action": {"kind": "llm", "tools": [], "hosted": tools}}

tool(type, host) := {"type": type, "name": type, "host": host}

codes(tools) := found if {
	found := {rule.code | some rule in hosted.deny} with input as asks(tools) with data.hosted as config
}

test_no_tool if codes([]) == set()

test_listed_type if codes([tool("code_interpreter", "")]) == set()

test_other_type if codes([tool("web_search", "")]) == {"hosted_tool"}

test_one_of_many if codes([tool("code_interpreter", ""), tool("web_search_20250305", "")]) == {"hosted_tool"}

test_listed_host if codes([tool("mcp", "mcp.corp.example"), tool("mcp", "a.tools.example")]) == set()

test_other_host if codes([tool("mcp", "mcp.corp.example.evil.example")]) == {"hosted_tool"}

test_unreadable_address if codes([tool("mcp", "?")]) == {"hosted_tool"}

test_container_with_network if codes([tool("code_interpreter", "pypi.example")]) == {"hosted_tool"}
