package rules.arguments_test

import data.rules.arguments

roles := {
	"reader": {"tools": ["get_*"], "arguments": {"orders/get_*": {"region": ["eu-*", "uk"], "limit": [10, 20]}}},
	"auditor": {"tools": ["get_order"], "arguments": {"get_order": {"region": ["us"]}}},
	"writer": {"tools": ["put_*"], "arguments": {"put_*": {"body.state": ["draft"]}}},
}

call(name, args, held) := {
	"subject": {"agent": "a", "roles": held},
	"action": {"kind": "tool", "name": name, "args": args, "tools": []},
	"resource": {"type": "tool", "name": sprintf("orders/%v", [name])},
}

codes contains rule.code if some rule in arguments.deny

test_allowed_values if {
	every args in [{"region": "eu-west", "limit": 10}, {"region": ["uk", "eu-1"], "limit": [20]}] {
		codes == set() with input as call("get_order", args, ["reader"]) with data.roles as roles
	}
}

test_other_values if {
	every args in [
		{"region": "us", "limit": 10},
		{"region": "eu-west", "limit": 11},
		{"region": "eu-west", "limit": "10"},
		{"region": ["uk", "us"], "limit": 10},
		{"region": [], "limit": 10},
		{"region": {"not": "eu-west"}, "limit": 10},
	] {
		codes == {"argument_not_allowed"} with input as call("get_order", args, ["reader"]) with data.roles as roles
	}
}

test_absent_arguments_have_no_allowed_value if {
	every args in [{}, {"region": "uk"}, {"region": null, "limit": 10}] {
		codes == {"argument_not_allowed"} with input as call("get_order", args, ["reader"]) with data.roles as roles
	}
}

test_one_role_is_enough if {
	codes == set() with input as call("get_order", {"region": "us"}, ["reader", "auditor"]) with data.roles as roles
}

test_values_of_two_roles_do_not_add_up if {
	codes == {"argument_not_allowed"} with input as call("get_order", {"region": "ca"}, ["reader", "auditor"])
		with data.roles as roles
}

test_members_of_an_argument if {
	every state, expected in {"draft": set(), "final": {"argument_not_allowed"}} {
		codes == expected with input as call("put_order", {"body": {"state": state}}, ["writer"]) with data.roles as roles
	}
}

test_the_message_names_arguments_and_no_values if {
	some rule in arguments.deny with input as call("get_order", {"region": "us", "limit": 10}, ["reader"])
		with data.roles as roles
	contains(rule.message, "region")
	not contains(rule.message, "us")
}

test_a_tool_without_limits if {
	codes == set() with input as call("get_order", {}, ["free"]) with data.roles as {"free": {"tools": ["*"]}}
}

test_the_tool_is_listed if {
	codes == set() with input as call("get_order", {}, ["reader"]) with input.action.of_list as true with data.roles as roles
}
