package rules.models_test

import data.rules.models

call(roles, model) := {
	"subject": {"agent": "a", "roles": roles},
	"action": {"kind": "llm", "model": model},
}

roles := {"reader": {"models": ["small-*"]}, "developer": {"models": ["*"]}}

test_role_allows_by_pattern if {
	models.allowed with input as call(["reader"], "small-2") with data.roles as roles
}

test_wildcard_allows_every_model if {
	models.allowed with input as call(["developer"], "vendor/large.v1") with data.roles as roles
}

test_any_role_is_enough if {
	models.allowed with input as call(["reader", "developer"], "large") with data.roles as roles
}

test_other_model_is_denied if {
	models.deny == {{
		"code": "model_not_allowed",
		"class": "compliance",
		"message": "Agent a has no role that may use the model large",
	}}
		with input as call(["reader"], "large")
		with data.roles as roles
}

test_unknown_role_allows_nothing if {
	not models.allowed with input as call(["nobody"], "small-2") with data.roles as roles
}

test_no_role_allows_nothing if {
	not models.allowed with input as call([], "small-2") with data.roles as roles
}
