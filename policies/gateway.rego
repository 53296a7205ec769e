# The decision on every call: data.gateway.decision. A call that no rule allows is denied, and one deny is enough.
package gateway

import data.rules.agents
import data.rules.models
import data.rules.tools

decision := {"allow": allow, "deny": deny, "obligations": obligations}

default allow := false

allow if {
	input.action.kind == "llm"
	models.allowed
}

allow if {
	input.action.kind == "tool"
	tools.permitted
}

allow if {
	input.action.kind == "agent"
	agents.allowed(input.action.name)
}

# Every `deny` of a package below `rules` counts: a new rule is a new file, without any other change.
deny contains rule if some rule in data.rules[_].deny

# Obligations of an allowed call, one object for each rule. If two differ, the gateway applies the stricter, or that of
# the higher class. Labels stay with the workflow.
obligations contains obligation if some obligation in data.rules[_].obligations
