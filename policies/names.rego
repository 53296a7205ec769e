# The normal form of the name of a tool, which all rules compare: lower case, `_` for `-`, and without the prefix that
# names the location of the tool. `mcp__mail__Send-Mail`, `functions.send_mail`, `SEND_MAIL` and `sendMail` are all
# `send_mail`.
package names

# In lower case, with one separator, and with the prefix.
written(name) := concat("_", split(lower(name), "-"))

# The same without a prefix, and without separators at the end.
normal(name) := behind(trim_right(written(name), "_./"))

# The text after the prefix.
behind(name) := last if {
	servers := split(name, "__")
	spaces := split(servers[count(servers) - 1], ".")
	paths := split(spaces[count(spaces) - 1], "/")
	last := paths[count(paths) - 1]
}

# A pattern fits a name if it fits any of its forms.
fits(pattern, name) if matches(pattern, forms(name), written(name))

# A pattern with a prefix (`mcp__mail__*`) is compared with the whole name, any other (`send_*`) with the name after it.
matches(pattern, names, _) if {
	some name in names
	glob.match(pattern, null, name)
}

matches(pattern, _, whole) if {
	contains(pattern, "__")
	glob.match(pattern, null, whole)
}

# `list_*` also matches `list_`, and `sendMail` is also `send_mail`.
forms(name) := {normal(name), behind(written(name))} if {
	lower(name) == name
} else := {normal(name), behind(written(name)), normal(spaced(name))}

# With a separator before each word that begins with a capital letter: `deleteOrder`, `DELETEOrder`, `getHTTPLog`.
spaced(name) := parted(`([A-Z])([A-Z][a-z])`, parted(`([a-z0-9])([A-Z])`, name))

parted(border, name) := strings.replace_n(
	{said[0]: concat("_", [said[1], said[2]]) | some said in regex.find_all_string_submatch_n(border, name, -1)},
	name,
)

# Those of the called tool. Rules are evaluated once, functions at every call.
called_written := written(input.action.name)

called_forms := forms(input.action.name)

# Whether a pattern fits the called tool. A pattern with a slash is compared with server and tool: `orders/get_*`.
calls(pattern) if matches(pattern, called_forms, called_written)

calls(pattern) if {
	contains(pattern, "/")
	glob.match(pattern, null, input.resource.name)
}
