# Who may use which tool: data.roles[role].tools. Applies to tools that are offered to a model and to calls of tools.
# Names are compared in normal form: see names.rego. The arguments of a call: arguments.rego.
package rules.tools

import data.names

allowed(name) if {
	some role in input.subject.roles
	some pattern in data.roles[role].tools
	names.fits(pattern, name)
}

# A call of a tool.
permitted if count(granting) > 0

# The roles that may call the tool.
granting contains role if {
	some role in input.subject.roles
	some pattern in data.roles[role].tools
	names.calls(pattern)
}

# One message with a list, not a set of messages: the time for a set grows with the square of its size.
refused := [name | some name in input.action.tools; not allowed(name)]

deny contains {
	"code": "tool_not_allowed",
	"class": "safety",
	"message": sprintf("Agent %v has no role that may use the tool %v", [input.subject.agent, concat(", ", array.slice(refused, 0, 5))]),
} if {
	count(refused) > 0
}

deny contains {
	"code": "tool_not_allowed",
	"class": "safety",
	"message": sprintf("Agent %v has no role that may use the tool %v", [input.subject.agent, input.action.name]),
} if {
	input.action.kind == "tool"
	not permitted
}
