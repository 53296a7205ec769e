package names_test

import data.names

test_one_form if {
	names.normal("SEND-MAIL") == "send_mail"
	names.normal("mcp__mail__Send-Mail") == "send_mail"
	names.normal("functions.send_mail") == "send_mail"
	names.normal("mail/send_mail__") == "send_mail"
}

test_words_with_capital_letters if {
	names.fits("send_*", "sendMail")
	names.fits("delete_*", "mcp__shop__deleteOrder")
	names.fits("delete_*", "DeleteOrder2Day")
	names.fits("delete_*", "DELETEOrder")
	names.fits("get_*_by_id", "getHTTPLogById")
	names.spaced("getHTTPLogById") == "get_HTTP_Log_By_Id"
	names.fits("getuser*", "getUserList")
	not names.fits("send_*", "resendMail")
	not names.fits("send_*", "sending")
}

test_another_tool if {
	not names.fits("send_*", "mcp__send__list")
	not names.fits("send_*", "resend_mail")
}

test_a_pattern_with_a_prefix if {
	names.fits("mcp__mail__*", "mcp__Mail__send-mail")
	not names.fits("mcp__mail__*", "mcp__files__send_mail")
}
