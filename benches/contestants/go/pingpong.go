package main

import "time"

// One event between two channels; the latency is of the round trip.
func pingPong[E event](asked options) result {
	bounce[E](asked, max(1, asked.events/10))
	return bounce[E](asked, asked.events)
}

func bounce[E event](asked options, events int) result {
	there, back := make(chan E, asked.capacity), make(chan E, asked.capacity)
	go func() {
		for words := range there {
			back <- words
		}
	}()
	got := result{events: events, latency: new(histogram)}
	var words E
	start := time.Now()
	for n := 0; n < events; n++ {
		fill(&words, uint64(n))
		sent := time.Since(start)
		words[1] = uint64(sent)
		there <- words
		answer := <-back
		got.latency.add(int64(time.Since(start) - sent))
		got.checksum += sum(&answer) - answer[1]
	}
	got.took = time.Since(start)
	close(there)
	return got
}
