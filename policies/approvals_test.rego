package rules.approvals_test

import data.rules.approvals

config := {"tools": ["delete_*", "delete *", "crm/*"]}

call(name) := {"action": {"kind": "tool", "name": name}, "resource": {"name": sprintf("orders/%v", [name])}}

test_deleting_needs_a_person if {
	every name in ["delete_order", "Delete-Order", "delete__order", "deleteOrder", "DELETE /v1/orders/7"] {
		approvals.obligations == {{"code": "tool_approval", "require_approval": {"tool": name}}} with input as call(name)
			with data.approvals as config
	}
}

test_a_server_needs_a_person if {
	count(approvals.obligations) == 1 with input as call("get_it") with input.resource.name as "crm/get_it"
		with data.approvals as config
}

test_the_method_of_a_request_decides_too if {
	every name in ["removeOrder", "DELETE /v1/orders/7"] {
		count(approvals.obligations) == 1 with input as call(name)
			with input.action.args as {"method": "DELETE", "path": "/v1/orders/7"}
			with data.approvals as config
	}
	count(approvals.obligations) == 0 with input as call("GET /v1/orders/7")
		with input.action.args as {"method": "GET", "path": "/v1/orders/7"}
		with data.approvals as config
}

test_reading_does_not if {
	approvals.obligations == set() with input as call("get_order") with data.approvals as config
}

test_what_a_model_is_offered_does_not if {
	approvals.obligations == set() with input as {"action": {"kind": "llm", "name": "delete_it", "tools": ["delete_it"]}}
		with data.approvals as config
}

test_a_result_needs_no_person if {
	approvals.obligations == set() with input as call("delete_order") with input.action.of_result as true
		with data.approvals as config
}
