package rules.agents_test

import data.rules.agents

roles := {"lead": {"agents": ["plan*"]}, "other": {"agents": ["*"]}, "reader": {"models": ["*"]}}

asked(held, name) := {"subject": {"agent": "a", "roles": held}, "action": {"kind": "agent", "name": name}}

test_an_agent_of_the_list_is_allowed if {
	count(agents.deny) == 0 with input as asked(["lead"], "planner") with data.roles as roles
}

test_another_agent_is_denied if {
	some rule in agents.deny with input as asked(["lead"], "payer") with data.roles as roles
	rule.code == "agent_not_allowed"
}

test_names_are_compared_as_they_are_written if {
	count(agents.deny) == 0 with input as asked(["it"], "code-reviewer") with data.roles as {"it": {"agents": ["code-*"]}}
	count(agents.deny) == 1 with input as asked(["it"], "code_reviewer") with data.roles as {"it": {"agents": ["code-*"]}}
}

test_any_role_is_enough if {
	count(agents.deny) == 0 with input as asked(["lead", "other"], "payer") with data.roles as roles
}

test_a_role_without_a_list_allows_none if {
	count(agents.deny) == 1 with input as asked(["reader"], "planner") with data.roles as roles
}

test_no_role_allows_none if {
	count(agents.deny) == 1 with input as asked([], "planner") with data.roles as roles
}

test_calls_of_models_are_not_concerned if {
	count(agents.deny) == 0 with input as {"subject": {"agent": "a", "roles": []}, "action": {"kind": "llm", "name": "planner"}} with data.roles as roles
}
