package prose

import (
	"math/big"
	"strings"
	"testing"
)

// Card numbers pass the Luhn check and IBANs the mod-97 check, or a scanner would rightly let them go.
func TestCheckDigits(t *testing.T) {
	w := NewWriter(1, 1)
	for range 1000 {
		card := strings.ReplaceAll(w.card(), " ", "")
		sum := 0
		for i := range card {
			value := int(card[len(card)-1-i] - '0')
			if i%2 == 1 {
				if value *= 2; value > 9 {
					value -= 9
				}
			}
			sum += value
		}
		if len(card) != 16 || sum%10 != 0 {
			t.Fatal(card)
		}
		iban := w.iban()
		number, _ := new(big.Int).SetString(iban[4:]+"1314"+iban[2:4], 10)
		if new(big.Int).Mod(number, big.NewInt(97)).Int64() != 1 {
			t.Fatal(iban)
		}
	}
}

// No two texts and no two personal sentences are alike.
func TestNeverTheSameTwice(t *testing.T) {
	seen := map[string]bool{}
	for stream := range uint64(20) {
		w := NewWriter(7, stream)
		for range 1000 {
			for _, text := range []string{string(w.Mixed(nil, 200)), string(w.Personal(nil))} {
				if seen[text] {
					t.Fatal(text)
				}
				seen[text] = true
			}
		}
	}
}
