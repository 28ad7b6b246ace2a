package main

import (
	"time"

	"github.com/five-vee/go-disruptor"
)

func disruptorPingPong[E event](asked options) result {
	disruptorBounce[E](asked, max(1, asked.events/10))
	return disruptorBounce[E](asked, asked.events)
}

// Asks from the reader of the answers, which so gets each as soon as it is there.
func disruptorBounce[E event](asked options, events int) result {
	got := result{events: events, latency: new(histogram)}
	var there, back *disruptor.Disruptor[E]
	done := make(chan time.Time)
	start := time.Now()
	next := 0
	send := func() {
		there.Write(func(words *E) {
			fill(words, uint64(next))
			(*words)[1] = uint64(time.Since(start))
		})
		next++
	}
	back = started(disruptor.NewBuilder[E](int64(asked.capacity)).WithReaderGroup(
		disruptor.SingleReaderFunc(func(words *E) {
			got.latency.add(int64(time.Since(start)) - int64((*words)[1]))
			got.checksum += sum(words) - (*words)[1]
			if next == events {
				done <- time.Now()
				return
			}
			send()
		})), asked.wait)
	there = started(disruptor.NewBuilder[E](int64(asked.capacity)).WithReaderGroup(
		disruptor.SingleReaderFunc(func(words *E) {
			back.Write(func(answer *E) { *answer = *words })
		})), asked.wait)
	start = time.Now()
	send()
	got.took = (<-done).Sub(start)
	there.Close()
	back.Close()
	return got
}
