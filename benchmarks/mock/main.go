// Command mock is the upstream of the benchmark: an OpenAI-format chat completions server that costs next to nothing.
//
// It answers with fresh prose: about 1 kB of JSON with usage, or a stream of -chunks events, each an HTTP chunk of its
// own and, after GET /group/N, N of them in one write; after GET /pace/N, with a pause of N microseconds between two
// writes. Where the request carries a placeholder such as <EMAIL_1> it echoes the first one, so that restoring has
// work. GET /stats tells how many requests came, how many carried a placeholder, and how many a raw e-mail address.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"meshgate/benchmarks/prose"
)

const answerBytes = 620 // with the rest of the object about 1 kB

var (
	chunks      = flag.Int("chunks", 100, "content events of a stream")
	placeholder = regexp.MustCompile(`^<[A-Z][A-Z0-9_]*>`)
	streamed    = regexp.MustCompile(`"stream": ?true`)
	wantsUsage  = regexp.MustCompile(`"include_usage": ?true`)

	requests, redacted, leaked, group, pace atomic.Int64
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9100", "where to listen")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	for number := uint64(0); ; number++ {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		c := &connection{Conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
		c.prose = prose.NewWriter(uint64(time.Now().UnixNano()), number)
		go c.serve()
	}
}

// connection answers one request after the other; its buffers are used again.
type connection struct {
	net.Conn
	in        *bufio.Reader
	prose     *prose.Writer
	body, out []byte
	text      []byte
}

func (c *connection) serve() {
	defer c.Close()
	for {
		request, err := http.ReadRequest(c.in)
		if err != nil {
			return
		}
		if err := c.read(request); err != nil {
			return
		}
		if c.answer(request.URL.Path) != nil || request.Close {
			return
		}
	}
}

func (c *connection) read(request *http.Request) error {
	if request.ContentLength < 0 {
		body, err := io.ReadAll(request.Body)
		c.body = body
		return err
	}
	if n := int(request.ContentLength); n > cap(c.body) {
		c.body = make([]byte, n)
	} else {
		c.body = c.body[:n]
	}
	_, err := io.ReadFull(request.Body, c.body)
	return err
}

func (c *connection) answer(path string) error {
	if path == "/stats" {
		return c.whole(fmt.Appendf(nil, `{"requests":%d,"redacted":%d,"leaked":%d}`, requests.Load(), redacted.Load(), leaked.Load()))
	}
	if number, found := strings.CutPrefix(path, "/group/"); found {
		n, _ := strconv.ParseInt(number, 10, 64)
		group.Store(max(n, 1))
	}
	if number, found := strings.CutPrefix(path, "/pace/"); found {
		n, _ := strconv.ParseInt(number, 10, 64)
		pace.Store(n)
	}
	if path != "/v1/chat/completions" {
		return c.whole([]byte(`{"object":"list","data":[]}`))
	}
	id := requests.Add(1)
	echo := findPlaceholder(c.body)
	if echo != nil {
		redacted.Add(1)
	}
	if bytes.Contains(c.body, []byte(prose.Marker)) {
		leaked.Add(1)
	}
	// The switches stand beside the messages; search the short ends of a long body, not its middle.
	ends := c.body
	if len(ends) > 4096 {
		ends = append(append([]byte{}, ends[:1024]...), ends[len(ends)-1024:]...)
	}
	if streamed.Match(ends) {
		return c.stream(id, echo, wantsUsage.Match(ends))
	}
	c.write(answerBytes, echo)
	return c.whole(fmt.Appendf(nil, `{"id":"chatcmpl-%d","object":"chat.completion","created":%d,"model":"gpt-4o-mini-2024-07-18",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":"%s","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],`+
		`"usage":%s,"service_tier":"default","system_fingerprint":"fp_44add9ec9f"}`, id, time.Now().Unix(), c.text, c.usage()))
}

// write puts fresh prose into c.text, with the placeholder in its middle.
func (c *connection) write(n int, echo []byte) {
	c.text = c.prose.Plain(c.text[:0], n/2)
	if echo != nil {
		c.text = append(append(c.text, echo...), ' ')
	}
	c.text = c.prose.Plain(c.text, n-len(c.text))
}

func (c *connection) usage() string {
	in, out := len(c.body)/4, len(c.text)/4
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},`+
		`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}`, in, out, in+out)
}

func (c *connection) whole(body []byte) error {
	c.out = append(c.out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), body...)
	_, err := c.Write(c.out)
	return err
}

func (c *connection) stream(id int64, echo []byte, usage bool) error {
	c.write(*chunks*10, echo)
	head := fmt.Appendf(nil, `data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","created":%d,"model":"gpt-4o-mini-2024-07-18",`+
		`"service_tier":"default","system_fingerprint":"fp_44add9ec9f",`, id, time.Now().Unix())
	tail := []byte("}\n\n")
	c.out = append(c.out[:0], "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"...)
	c.event(head, []byte(`"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]`), tail)
	if err := c.flush(); err != nil {
		return err
	}
	together := max(int(group.Load()), 1)
	for i := range *chunks {
		piece := c.text[i*len(c.text) / *chunks : (i+1)*len(c.text) / *chunks]
		c.event(head, []byte(`"choices":[{"index":0,"delta":{"content":"`), piece, []byte(`"},"logprobs":null,"finish_reason":null}]`), tail)
		if (i+1)%together != 0 {
			continue
		}
		if err := c.flush(); err != nil {
			return err
		}
		if pause := pace.Load(); pause > 0 {
			time.Sleep(time.Duration(pause) * time.Microsecond)
		}
	}
	c.event(head, []byte(`"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]`), tail)
	if usage {
		c.event(head, []byte(`"choices":[],"usage":`+c.usage()), tail)
	}
	c.event([]byte("data: [DONE]\n\n"))
	c.out = append(c.out, "0\r\n\r\n"...)
	return c.flush()
}

// event appends one server-sent event as one HTTP chunk.
func (c *connection) event(parts ...[]byte) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	c.out = append(strconv.AppendInt(c.out, int64(size), 16), "\r\n"...)
	for _, part := range parts {
		c.out = append(c.out, part...)
	}
	c.out = append(c.out, "\r\n"...)
}

func (c *connection) flush() error {
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// findPlaceholder returns the first <WORD_1> of the body; nothing else in a benchmark body has a "<".
func findPlaceholder(body []byte) []byte {
	for at := 0; ; at++ {
		step := bytes.IndexByte(body[at:], '<')
		if step < 0 {
			return nil
		}
		at += step
		if match := placeholder.Find(body[at:min(at+64, len(body))]); match != nil {
			return match
		}
	}
}
