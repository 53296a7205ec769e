package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"meshgate/benchmarks/prose"
)

const patience = 30 * time.Second // for one answer; longer is an error

var (
	contentKey = []byte(`"content":`)
	finished   = []byte(`"finish_reason":"stop"`)
	done       = []byte("data: [DONE]")
	usageKey   = []byte(`"usage":{`)
)

// worker is one connection with its share of the workflows, and what it has measured.
type worker struct {
	address   *url.URL
	number    int // of the worker, from 0
	of        int // workers in all
	workflows []*workflow
	conn      net.Conn
	in        *bufio.Reader
	request   []byte
	body      []byte
	answer    []byte

	calls              atomic.Int64
	sent               int
	whole, first, gaps []time.Duration
	errors, unrestored int
	firstError         string
}

func newWorker(address *url.URL, keys []string, number, of int) *worker {
	w := &worker{address: address, number: number, of: of}
	text := prose.NewWriter(*seed, uint64(number))
	for i := number; i < *workflows; i += of {
		w.workflows = append(w.workflows, newWorkflow(fmt.Sprintf("bench-%x-%d", *seed, i), keys[i%len(keys)], text))
	}
	return w
}

func (w *worker) run(clock *clock) {
	next, every := time.Now(), time.Duration(0)
	if *rate > 0 { // evenly over time: if all began at once, calls would wait for each other
		every = time.Duration(float64(w.of) / *rate * float64(time.Second))
		next = next.Add(every * time.Duration(w.number) / time.Duration(w.of))
	}
	for turn := 0; !clock.over(); turn++ {
		if every > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(every)
		}
		err := w.call(w.workflows[turn%len(w.workflows)], clock)
		w.calls.Add(1)
		if err == nil {
			continue
		}
		if w.errors++; w.firstError == "" {
			w.firstError = err.Error()
		}
		w.disconnect()
		time.Sleep(5 * time.Millisecond) // a refused connection must not spin
	}
	w.disconnect()
}

func (w *worker) call(f *workflow, clock *clock) error {
	w.body = f.next(w.body[:0])
	w.sent += len(w.body)
	w.request = fmt.Appendf(w.request[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nX-Correlation-Id: %s\r\n"+
		"User-Agent: load\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n",
		w.address.Path, w.address.Host, f.key, f.name(), strconv.Itoa(len(w.body)))
	w.request = append(w.request, w.body...)
	if err := w.connect(); err != nil {
		return err
	}
	begin, known := time.Now(), len(w.gaps)
	if _, err := w.conn.Write(w.request); err != nil {
		return err
	}
	first, err := w.read(begin)
	if err != nil {
		return err
	}
	if end := time.Now(); clock.counts(end) {
		w.whole = append(w.whole, end.Sub(begin))
		if *stream {
			w.first = append(w.first, first)
		}
	} else {
		w.gaps = w.gaps[:known]
	}
	return w.check()
}

func (w *worker) connect() error {
	if w.conn == nil {
		conn, err := net.Dial("tcp", w.address.Host)
		if err != nil {
			return err
		}
		w.conn, w.in = conn, bufio.NewReaderSize(conn, 32<<10)
	}
	return w.conn.SetDeadline(time.Now().Add(patience))
}

func (w *worker) disconnect() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// read takes the answer into w.answer and returns how long the first content took (0 for whole answers). The times
// between two reads of a stream after its first content are added to w.gaps.
func (w *worker) read(begin time.Time) (time.Duration, error) {
	response, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return 0, err
	}
	var first time.Duration
	var last time.Time
	w.answer = w.answer[:0]
	for {
		if cap(w.answer)-len(w.answer) < 8<<10 {
			w.answer = append(w.answer, make([]byte, 32<<10)...)[:len(w.answer)]
		}
		n, err := response.Body.Read(w.answer[len(w.answer):cap(w.answer)])
		w.answer = w.answer[:len(w.answer)+n]
		if *stream && n > 0 {
			now := time.Now()
			if first != 0 {
				w.gaps = append(w.gaps, now.Sub(last))
			} else if hasContent(w.answer) {
				first = now.Sub(begin)
			}
			last = now
		}
		if err != nil {
			if err.Error() != "EOF" {
				return 0, err
			}
			break
		}
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d: %.500s", response.StatusCode, w.answer)
	}
	if response.Close {
		w.disconnect()
	}
	return first, nil
}

// hasContent tells whether a content that is not empty has begun: `"content":"x`, with or without a space.
func hasContent(answer []byte) bool {
	for {
		at := bytes.Index(answer, contentKey)
		if at < 0 {
			return false
		}
		answer = bytes.TrimLeft(answer[at+len(contentKey):], " ")
		if len(answer) > 1 && answer[0] == '"' && answer[1] != '"' {
			return true
		}
	}
}

// check holds an answer against what the mock sent: complete, ended by itself, placeholders put back.
func (w *worker) check() error {
	if bytes.IndexByte(w.answer, '<') >= 0 { // the mock's prose has none
		w.unrestored++
	}
	if !bytes.Contains(w.answer, finished) || !bytes.Contains(w.answer, usageKey) || (*stream && !bytes.Contains(w.answer, done)) {
		return fmt.Errorf("incomplete answer: %.200s ... %s", w.answer, w.answer[max(0, len(w.answer)-300):])
	}
	return nil
}
