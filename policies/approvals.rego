# Calls of tools that a person must approve: data.approvals.
package rules.approvals

import data.names

obligations contains {
	"code": "tool_approval",
	"require_approval": {"tool": input.action.name},
} if {
	input.action.kind == "tool"
	not input.action.of_result
	some pattern in data.approvals.tools
	fits(pattern)
}

fits(pattern) if names.calls(pattern)

fits(pattern) if glob.match(pattern, null, names.called_written)

# The request of an HTTP tool, whatever the name of its operation: `delete /v1/orders/7`, and `delete removeorder` for an
# operation that is called as a tool.
fits(pattern) if glob.match(pattern, null, lower(concat(" ", [input.action.args.method, input.action.args.path])))

fits(pattern) if {
	input.action.deletes
	glob.match(pattern, null, concat(" ", ["delete", lower(input.action.name)]))
}
