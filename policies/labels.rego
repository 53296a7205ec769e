# Which models may see what a workflow has read: data.labels[label], patterns of models.
# A label without an entry allows every model. A label that this call sets also counts.
package rules.labels

deny contains {
	"code": "label_model",
	"class": "compliance",
	"message": sprintf("This workflow carries the label %v, with which it may not use the model %v", [label, input.action.model]),
} if {
	input.action.kind == "llm"
	some label in input.context.history.labels
	data.labels[label]
	not allowed(label)
}

allowed(label) if {
	some pattern in data.labels[label]
	glob.match(pattern, null, input.action.model)
}
