# The normal form of a tool's name, in which every rule compares: lower case, `_` for `-`, and without the prefix that
# says where the tool lives. `mcp__mail__Send-Mail`, `functions.send_mail` and `SEND_MAIL` are all `send_mail`.
package names

# In small letters, with one separator, and with its prefix.
written(name) := replaced(replaced(lower(name), "-"), " ")

replaced(text, sign) := concat("_", split(text, sign))

# The same without a prefix.
normal(name) := last(last(last(last(written(name), "__"), "."), "/"), ":")

last(text, separator) := part if {
	parts := split(text, separator)
	part := parts[count(parts) - 1]
	part != ""
}

# What ends with a separator has nothing behind it: the whole text counts.
last(text, separator) := text if {
	parts := split(text, separator)
	parts[count(parts) - 1] == ""
}

# A pattern with a prefix (`mcp__mail__*`) is about the whole name, any other (`send_*`) about the name behind it.
fits(pattern, name) if {
	not prefixed(pattern)
	glob.match(written(pattern), null, normal(name))
}

fits(pattern, name) if {
	prefixed(pattern)
	glob.match(written(pattern), null, written(name))
}

prefixed(pattern) if {
	some separator in ["__", ".", "/", ":"]
	contains(pattern, separator)
}
