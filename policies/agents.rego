# Who may send messages to which agent: data.roles[role].agents. The names are those of `a2a` in gateway.yaml.
package rules.agents

allowed(name) if {
	some role in input.subject.roles
	some pattern in data.roles[role].agents
	glob.match(pattern, null, name)
}

deny contains {
	"code": "agent_not_allowed",
	"class": "safety",
	"message": sprintf("Agent %v has no role that may send messages to the agent %v", [input.subject.agent, input.action.name]),
} if {
	input.action.kind == "agent"
	not allowed(input.action.name)
}
