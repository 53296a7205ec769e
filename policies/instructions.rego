# Text that contains instructions to the model in place of information: data.injection.
package rules.instructions

deny contains {
	"code": "injection_suspected",
	"class": "safety",
	"message": sprintf("Text of the call (%v) looks like instructions to the model, by a score of %v", [channel, score]),
} if {
	some channel, score in input.content.injection
	score >= object.get(data.injection, channel, 2)
}
