package rules.egress_test

import data.rules.egress

config := {"hosts": ["*.corp.example"]}

call(kind, urls) := {"action": {"kind": kind, "name": "fetch"}, "content": {"urls": urls}}

codes contains rule.code if some rule in egress.deny

test_inside if {
	codes == set() with input as call("tool", ["wiki.corp.example"]) with data.egress as config
}

test_outside if {
	codes == {"egress_host"} with input as call("tool", ["wiki.corp.example", "evil.example"]) with data.egress as config
}

test_texts_of_models_are_not_meant if {
	codes == set() with input as call("llm", ["evil.example"]) with data.egress as config
}

test_nor_are_results if {
	codes == set() with input as call("tool", ["evil.example"]) with input.action.of_result as true
		with data.egress as config
}

test_no_setting_no_host if {
	codes == {"egress_host"} with input as call("tool", ["evil.example"]) with data.egress as {}
}
