package rules.residency_test

import data.rules.residency

call(pii, providers) := {"content": {"pii": pii}, "action": {"providers": providers}}

table := {"US_SSN": ["local"], "*": ["*"]}

codes contains rule.code if some rule in residency.deny

test_nothing_found if {
	codes == set() with input as call({}, ["remote"]) with data.residency as table
}

test_listed_provider if {
	codes == set() with input as call({"US_SSN": 1}, ["local"]) with data.residency as table
}

test_other_provider if {
	codes == {"pii_residency"} with input as call({"US_SSN": 1}, ["remote"]) with data.residency as table
}

test_failover_counts if {
	codes == {"pii_residency"} with input as call({"US_SSN": 1}, ["local", "remote"]) with data.residency as table
}

test_other_types_go_anywhere if {
	codes == set() with input as call({"EMAIL": 3}, ["remote"]) with data.residency as table
}

test_no_entry_for_other_types if {
	codes == {"pii_residency"} with input as call({"EMAIL": 1}, ["local"])
		with data.residency as {"US_SSN": ["local"]}
}
