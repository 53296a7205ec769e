# What a workflow may do after it has read untrusted content: data.flow.
#
# A label applies to the call that sets it: the gateway evaluates that call again with the label. So the call that brings
# untrusted content may not write either. Names of tools are compared in normal form: see names.rego.
package rules.flow

import data.names

labels contains "untrusted" if input.content.injection.tool >= data.flow.untrusted_score

labels contains "untrusted" if {
	some tool in input.context.history.tools
	some pattern in data.flow.untrusted_tools
	names.fits(pattern, tool)
}

labels contains "read:pii" if "tool" in input.content.pii_from

untrusted if "untrusted" in input.context.history.labels

deny contains {
	"code": "flow_write",
	"class": "safety",
	"message": sprintf("This workflow has read untrusted content, and the tool %v writes", [tool]),
} if {
	some tool in writers
	refused
	not input.action.of_result
}

deny contains {
	"code": "flow_address",
	"class": "safety",
	"message": sprintf("This workflow has read untrusted content, and %v is an address outside", [host]),
} if {
	untrusted
	not input.action.of_result
	some host in input.content.urls
	not inside(host)
}

obligations contains {"code": "flow_labels", "labels": labels} if count(labels) > 0

obligations contains {"code": "flow_strip", "strip_tools": strip_tools} if count(strip_tools) > 0

# With `action: strip`, tools that write are not offered to the model; a call of such a tool is still refused.
strip_tools contains tool if {
	some tool in writers
	not refused
}

refused if input.action.kind != "llm"

refused if data.flow.action != "strip"

writers contains tool if {
	untrusted
	some tool in wanted
	some pattern in data.flow.write_tools
	names.fits(pattern, tool)
}

# What is called itself: also under its whole name, and if operator or server say that the tool writes.
writers contains input.action.name if {
	untrusted
	input.action.kind == "tool"
	some pattern in data.flow.write_tools
	glob.match(pattern, null, names.called_written)
}

writers contains input.action.name if {
	untrusted
	input.action.kind == "tool"
	input.action.writes == true
}

# With `read_tools`, also what nobody says anything about, unless its name says that it reads: the protocol takes a tool
# without annotations for one that writes.
writers contains input.action.name if {
	untrusted
	input.action.kind == "tool"
	input.action.writes == null
	data.flow.read_tools
	not reads
}

reads if {
	some pattern in data.flow.read_tools
	names.calls(pattern)
}

wanted contains tool if some tool in input.action.tools

wanted contains input.action.name if input.action.kind == "tool"

inside(host) if {
	some pattern in data.flow.internal_hosts
	glob.match(pattern, null, host)
}
