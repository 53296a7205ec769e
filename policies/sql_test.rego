package rules.sql_test

import data.rules.sql

call(roles, kind, tables) := {
	"subject": {"agent": "a", "roles": roles},
	"action": {"kind": "llm", "model": "m"},
	"content": {"sql": [{"kind": kind, "tables": tables, "writes": false}]},
}

table := {"analyst": {"sql": ["select"], "tables": ["sales.*", "dates"]}, "loader": {"sql": ["insert"]}, "free": {}}

codes contains rule.code if some rule in sql.deny

test_kind_of_the_role if {
	codes == set() with input as call(["analyst"], "select", ["sales.orders", "dates"]) with data.roles as table
}

test_other_kind if {
	codes == {"sql_kind"} with input as call(["analyst"], "delete", ["sales.orders"]) with data.roles as table
}

test_other_table if {
	codes == {"sql_table"} with input as call(["analyst"], "select", ["hr.people"]) with data.roles as table
}

test_roles_add_up if {
	codes == set() with input as call(["analyst", "loader"], "insert", ["sales.orders"]) with data.roles as table
}

test_roles_that_say_nothing if {
	codes == set() with input as call(["free"], "drop", ["hr.people"]) with data.roles as table
	sql.obligations == set() with input as call(["free"], "drop", ["hr.people"]) with data.roles as table
}

test_answers_are_limited_too if {
	sql.obligations == {{"code": "sql_role", "class": "safety", "sql": {"select"}}}
		with input as call(["analyst"], "select", [])
		with data.roles as table
}
