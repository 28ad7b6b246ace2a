package main

import (
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/five-vee/go-disruptor"
)

const disruptorName = "disruptor-five-vee-0.1.4"

// One reader of a ring: it says when it has handled all.
type reader[E event] struct {
	handle  func([]E)
	left    int
	batches int
	ended   time.Time
	done    *sync.WaitGroup
}

// The two parts of a batch, before and after the end of the ring.
func (r *reader[E]) read(from [2]*E, lengths [2]int) {
	r.batches++
	for part := range from {
		events := unsafe.Slice(from[part], lengths[part])
		r.handle(events)
		r.left -= len(events)
	}
	if r.left == 0 {
		r.ended = time.Now()
		r.done.Done()
	}
}

func disruptorThroughput[E event](asked options) result {
	disruptorPass[E](asked, max(1, asked.events/10))
	return disruptorPass[E](asked, asked.events)
}

func disruptorPass[E event](asked options, events int) result {
	var done sync.WaitGroup
	var readers []*reader[E]
	var sums []*uint64
	builder := disruptor.NewBuilder[E](int64(asked.capacity))
	for _, group := range graph[E](asked, &sums) {
		var functions []disruptor.ReaderFunc
		for _, handle := range group {
			done.Add(1)
			r := &reader[E]{handle: handle, left: events, done: &done}
			readers = append(readers, r)
			functions = append(functions, disruptor.BatchReaderFunc(r.read))
		}
		builder.WithReaderGroup(functions...)
	}
	ring := started(builder, asked.wait)
	start := time.Now()
	writeAll(ring, asked, events)
	done.Wait()
	// Only now: a reader may miss what is written just before a close.
	ring.Close()
	return disruptorResult(events, start, readers, sums)
}

func disruptorResult[E event](events int, start time.Time, readers []*reader[E], sums []*uint64) result {
	got := result{events: events}
	batches := 0
	for _, r := range readers {
		batches += r.batches
		got.took = max(got.took, r.ended.Sub(start))
	}
	for _, sum := range sums {
		got.checksum += *sum
	}
	got.batch = float64(events*len(readers)) / float64(batches)
	return got
}

// What the readers do, each group after the one before; `sums` gets where the totals will stand.
func graph[E event](asked options, sums *[]*uint64) [][]func([]E) {
	add := func() func([]E) {
		total := new(uint64)
		*sums = append(*sums, total)
		return func(events []E) { *total += sumAll(events) }
	}
	write := func(to, of int, more uint64) func([]E) {
		return func(events []E) {
			for i := range events {
				events[i][to] = events[i][of] + more
			}
		}
	}
	switch asked.scenario {
	case "pipeline3":
		return [][]func([]E){{write(1, 0, 1)}, {write(2, 1, 1)}, {add()}}
	case "diamond3":
		return [][]func([]E){{write(1, 0, 1), write(2, 0, 2)}, {add()}}
	}
	var all []func([]E)
	for range asked.consumers {
		all = append(all, add())
	}
	return [][]func([]E){all}
}

func sumAll[E event](events []E) uint64 {
	var total uint64
	for i := range events {
		total += sum(&events[i])
	}
	return total
}

// Builds the ring and starts its readers; they and the writer wait as asked for.
func started[E event](builder *disruptor.Builder[E], wait string) *disruptor.Disruptor[E] {
	if wait == "yield" {
		builder.WithWriterYield(func(int) { runtime.Gosched() }).WithReaderYield(runtime.Gosched)
	} else {
		builder.WithWriterYield(func(int) {}).WithReaderYield(func() {})
	}
	ring, err := builder.Build()
	if err != nil {
		panic(err)
	}
	go ring.LoopRead()
	return ring
}

func writeAll[E event](ring *disruptor.Disruptor[E], asked options, events int) {
	staged := asked.scenario == "pipeline3" || asked.scenario == "diamond3"
	one, two := 1, 2
	write := func(words *E, n int) {
		fill(words, uint64(n))
		if staged {
			(*words)[one], (*words)[two] = 0, 0
		}
	}
	if asked.batch == 1 {
		for n := range events {
			ring.Write(func(words *E) { write(words, n) })
		}
		return
	}
	for n := 0; n < events; n += asked.batch {
		ring.WriteBatch(int64(min(asked.batch, events-n)), func(to [2]*E, lengths [2]int) {
			at := n
			for part := range to {
				slots := unsafe.Slice(to[part], lengths[part])
				for i := range slots {
					write(&slots[i], at)
					at++
				}
			}
		})
	}
}
