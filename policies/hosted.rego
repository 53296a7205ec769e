# Tools that a provider runs: those with network reach are denied, unless data.hosted allows their type and host.
package rules.hosted

allowed(tool) if {
	some pattern in data.hosted.types
	glob.match(pattern, null, tool.type)
	reachable(tool.host)
}

reachable(host) if host == ""

reachable(host) if {
	some pattern in data.hosted.hosts
	glob.match(pattern, null, host)
}

refused := [shown(tool) | some tool in input.action.hosted; not allowed(tool)]

shown(tool) := tool.type if tool.host == ""

shown(tool) := sprintf("%v (%v)", [tool.type, tool.host]) if tool.host != ""

deny contains {
	"code": "hosted_tool",
	"class": "safety",
	"message": sprintf("Tools that the provider runs are not allowed here: %v", [concat(", ", array.slice(refused, 0, 5))]),
} if {
	count(refused) > 0
}
