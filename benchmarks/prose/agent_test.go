package prose

import (
	"encoding/json"
	"strings"
	"testing"
)

// Fragments are the inside of a JSON string, and none has the mark by which the mock tells an unredacted address.
func TestFragmentsAreJSON(t *testing.T) {
	for _, text := range agent {
		var said string
		if err := json.Unmarshal([]byte(`"`+text+`"`), &said); err != nil {
			t.Fatal(err, text)
		}
		if strings.Contains(said, Marker) || strings.Contains(said, "<") {
			t.Fatal(said)
		}
	}
}
