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
