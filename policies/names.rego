# The normal form of a tool's name, in which every rule compares: lower case, `_` for `-`, and without the prefix that
# says where the tool lives. `mcp__mail__Send-Mail`, `functions.send_mail` and `SEND_MAIL` are all `send_mail`.
package names

# In small letters, with one separator, and with its prefix.
written(name) := concat("_", split(lower(name), "-"))

# The same without a prefix, and without separators at its end.
normal(name) := behind(trim_right(written(name), "_./"))

# What stands behind the prefix.
behind(name) := last if {
	servers := split(name, "__")
	spaces := split(servers[count(servers) - 1], ".")
	paths := split(spaces[count(spaces) - 1], "/")
	last := paths[count(paths) - 1]
}

# A pattern with a prefix (`mcp__mail__*`) is about the whole name, any other (`send_*`) about the name behind it.
fits(pattern, name) if glob.match(pattern, null, normal(name))

# `list_*` is about `list_`, too.
fits(pattern, name) if glob.match(pattern, null, behind(written(name)))

fits(pattern, name) if {
	contains(pattern, "__")
	glob.match(pattern, null, written(name))
}
