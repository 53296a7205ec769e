package gateway_test

import data.gateway

call := {
	"subject": {"agent": "a", "roles": ["reader"]},
	"action": {"kind": "llm", "name": "demo", "model": "demo", "providers": ["demo"], "tools": []},
	"content": {"pii": {}},
}

roles := {"reader": {"models": ["demo"], "tools": ["get_*"]}}

test_demo_call_is_allowed if {
	gateway.decision == {"allow": true, "deny": set(), "obligations": set()} with input as call
		with data.roles as roles
}

test_every_shipped_role_may_use_the_demo if {
	every role in ["reader", "developer"] {
		gateway.decision.allow with input as call with input.subject.roles as [role]
	}
}

test_nothing_known_is_denied if {
	gateway.decision.allow == false with input as {}
}

test_another_kind_is_denied if {
	gateway.decision.allow == false with input as {"action": {"kind": "agent", "name": "b"}}
}

test_tool_call_of_the_role if {
	gateway.decision.allow with input as {
		"subject": {"agent": "a", "roles": ["reader"]},
		"action": {"kind": "tool", "name": "get_order", "tools": [], "providers": []},
		"content": {"pii": {}},
	}
		with data.roles as roles
}

test_obligations_of_rules_are_obligations_of_the_call if {
	some obligation in gateway.decision.obligations with input.content.injection as {"tool": 0.9}
	obligation.labels == {"untrusted"}
}

test_agents_of_the_role_are_allowed if {
	message := {
		"subject": {"agent": "a", "roles": ["lead"]},
		"action": {"kind": "agent", "name": "planner", "model": "", "providers": ["planner"], "tools": []},
		"content": {"pii": {}},
	}
	lead := {"lead": {"agents": ["planner"]}}
	gateway.decision.allow with input as message with data.roles as lead
	not gateway.decision.allow with input as object.union(message, {"action": {"name": "payer"}}) with data.roles as lead
}
