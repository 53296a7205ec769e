package rules.spend_test

import data.rules.spend

call(model, tokens) := {
	"subject": {"agent": "a", "team": "interns"},
	"action": {"kind": "llm", "model": model, "max_tokens": tokens},
}

table := {"teams": {"interns": {"models": ["small-*"], "max_tokens": 1000, "route": {"small-new": "small-old"}}, "*": {}}}

codes contains rule.code if some rule in spend.deny

test_model_of_the_team if {
	codes == set() with input as call("small-1", 10) with data.spend as table
}

test_dear_model if {
	codes == {"model_too_dear"} with input as call("large", 10) with data.spend as table
}

test_other_teams_are_free if {
	codes == set() with input as call("large", 10) with input.subject.team as "research" with data.spend as table
}

test_nothing_said_about_spending if {
	codes == set() with input as call("large", 10) with data.spend as {"teams": {}}
}

test_long_answers_are_cut if {
	spend.obligations == {{"code": "spend_limit", "class": "cost", "limit": {"max_tokens": 1000}}}
		with input as call("small-1", 4096)
		with data.spend as table
}

test_short_answers_are_left_alone if {
	spend.obligations == set() with input as call("small-1", 1000) with data.spend as table
}

test_cheaper_model_instead if {
	spend.obligations == {{"code": "spend_route", "class": "cost", "route": "small-old"}}
		with input as call("small-new", 10)
		with data.spend as table
}
