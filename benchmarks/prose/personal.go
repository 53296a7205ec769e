package prose

import (
	"fmt"
	"math/big"
	"strconv"
)

// Marker ends every e-mail address made here, so that the mock can tell whether one reached it unredacted.
const Marker = ".example.com"

var (
	given    = []string{"anna", "jose", "mehmet", "lena", "david", "priya", "tom", "yuki", "clara", "omar"}
	family   = []string{"kowalski", "garcia", "yilmaz", "schmidt", "miller", "sharma", "baker", "tanaka", "rossi", "haddad"}
	areas    = []int{212, 312, 415, 617, 206, 305, 404, 503, 713, 808}
	prefixes = []string{"4556", "4916", "4532", "5105", "5204", "5432"}
)

// Personal appends one sentence with an e-mail address and two to four further kinds of personal data: a card number
// (Luhn), an IBAN (ISO 7064 check digits), a US phone number, a US social security number.
func (w *Writer) Personal(dst []byte) []byte {
	dst = fmt.Appendf(dst, "Please write to %s", w.email())
	rest := []func() string{
		func() string { return ", charge the credit card " + w.card() },
		func() string { return ", pay the rest from IBAN " + w.iban() },
		func() string { return ", call the phone number " + w.phone() },
		func() string { return ", file it under social security number " + w.ssn() },
	}
	w.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	for _, part := range rest[:w.Between(2, 4)] {
		dst = append(dst, part()...)
	}
	return append(dst, ". "...)
}

func (w *Writer) email() string {
	unique := strconv.FormatUint(w.rng.Uint64()>>20, 36)
	return given[w.rng.IntN(len(given))] + "." + family[w.rng.IntN(len(family))] + "." + unique + "@mail" + Marker
}

func (w *Writer) digits(n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte('0' + w.rng.IntN(10))
	}
	return string(out)
}

// card returns 16 digits, half of the time in groups of four, that pass the Luhn check (ISO/IEC 7812-1).
func (w *Writer) card() string {
	body := prefixes[w.rng.IntN(len(prefixes))] + w.digits(11)
	sum := 0
	for i, digit := range body {
		value := int(digit - '0')
		if i%2 == 0 { // every second digit counted from the check digit
			value = value*2 - value/5*9
		}
		sum += value
	}
	number := body + strconv.Itoa((10-sum%10)%10)
	if w.rng.IntN(2) == 0 {
		return number
	}
	return number[:4] + " " + number[4:8] + " " + number[8:12] + " " + number[12:]
}

// iban returns a German account number whose check digits are right: 98 - (account DE 00) mod 97.
func (w *Writer) iban() string {
	account := w.digits(18)
	number, _ := new(big.Int).SetString(account+"131400", 10)
	check := 98 - new(big.Int).Mod(number, big.NewInt(97)).Int64()
	return fmt.Sprintf("DE%02d%s", check, account)
}

func (w *Writer) phone() string {
	return fmt.Sprintf("+1 %d-%d-%s", areas[w.rng.IntN(len(areas))], 220+w.rng.IntN(700), w.digits(4))
}

// ssn returns a number in a range that is issued: area 001 to 665, group and serial not zero.
func (w *Writer) ssn() string {
	return fmt.Sprintf("%03d-%02d-%04d", w.Between(101, 665), w.Between(10, 99), w.Between(1000, 9999))
}
