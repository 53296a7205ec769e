package rules.flow_test

import data.rules.flow

settings(action) := {
	"untrusted_score": 0.5,
	"untrusted_tools": ["web_*"],
	"write_tools": ["send_*", "delete_*"],
	"internal_hosts": ["*.corp.example"],
	"action": action,
}

config := settings("deny")

stripping := settings("strip")

call(tools, labels) := {
	"action": {"kind": "llm", "name": "demo", "tools": tools},
	"content": {"injection": {}, "pii_from": [], "urls": []},
	"context": {"history": {"labels": labels, "tools": []}},
}

codes contains rule.code if some rule in flow.deny

test_nothing_read_no_label if {
	flow.labels == set() with input as call(["send_mail"], []) with data.flow as config
}

test_a_result_that_instructs_is_untrusted if {
	flow.labels == {"untrusted"} with input as call([], []) with input.content.injection as {"tool": 0.5}
		with data.flow as config
}

test_a_harmless_result_is_not if {
	flow.labels == set() with input as call([], []) with input.content.injection as {"tool": 0.45}
		with data.flow as config
}

test_what_the_user_wrote_is_not if {
	flow.labels == set() with input as call([], []) with input.content.injection as {"user": 1} with data.flow as config
}

test_a_listed_tool_is_untrusted if {
	flow.labels == {"untrusted"} with input as call([], []) with input.context.history.tools as ["web_search"]
		with data.flow as config
}

test_a_listed_tool_in_another_spelling_is_untrusted if {
	flow.labels == {"untrusted"} with input as call([], []) with input.context.history.tools as ["mcp__web__Web-Search"]
		with data.flow as config
}

test_writing_in_another_spelling_is_refused_after if {
	codes == {"flow_write"} with input as call(["mcp__mail__Send-Mail"], ["untrusted"]) with data.flow as config
}

test_another_tool_is_not if {
	flow.labels == set() with input as call([], []) with input.context.history.tools as ["get_order"]
		with data.flow as config
}

test_personal_data_in_a_result if {
	flow.labels == {"read:pii"} with input as call([], []) with input.content.pii_from as ["tool", "user"]
		with data.flow as config
}

test_personal_data_of_the_user if {
	flow.labels == set() with input as call([], []) with input.content.pii_from as ["user"] with data.flow as config
}

test_writing_is_free_before if {
	codes == set() with input as call(["send_mail"], ["read:pii"]) with data.flow as config
}

test_writing_is_refused_after if {
	codes == {"flow_write"} with input as call(["get_order", "send_mail"], ["untrusted"]) with data.flow as config
}

test_the_message_names_the_tool if {
	some rule in flow.deny with input as call(["send_mail"], ["untrusted"]) with data.flow as config
	rule.message == "This workflow has read untrusted content, and the tool send_mail writes"
}

test_reading_goes_on if {
	codes == set() with input as call(["get_order"], ["untrusted"]) with data.flow as config
}

test_a_call_of_a_tool_is_refused if {
	codes == {"flow_write"} with input as call([], ["untrusted"]) with input.action as tool("delete_order")
		with data.flow as stripping
}

test_a_call_under_its_whole_name_is_refused if {
	codes == {"flow_write"} with input as call([], ["untrusted"]) with input.action as tool("delete__get_order")
		with data.flow as config
}

test_a_call_of_what_says_that_it_writes_is_refused if {
	codes == {"flow_write"} with input as call([], ["untrusted"])
		with input.action as object.union(tool("commit"), {"writes": true})
		with data.flow as config
}

test_a_call_of_what_reads_goes_on if {
	every says in [false, null] {
		codes == set() with input as call([], ["untrusted"])
			with input.action as object.union(tool("commit"), {"writes": says})
			with data.flow as config
	}
}

test_what_nobody_says_anything_about_writes_unless_its_name_reads if {
	strict := object.union(config, {"read_tools": ["get_*", "files/*"]})
	every name, found in {"commit": {"flow_write"}, "get_order": set(), "getOrder": set()} {
		codes == found with input as call([], ["untrusted"])
			with input.action as object.union(tool(name), {"writes": null})
			with data.flow as strict
	}
	codes == set() with input as call([], ["untrusted"])
		with input.action as object.union(tool("commit"), {"writes": null})
		with input.resource as {"name": "files/commit"}
		with data.flow as strict
	codes == set() with input as call([], [])
		with input.action as object.union(tool("commit"), {"writes": null})
		with data.flow as strict
}

test_a_result_labels_and_is_not_refused_as_a_call if {
	judged := object.union(tool("delete_order"), {"writes": true, "of_result": true})
	codes == set() with input as call([], ["untrusted"]) with input.action as judged with data.flow as config
	flow.labels == {"untrusted"} with input as call([], []) with input.action as judged
		with input.content.injection as {"tool": 0.6}
		with data.flow as config
}

test_stripping_denies_nothing if {
	codes == set() with input as call(["send_mail"], ["untrusted"]) with data.flow as stripping
}

test_stripping_takes_what_writes if {
	flow.strip_tools == {"send_mail"} with input as call(["get_order", "send_mail"], ["untrusted"])
		with data.flow as stripping
}

test_nothing_is_stripped_where_it_is_denied if {
	flow.strip_tools == set() with input as call(["send_mail"], ["untrusted"]) with data.flow as config
}

test_addresses_are_free_before if {
	codes == set() with input as call([], []) with input.content.urls as ["evil.example"] with data.flow as config
}

test_an_address_outside_is_refused_after if {
	codes == {"flow_address"} with input as call([], ["untrusted"]) with input.content.urls as ["evil.example"]
		with data.flow as config
}

test_an_address_inside_is_not if {
	codes == set() with input as call([], ["untrusted"]) with input.content.urls as ["wiki.corp.example"]
		with data.flow as config
}

test_what_is_demanded if {
	flow.obligations == {{"code": "flow_strip", "strip_tools": {"send_mail"}}} with input as call(["send_mail"], ["untrusted"])
		with data.flow as stripping
}

tool(name) := {"kind": "tool", "name": name, "tools": []}
