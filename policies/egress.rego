# The hosts that the arguments of a called tool may name: data.egress.hosts.
package rules.egress

deny contains {
	"code": "egress_host",
	"class": "safety",
	"message": sprintf("The tool %v may not be called with an address at %v", [input.action.name, host]),
} if {
	input.action.kind == "tool"
	not input.action.of_result
	some host in input.content.urls
	not inside(host)
}

inside(host) if {
	some pattern in data.egress.hosts
	glob.match(pattern, null, host)
}
