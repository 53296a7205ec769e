// Command texts prints fresh prose, one text a line: -count texts of -size bytes. With -personal each holds one
// sentence with personal data; with -agents each is text as agents send it.
package main

import (
	"bufio"
	"flag"
	"os"

	"meshgate/benchmarks/prose"
)

func main() {
	size := flag.Int("size", 16384, "bytes of a text")
	count := flag.Int("count", 100, "texts")
	seed := flag.Uint64("seed", 1, "sets the texts of one run apart from those of another")
	personal := flag.Bool("personal", false, "put personal data into each")
	agents := flag.Bool("agents", false, "text as agents send it in place of prose, as the inside of a JSON string")
	flag.Parse()
	writer := prose.NewWriter(*seed, 0)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	var text []byte
	for range *count {
		if *agents {
			text = writer.Agent(text[:0], *size)
			out.Write(append(text, '\n'))
			continue
		}
		text = writer.Plain(text[:0], *size/2)
		if *personal {
			text = writer.Personal(text)
		}
		if rest := *size - len(text); rest > 0 {
			text = writer.Plain(text, rest)
		}
		out.Write(append(text[:*size], '\n'))
	}
}
