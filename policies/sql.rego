# Which SQL a role may have run: data.roles[role].sql, kinds of statement, and data.roles[role].tables, patterns.
# An agent whose roles say nothing about SQL is not limited here; what they say adds up.
package rules.sql

limits contains role if {
	some role in input.subject.roles
	data.roles[role].sql
}

kinds contains kind if {
	some role in limits
	some kind in data.roles[role].sql
}

# In the call: statements in the arguments of tools.
deny contains {
	"code": "sql_kind",
	"class": "safety",
	"message": sprintf("Agent %v may not have SQL of the kind %v run", [input.subject.agent, statement.kind]),
} if {
	count(limits) > 0
	some statement in input.content.sql
	not statement.kind in kinds
}

deny contains {
	"code": "sql_table",
	"class": "compliance",
	"message": sprintf("Agent %v has no role that may touch the table %v", [input.subject.agent, table]),
} if {
	count(tabled) > 0
	some statement in input.content.sql
	some table in statement.tables
	not touchable(table)
}

tabled contains role if {
	some role in input.subject.roles
	data.roles[role].tables
}

touchable(table) if {
	some role in tabled
	some pattern in data.roles[role].tables
	glob.match(pattern, null, table)
}

# In the answer: what a model writes is judged as it streams.
obligations contains {"code": "sql_role", "class": "safety", "sql": kinds} if {
	input.action.kind == "llm"
	count(limits) > 0
}
