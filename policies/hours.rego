# When a team may call: data.hours.teams[team]. A team without an entry may call at any time.
package rules.hours

deny contains {
	"code": "outside_hours",
	"class": "compliance",
	"message": sprintf("The team %v may call on %v from %v to %v o'clock (%v)", [
		input.subject.team,
		concat(", ", hours.days),
		hours.from,
		hours.until,
		hours.zone,
	]),
} if {
	hours := data.hours.teams[input.subject.team]
	not within(hours)
}

# `input.context.time` is the minute of the call, so that a replay evaluates that time, not the current time.
within(hours) if {
	time.weekday([input.context.time, hours.zone]) in hours.days
	[hour, _, _] := time.clock([input.context.time, hours.zone])
	hour >= hours.from
	hour < hours.until
}
