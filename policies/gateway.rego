# The answer to every call: data.gateway.decision. What no rule allows is denied, and one deny is enough.
package gateway

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
	tools.allowed(input.action.name)
}

# Every `deny` of a package below `rules` counts: a new rule is a new file, and nothing else to edit.
deny contains rule if some rule in data.rules[_].deny

# What must be done with an allowed call, one object for each rule that demands something; where two want different
# things, the gateway takes the stricter, or that of the higher class. The labels stay with the workflow.
obligations contains obligation if some obligation in data.rules[_].obligations
