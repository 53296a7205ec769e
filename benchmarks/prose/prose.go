// Package prose writes English-looking text and personal data that is never the same twice, cheaply: a pool of
// sentences is made once, and a text is a random walk over it (12 bits a sentence, so 300 bytes are one of 2^60).
package prose

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

const poolSize = 4096

var (
	plain [poolSize]string // ASCII, nothing that JSON escapes
	mixed [poolSize]string // one in sixteen has an escape or a letter beyond ASCII; already JSON-escaped
)

var (
	openers  = strings.Split("Yesterday|In this step|For the next release|After the review|On our side|As agreed|Before we ship|During the night|With the new schema|Once more", "|")
	subjects = strings.Split("the team|our customer|the parser|the nightly job|this branch|the import|a reviewer|the warehouse|the scheduler|the invoice service|the second worker|the report|the support desk|the search index|the migration", "|")
	verbs    = strings.Split("checked|moved|rejected|stored|renamed|compared|restarted|merged|queued|returned|shipped|cleaned|opened|measured|summarised|closed", "|")
	objects  = strings.Split("the open tickets|two columns of the table|an older version|the slow query|its cached answer|the failing test|the delivery plan|every pending order|the shared folder|a draft of the letter|the price list|the returned parcels|the weekly figures|the access rules|some unused settings", "|")
	endings  = strings.Split("without any change to the interface|and found nothing unusual|because the input was incomplete|so that the next step can go on|while the others were waiting|in about %d minutes|after %d attempts|as the handbook asks|and wrote a short note about it|until the queue was empty|in batches of %d|before anyone noticed", "|")
	marks    = strings.Split(`.\n|. (see \"notes\")| – as usual.| in the café.| for 20 €.|. Größe: gleich.`, "|")
)

func init() {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(words []string) string { return words[rng.IntN(len(words))] }
	for i := range plain {
		s := pick(openers) + " " + pick(subjects) + " " + pick(verbs) + " " + pick(objects) + " " + pick(endings)
		s = strings.ReplaceAll(s, "%d", strconv.Itoa(2+rng.IntN(90)))
		plain[i] = s + ". "
		mixed[i] = s + ". "
		if i%16 == 0 {
			mixed[i] = s + pick(marks) + " "
		}
	}
}

// Writer makes text from one source of randomness; not safe for several goroutines.
type Writer struct{ rng *rand.Rand }

// NewWriter returns a Writer whose texts are set apart from those of every other pair (seed, stream).
func NewWriter(seed, stream uint64) *Writer { return &Writer{rand.New(rand.NewPCG(seed, stream))} }

// Between returns a number in [low, high].
func (w *Writer) Between(low, high int) int { return low + w.rng.IntN(high-low+1) }

// Plain appends sentences until at least n bytes are written: ASCII that needs no escaping.
func (w *Writer) Plain(dst []byte, n int) []byte { return w.walk(dst, n, &plain) }

// Mixed appends sentences until at least n bytes are written: JSON-escaped UTF-8, as people write.
func (w *Writer) Mixed(dst []byte, n int) []byte { return w.walk(dst, n, &mixed) }

func (w *Writer) walk(dst []byte, n int, pool *[poolSize]string) []byte {
	for end := len(dst) + n; len(dst) < end; {
		dst = append(dst, pool[w.rng.IntN(poolSize)]...)
	}
	return dst
}
