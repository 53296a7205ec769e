# What a team may spend its calls on: data.spend.teams[team], or data.spend.teams["*"] for every other team.
package rules.spend

team := object.get(data.spend.teams, input.subject.team, object.get(data.spend.teams, "*", {}))

deny contains {
	"code": "model_too_dear",
	"class": "cost",
	"message": sprintf("The team %v may not spend on the model %v; ask for one of its own", [input.subject.team, input.action.model]),
} if {
	input.action.kind == "llm"
	count(team.models) > 0
	not affordable
}

affordable if {
	some pattern in team.models
	glob.match(pattern, null, input.action.model)
}

# The maximum tokens of the answer; the lowest limit of all rules applies.
obligations contains {"code": "spend_limit", "class": "cost", "limit": {"max_tokens": team.max_tokens}} if {
	input.action.kind == "llm"
	input.action.max_tokens > team.max_tokens
}

# A cheaper model in place of an expensive one.
obligations contains {"code": "spend_route", "class": "cost", "route": cheaper} if {
	input.action.kind == "llm"
	cheaper := team.route[input.action.model]
}
