# What the arguments of a called tool may be: data.roles[role].arguments. A role allows a call if the role may use the
# tool (see tools.rego) and each limited argument has an allowed value. An absent argument has none.
package rules.arguments

import data.names
import data.rules.tools

deny contains {
	"code": "argument_not_allowed",
	"class": "safety",
	"message": sprintf("Agent %v may not call the tool %v with this value of the argument %v", [
		input.subject.agent, input.action.name, concat(", ", array.slice(sort(wrong), 0, 5)),
	]),
} if {
	input.action.kind == "tool"
	not input.action.of_list
	tools.permitted
	every role in tools.granting { count(outside(role)) > 0 }
}

wrong contains argument if {
	some role in tools.granting
	some argument in outside(role)
}

# The arguments that have no value that the role allows.
outside(role) := {argument |
	some pattern, limits in data.roles[role].arguments
	names.calls(pattern)
	some argument, values in limits
	not within(argument, values)
}

# `body.region` is the member `region` of the argument `body`.
within(argument, values) if {
	value := object.get(input.action.args, split(argument, "."), null)
	not is_array(value)
	fits(value, values)
}

# Of a list, each element.
within(argument, values) if {
	value := object.get(input.action.args, split(argument, "."), null)
	is_array(value)
	count(value) > 0
	every element in value { fits(element, values) }
}

fits(value, values) if {
	is_string(value)
	some pattern in values
	is_string(pattern)
	glob.match(pattern, null, value)
}

# Numbers and booleans are compared as they are.
fits(value, values) if {
	not is_string(value)
	value != null
	value in values
}
