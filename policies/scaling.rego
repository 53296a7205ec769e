# Calls of tools that start or enlarge something that costs: data.scaling. The call names its cost, its reason and the
# service; the cost stays below what the workflow may still spend (`quotas.cost_usd`).
package rules.scaling

import data.names

scales if {
	input.action.kind == "tool"
	not input.action.of_result
	not input.action.of_list
	some pattern in data.scaling.tools
	names.calls(pattern)
}

cost := input.action.args[data.scaling.cost]

# A cost that can be compared: no text, nothing below zero.
priced if {
	is_number(cost)
	cost >= 0
}

deny contains {
	"code": "scaling_cost_missing",
	"class": "cost",
	"message": sprintf("The tool %v needs its cost in USD, a number, in the argument %v", [input.action.name, data.scaling.cost]),
} if {
	scales
	not priced
}

deny contains {
	"code": "scaling_over_budget",
	"class": "cost",
	"message": sprintf("The cost in the argument %v is more than the workflow may still spend", [data.scaling.cost]),
} if {
	scales
	priced
	not affordable
}

# Without a quota of cost, nothing is left to compare with.
affordable if cost <= input.context.left.cost_usd

deny contains {
	"code": "scaling_unjustified",
	"class": "compliance",
	"message": sprintf("The tool %v needs a reason in the argument %v", [input.action.name, data.scaling.reason]),
} if {
	scales
	not reasoned
}

reasoned if count(trim_space(input.action.args[data.scaling.reason])) >= 10

deny contains {
	"code": "service_decommissioned",
	"class": "compliance",
	"message": sprintf("The tool %v may not be called for a service that is decommissioned", [input.action.name]),
} if {
	scales
	not in_service
}

# A service that is not named cannot be told from one that is decommissioned.
in_service if {
	name := lower(trim_space(input.action.args[data.scaling.service]))
	name != ""
	every gone in data.scaling.decommissioned { not glob.match(lower(gone), null, name) }
}
