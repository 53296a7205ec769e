# Who may use which model: data.roles[role].models.
package rules.models

default allowed := false

allowed if {
	some role in input.subject.roles
	some pattern in data.roles[role].models
	glob.match(pattern, null, input.action.model)
}

deny contains {
	"code": "model_not_allowed",
	"class": "compliance",
	"message": sprintf("Agent %v has no role that may use the model %v", [input.subject.agent, input.action.model]),
} if {
	input.action.kind == "llm"
	not allowed
}
