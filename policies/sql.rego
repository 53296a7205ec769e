# Which SQL a role may run or receive: data.roles[role].sql, kinds of statement, and data.roles[role].tables, patterns.
# An agent without such roles is not limited here; an agent with several may use what any of them allows.
package rules.sql

limits contains role if {
	some role in input.subject.roles
	data.roles[role].sql
}

kinds contains kind if {
	some role in limits
	some kind in data.roles[role].sql
}

# In the request: statements in the arguments of tools.
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

# In the answer: the text of the model is checked as it streams.
obligations contains {"code": "sql_role", "class": "safety", "sql": kinds} if {
	input.action.kind == "llm"
	count(limits) > 0
}
