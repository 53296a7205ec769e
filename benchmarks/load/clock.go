package main

import (
	"sync/atomic"
	"time"
)

const longest = time.Minute // of a warm-up: a slow system keeps its cold start in the figures

// clock holds the window: not begun while `start` is 0, over when `end` has passed. Times are nanoseconds.
type clock struct{ start, end atomic.Int64 }

func newClock() *clock { return &clock{} }

func (c *clock) window() time.Duration { return time.Duration(c.end.Load() - c.start.Load()) }

// over tells whether no further call should begin.
func (c *clock) over() bool {
	end := c.end.Load()
	return end > 0 && time.Now().UnixNano() >= end
}

// counts tells whether a call that ends at `at` belongs to the window.
func (c *clock) counts(at time.Time) bool {
	start, now := c.start.Load(), at.UnixNano()
	return start > 0 && now >= start && now < c.end.Load()
}

// watch opens the window when the warm-up is over and returns the share of each core that was busy in it.
func (c *clock) watch(workers []*worker) []float64 {
	begin := time.Now()
	for time.Since(begin) < *warmup || (time.Since(begin) < longest && !*fresh && !allCalled(workers)) {
		time.Sleep(10 * time.Millisecond)
	}
	before := cpuTimes()
	start := time.Now()
	c.end.Store(start.Add(*duration).UnixNano())
	c.start.Store(start.UnixNano())
	time.Sleep(*duration)
	after := cpuTimes()
	shares := make([]float64, len(after))
	for i := range after {
		if all := after[i][1] - before[i][1]; all > 0 {
			shares[i] = (after[i][0] - before[i][0]) / all
		}
	}
	return shares
}

// allCalled tells whether each worker has made two calls for each of its workflows: from then on histories are known.
func allCalled(workers []*worker) bool {
	for _, w := range workers {
		if int(w.calls.Load()) < 2*len(w.workflows) {
			return false
		}
	}
	return true
}
