# Who may use which tool: data.roles[role].tools. Both the tools offered to a model and a tool that is called.
package rules.tools

allowed(name) if {
	some role in input.subject.roles
	some pattern in data.roles[role].tools
	glob.match(pattern, null, name)
}

wanted contains name if some name in input.action.tools

wanted contains input.action.name if input.action.kind == "tool"

deny contains {
	"code": "tool_not_allowed",
	"class": "safety",
	"message": sprintf("Agent %v has no role that may use the tool %v", [input.subject.agent, name]),
} if {
	some name in wanted
	not allowed(name)
}
