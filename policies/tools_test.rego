package rules.tools_test

import data.rules.tools

offering(names) := {
	"subject": {"agent": "a", "roles": ["reader"]},
	"action": {"kind": "llm", "name": "demo", "model": "demo", "tools": names},
}

calling(name) := {
	"subject": {"agent": "a", "roles": ["reader"]},
	"action": {"kind": "tool", "name": name, "tools": []},
}

roles := {"reader": {"tools": ["get_*"]}}

codes contains rule.code if some rule in tools.deny

test_no_tools_no_deny if {
	codes == set() with input as offering([]) with data.roles as roles
}

test_offered_tool_of_the_role if {
	codes == set() with input as offering(["get_order"]) with data.roles as roles
}

test_one_offered_tool_too_many if {
	codes == {"tool_not_allowed"} with input as offering(["get_order", "delete_order"]) with data.roles as roles
}

test_other_spellings_of_a_tool_of_the_role if {
	codes == set() with input as offering(["GET-order", "mcp__shop__get_order", "functions.get_order"]) with data.roles as roles
}

test_a_prefix_is_no_name if {
	codes == {"tool_not_allowed"} with input as offering(["get_x__delete_order"]) with data.roles as roles
}

test_called_tool_of_a_server_of_the_role if {
	every name, expected in {"orders/delete_order": set(), "crm/delete_order": {"tool_not_allowed"}} {
		codes == expected with input as calling("delete_order") with input.resource as {"name": name}
			with data.roles as {"reader": {"tools": ["orders/*"]}}
	}
}

test_called_tool_of_the_role if {
	codes == set() with input as calling("get_order") with data.roles as roles
}

test_called_tool_of_another_role if {
	codes == {"tool_not_allowed"} with input as calling("delete_order") with data.roles as roles
}
