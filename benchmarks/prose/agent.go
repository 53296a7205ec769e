package prose

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// agent is what agents send beside words: code, paths, logs, tables, decimals, identifiers, addresses that documents
// use. None of it is personal data or a secret. JSON-escaped.
var agent [poolSize]string

var (
	names  = strings.Split("load_config|parse_rows|retry_after|user_index|order_total|max_retries|build_query|to_json|cache_key|is_valid", "|")
	paths  = strings.Split("src/app/models.py|/var/log/app/worker.log|tests/test_orders.py|~/.config/tool/settings.toml|docs/reference/api.md|node_modules/left-pad/index.js|C:\\\\build\\\\out\\\\main.obj", "|")
	levels = strings.Split("INFO|WARN|ERROR|DEBUG", "|")
)

func init() {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(words []string) string { return words[rng.IntN(len(words))] }
	for i := range agent {
		agent[i] = fragment(rng, pick)
	}
}

// fragment returns one piece of such text, with numbers of its own.
func fragment(rng *rand.Rand, pick func([]string) string) string {
	name, other, path := pick(names), pick(names), pick(paths)
	hex := func(n int) string {
		return fmt.Sprintf("%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64())[:n]
	}
	date := fmt.Sprintf("2026-%02d-%02d", 1+rng.IntN(12), 1+rng.IntN(28))
	clock := fmt.Sprintf("%02d:%02d:%02d.%03d", rng.IntN(24), rng.IntN(60), rng.IntN(60), rng.IntN(1000))
	switch rng.IntN(12) {
	case 0:
		return fmt.Sprintf(`def %s(%s: int = %d) -> None:\n    return %s[%d] * %.10f\n`, name, other, rng.IntN(9000), other, rng.IntN(40), rng.Float64())
	case 1:
		return fmt.Sprintf("%s:%d:%d: error: `%s` is not defined; did you mean `%s`?\\n", path, 1+rng.IntN(900), 1+rng.IntN(80), name, other)
	case 2:
		return fmt.Sprintf(`%sT%sZ %s worker-%d %s took %d ms, %d rows, %.3f %%\n`, date, clock, pick(levels), rng.IntN(32), name, rng.IntN(90000), rng.IntN(1000000), rng.Float64()*100)
	case 3:
		return fmt.Sprintf(`| %s | %d | %.4f | %s |\n`, name, rng.IntN(100000), rng.Float64()*1000, date)
	case 4:
		return fmt.Sprintf(`{\"id\": \"%s\", \"%s\": %d, \"ratio\": %.12f, \"tags\": [\"%s\", \"v%d.%d.%d\"]}\n`, hex(24), name, rng.IntN(1000000), rng.Float64(), other, rng.IntN(9), rng.IntN(30), rng.IntN(90))
	case 5:
		return fmt.Sprintf(`commit %s\nDate: %s %s +0200\n\n    Fix %s in %s (#%d)\n`, hex(40), date, clock[:8], name, path, rng.IntN(20000))
	case 6:
		return fmt.Sprintf(`$ curl -s https://docs.example.org/v%d/%s?page=%d | jq '.%s'\n`, rng.IntN(4), name, rng.IntN(500), other)
	case 7:
		return fmt.Sprintf(`server 192.0.2.%d:%d weight=%d; # %s\n`, rng.IntN(255), 1024+rng.IntN(60000), rng.IntN(100), name)
	case 8:
		return fmt.Sprintf(`x = %.8f, y = %.8f, z = -%.6e\n`, rng.Float64()*180, rng.Float64()*90, rng.Float64())
	case 9:
		return fmt.Sprintf(`--- a/%s\n+++ b/%s\n@@ -%d,%d +%d,%d @@\n-    %s = None\n+    %s = %d\n`, path, path, rng.IntN(900), rng.IntN(20), rng.IntN(900), rng.IntN(20), name, name, rng.IntN(5000))
	case 10:
		return fmt.Sprintf("Read `%s`, then run `make %s` and compare with run %d of %s. ", path, strings.ReplaceAll(name, "_", "-"), rng.IntN(10000), date)
	default:
		return plain[rng.IntN(poolSize)]
	}
}

// Agent appends fragments until at least n bytes are written.
func (w *Writer) Agent(dst []byte, n int) []byte { return w.walk(dst, n, &agent) }
