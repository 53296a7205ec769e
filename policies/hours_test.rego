package rules.hours_test

import data.rules.hours

call(at) := {"subject": {"agent": "a", "team": "desk"}, "context": {"time": at}}

table := {"teams": {"desk": {"zone": "Europe/Berlin", "days": ["Friday"], "from": 9, "until": 17}}}

codes contains rule.code if some rule in hours.deny

# Friday, 20 November 2026, 10:30 in UTC: 11:30 in Berlin.
morning := 1795170600000000000

hour := 3600000000000

test_within if {
	codes == set() with input as call(morning) with data.hours as table
}

test_after_hours if {
	codes == {"outside_hours"} with input as call(morning + (6 * hour)) with data.hours as table
}

test_the_zone_counts if {
	codes == set() with input as call(morning - (2 * hour)) with data.hours as table
	codes == {"outside_hours"} with input as call(morning - (3 * hour)) with data.hours as table
}

test_another_day if {
	codes == {"outside_hours"} with input as call(morning + (24 * hour)) with data.hours as table
}

test_other_teams_have_no_hours if {
	codes == set() with input as call(morning + (12 * hour)) with input.subject.team as "night" with data.hours as table
}
