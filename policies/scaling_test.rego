package rules.scaling_test

import data.rules.scaling

config := {
	"tools": ["cluster/scale_*"],
	"cost": "cost_usd",
	"reason": "justification",
	"service": "service",
	"decommissioned": ["billing-v1", "old-*"],
}

good := {"cost_usd": 2.5, "justification": "queue above 10,000 since noon", "service": "search"}

call(name, args) := {
	"action": {"kind": "tool", "name": name, "args": args},
	"resource": {"type": "tool", "name": sprintf("cluster/%v", [name])},
	"context": {"left": {"cost_usd": 3, "calls": 10}},
}

codes contains rule.code if some rule in scaling.deny

test_an_affordable_reasoned_call if {
	codes == set() with input as call("scale_service", good) with data.scaling as config
}

test_more_than_is_left if {
	codes == {"scaling_over_budget"} with input as call("scale_service", object.union(good, {"cost_usd": 3.01}))
		with data.scaling as config
}

test_no_quota_of_cost if {
	codes == {"scaling_over_budget"} with input as call("scale_service", good) with input.context.left as {"calls": 10}
		with data.scaling as config
}

test_a_cost_that_is_none if {
	every cost in [null, "2.5", -1, [1]] {
		codes == {"scaling_cost_missing"} with input as call("scale_service", object.union(good, {"cost_usd": cost}))
			with data.scaling as config
	}
}

test_no_reason if {
	every reason in ["", "          ", "because", null, 7] {
		codes == {"scaling_unjustified"} with input as call("scale_service", object.union(good, {"justification": reason}))
			with data.scaling as config
	}
}

test_a_decommissioned_service if {
	every service in ["billing-v1", "Billing-V1", " old-search", null, ""] {
		args := object.union(good, {"service": service})
		codes == {"service_decommissioned"} with input as call("scale_service", args) with data.scaling as config
	}
}

test_no_argument_at_all if {
	codes == {"scaling_cost_missing", "scaling_unjustified", "service_decommissioned"} with input as call("scale_service", {})
		with data.scaling as config
}

test_other_tools if {
	codes == set() with input as call("get_service", {}) with data.scaling as config
}

test_a_result_is_not_judged_again if {
	codes == set() with input as call("scale_service", {}) with input.action.of_result as true with data.scaling as config
}

test_the_tool_is_listed if {
	codes == set() with input as call("scale_service", {}) with input.action.of_list as true with data.scaling as config
}
