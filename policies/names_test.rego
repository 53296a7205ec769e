package names_test

import data.names

test_one_form if {
	every name in ["send_mail", "SEND-MAIL", "mcp__mail__Send-Mail", "functions.send_mail", "mail/send_mail", "mail:send mail"] {
		names.normal(name) == "send_mail"
	}
}

test_nothing_behind_a_separator if {
	names.normal("mail__") == "mail__"
	names.normal("mail.") == "mail."
}

test_another_tool if {
	names.normal("mcp__send__list") == "list"
	not names.fits("send_*", "mcp__send__list")
	not names.fits("send_*", "resend_mail")
}

test_a_pattern_with_a_prefix if {
	names.fits("MCP__mail__*", "mcp__mail__send-mail")
	names.fits("send-*", "mcp__mail__send_mail")
	not names.fits("mcp__mail__*", "mcp__files__send_mail")
}
