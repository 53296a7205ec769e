# Which provider may see a call that holds personal data: data.residency.
package rules.residency

# Every provider that may serve the call counts: a failover must not send data to a provider that may not see it.
deny contains {
	"code": "pii_residency",
	"class": "compliance",
	"message": sprintf("The call holds %v, which must not go to the provider %v", [type, provider]),
} if {
	some type, found in input.content.pii
	found > 0
	some provider in input.action.providers
	not may_see(provider, type)
}

may_see(provider, type) if {
	some allowed in object.get(data.residency, type, object.get(data.residency, "*", []))
	allowed in {provider, "*"}
}
