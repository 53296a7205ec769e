package rules.labels_test

import data.rules.labels

call(model, carried) := {
	"subject": {"agent": "a"},
	"action": {"kind": "llm", "model": model},
	"context": {"history": {"labels": carried, "tools": []}},
}

table := {"read:pii": ["local-*"], "secret": []}

codes contains rule.code if some rule in labels.deny

test_no_label if {
	codes == set() with input as call("cloud", []) with data.labels as table
}

test_model_of_the_label if {
	codes == set() with input as call("local-1", ["read:pii"]) with data.labels as table
}

test_other_model if {
	codes == {"label_model"} with input as call("cloud", ["read:pii"]) with data.labels as table
}

test_every_label_counts if {
	codes == {"label_model"} with input as call("local-1", ["read:pii", "secret"]) with data.labels as table
}

test_label_without_an_entry if {
	codes == set() with input as call("cloud", ["untrusted"]) with data.labels as table
}
