// Command load is the load generator of the benchmark: a closed loop of -connections agents for a fixed time.
//
// Each connection owns its share of the workflows and walks them in turn, so that a workflow has one call in flight,
// as an agent has. Latencies run from the first byte written to the last byte read; bodies are made before the clock
// starts. What is counted ends inside the window after the warm-up. The result is one JSON object on stdout.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	target      = flag.String("url", "http://127.0.0.1:9100/v1/chat/completions", "where the calls go")
	keys        = flag.String("keys", "none", "keys of the agents, comma-separated")
	model       = flag.String("model", "gpt-4o-mini", "model of every call")
	size        = flag.Int("size", 1024, "bytes of a request body")
	stream      = flag.Bool("stream", false, "ask for a stream")
	connections = flag.Int("connections", 32, "calls in flight")
	workflows   = flag.Int("workflows", 200, "conversations")
	agents      = flag.Bool("agents", false, "text as agents send it: code, logs, tables, paths, numbers; else sentences")
	fresh       = flag.Bool("fresh", false, "each call is the first of its conversation: no text was sent before")
	personal    = flag.Int("personal", 10, "one call in so many carries fresh personal data; 0: none")
	rate        = flag.Float64("rate", 0, "calls a second of all connections together; 0: as fast as answers come")
	warmup      = flag.Duration("warmup", time.Second, "time before the window; up to a minute until every workflow has called twice")
	duration    = flag.Duration("duration", 4*time.Second, "the window")
	seed        = flag.Uint64("seed", uint64(time.Now().UnixNano()), "source of all text; the same seed, the same text")
)

// Result is what a run prints. Times are in milliseconds, CPU shares in 0 to 1 of a core over the window.
type Result struct {
	Seconds    float64   `json:"seconds"`
	Calls      int       `json:"calls"` // inside the window
	Total      int       `json:"total"` // with the warm-up
	Rate       float64   `json:"rate"`  // calls a second
	BodyBytes  int       `json:"body_bytes"`
	P50        float64   `json:"p50_ms"`
	P90        float64   `json:"p90_ms"`
	P99        float64   `json:"p99_ms"`
	FirstP50   float64   `json:"first_p50_ms"` // streams: to the first content
	FirstP99   float64   `json:"first_p99_ms"`
	GapP50     float64   `json:"gap_p50_ms"` // streams: between two reads after that
	GapP99     float64   `json:"gap_p99_ms"`
	CPU        []float64 `json:"cpu"`        // by core
	Unrestored int       `json:"unrestored"` // answers that still carry a placeholder
	Errors     int       `json:"errors"`
	FirstError string    `json:"first_error,omitempty"`
}

func main() {
	flag.Parse()
	debug.SetGCPercent(400)
	address, err := url.Parse(*target)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	workers := make([]*worker, min(*connections, *workflows))
	for i := range workers {
		workers[i] = newWorker(address, strings.Split(*keys, ","), i, len(workers))
	}
	clock := newClock()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Add(1)
		go func() { defer running.Done(); w.run(clock) }()
	}
	cpu := clock.watch(workers)
	running.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(summarise(workers, clock, cpu))
}

func summarise(workers []*worker, clock *clock, cpu []float64) Result {
	var whole, first, gaps []time.Duration
	result := Result{Seconds: clock.window().Seconds(), CPU: cpu}
	sent := 0
	for _, w := range workers {
		whole = append(whole, w.whole...)
		first = append(first, w.first...)
		gaps = append(gaps, w.gaps...)
		result.Total += int(w.calls.Load())
		result.Errors += w.errors
		result.Unrestored += w.unrestored
		sent += w.sent
		if result.FirstError == "" {
			result.FirstError = w.firstError
		}
	}
	result.Calls = len(whole)
	result.Rate = float64(len(whole)) / result.Seconds
	result.BodyBytes = sent / max(result.Total, 1)
	result.P50, result.P90, result.P99 = quantile(whole, .5), quantile(whole, .9), quantile(whole, .99)
	result.FirstP50, result.FirstP99 = quantile(first, .5), quantile(first, .99)
	result.GapP50, result.GapP99 = quantile(gaps, .5), quantile(gaps, .99)
	return result
}

func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return float64(times[int(q*float64(len(times)-1))]) / 1e6
}

// cpuTimes returns (busy, all) ticks of each core since boot (proc(5), /proc/stat).
func cpuTimes() [][2]float64 {
	text, _ := os.ReadFile("/proc/stat")
	var cores [][2]float64
	for _, line := range strings.Split(string(text), "\n")[1:] {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.HasPrefix(fields[0], "cpu") {
			break
		}
		var all, idle float64
		for i, field := range fields[1:9] {
			ticks, _ := strconv.ParseFloat(field, 64)
			all += ticks
			if i == 3 || i == 4 { // idle, iowait
				idle += ticks
			}
		}
		cores = append(cores, [2]float64{all - idle, all})
	}
	return cores
}
