package rules.instructions_test

import data.rules.instructions

limits := {"tool": 0.8}

codes contains rule.code if some rule in instructions.deny

test_no_text_no_deny if {
	codes == set() with input.content.injection as {} with data.injection as limits
}

test_harmless_result if {
	codes == set() with input.content.injection as {"tool": 0.45, "user": 0} with data.injection as limits
}

test_instructions_in_a_result if {
	codes == {"injection_suspected"} with input.content.injection as {"tool": 0.8} with data.injection as limits
}

test_the_message_names_channel_and_score if {
	some rule in instructions.deny with input.content.injection as {"tool": 0.95} with data.injection as limits
	rule.message == "Text of the call (tool) looks like instructions to the model, by a score of 0.95"
}

test_a_channel_without_a_limit if {
	codes == set() with input.content.injection as {"user": 1} with data.injection as limits
}

test_every_channel_with_a_limit if {
	codes == {"injection_suspected"} with input.content.injection as {"user": 0.9}
		with data.injection as {"tool": 0.8, "user": 0.9}
}
