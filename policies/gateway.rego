# The answer to every call: data.gateway.decision. What no rule allows is denied, and one deny is enough.
package gateway

import data.gateway.models
import data.gateway.residency
import data.gateway.tools

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

# Each file of rules has its own `deny`; a new file is added here.
deny contains rule if some rule in models.deny

deny contains rule if some rule in tools.deny

deny contains rule if some rule in residency.deny

# What must be done with an allowed call. The labels stay with the workflow.
obligations := {"labels": labels}

labels contains "read:pii" if {
	some found in input.content.pii
	found > 0
}
