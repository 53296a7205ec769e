# The normal form of the name of a tool, which all rules compare: lower case, `_` for `-`, and without the prefix that
# names the location of the tool. `mcp__mail__Send-Mail`, `functions.send_mail` and `SEND_MAIL` are all `send_mail`.
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

# A pattern with a prefix (`mcp__mail__*`) is compared with the whole name, any other (`send_*`) with the name after it.
fits(pattern, name) if glob.match(pattern, null, normal(name))

# `list_*` also matches `list_`.
fits(pattern, name) if glob.match(pattern, null, behind(written(name)))

fits(pattern, name) if {
	contains(pattern, "__")
	glob.match(pattern, null, written(name))
}

# The called tool: with its prefix, without, and in normal form. Rules are evaluated once, functions at every call.
called_written := written(input.action.name)

called_behind := behind(called_written)

called_normal := normal(input.action.name)

# Whether a pattern fits the called tool. A pattern with a slash is compared with server and tool: `orders/get_*`.
calls(pattern) if glob.match(pattern, null, called_normal)

calls(pattern) if glob.match(pattern, null, called_behind)

calls(pattern) if {
	contains(pattern, "__")
	glob.match(pattern, null, called_written)
}

calls(pattern) if {
	contains(pattern, "/")
	glob.match(pattern, null, input.resource.name)
}
