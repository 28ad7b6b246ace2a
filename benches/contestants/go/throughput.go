package main

import (
	"sync"
	"time"
)

// The loop that fills and adds up, on one thread, with events that stay in the cache and no channel.
func harness[E event](asked options) result {
	var events [1024]E
	start := time.Now()
	var total uint64
	for n := 0; n < asked.events; n++ {
		words := &events[n%len(events)]
		fill(words, uint64(n))
		total += sum(words)
	}
	return result{events: asked.events, took: time.Since(start), checksum: total}
}

func throughput[E event](asked options) result {
	pass[E](asked, max(asked.producers, asked.events/10/asked.producers*asked.producers))
	return pass[E](asked, asked.events)
}

func pass[E event](asked options, events int) result {
	edges := make([]chan E, edgesOf(asked.scenario))
	for i := range edges {
		edges[i] = make(chan E, asked.capacity)
	}
	sums := make([]uint64, 4)
	var ends sync.WaitGroup
	stages(asked.scenario, edges, func(number int, end func() uint64) {
		ends.Add(1)
		go func() {
			sums[number] = end()
			ends.Done()
		}()
	})
	start := time.Now()
	produceAll(asked, edges, events)
	ends.Wait()
	took := time.Since(start)
	return result{events: events, took: took, checksum: sums[0] + sums[1], batch: 1}
}

func edgesOf(scenario string) int {
	switch scenario {
	case "1p2c":
		return 2
	case "pipeline3":
		return 3
	case "diamond3":
		return 4
	}
	return 1
}

// Starts the goroutines behind the producers; each ends when the channel that it reads is closed.
func stages[E event](scenario string, edges []chan E, start func(int, func() uint64)) {
	switch scenario {
	case "1p2c":
		start(0, func() uint64 { return drain(edges[0]) })
		start(1, func() uint64 { return drain(edges[1]) })
	case "pipeline3":
		start(2, func() uint64 { return between(edges[0], edges[1], 1, 0, 1) })
		start(3, func() uint64 { return between(edges[1], edges[2], 2, 1, 1) })
		start(0, func() uint64 { return drain(edges[2]) })
	case "diamond3":
		start(2, func() uint64 { return between(edges[0], edges[2], 1, 0, 1) })
		start(3, func() uint64 { return between(edges[1], edges[3], 2, 0, 2) })
		start(0, func() uint64 { return join(edges[2], edges[3]) })
	default:
		start(0, func() uint64 { return drain(edges[0]) })
	}
}

func drain[E event](from <-chan E) uint64 {
	var total uint64
	for words := range from {
		total += sum(&words)
	}
	return total
}

// Hands on each event with word `to` = word `of` + more.
func between[E event](from <-chan E, next chan<- E, to, of int, more uint64) uint64 {
	for words := range from {
		words[to] = words[of] + more
		next <- words
	}
	close(next)
	return 0
}

// Puts the two copies of an event together: word 2 comes from the second branch.
func join[E event](first, second <-chan E) uint64 {
	word := 2
	var total uint64
	for words := range first {
		other := <-second
		words[word] = other[word]
		total += sum(&words)
	}
	return total
}

func produceAll[E event](asked options, edges []chan E, events int) {
	targets := edges[:1]
	if asked.scenario == "1p2c" || asked.scenario == "diamond3" {
		targets = edges[:2]
	}
	var producers sync.WaitGroup
	for p := 0; p < asked.producers; p++ {
		producers.Add(1)
		go func() {
			produce(targets, len(edges) > 2, p, asked.producers, events/asked.producers)
			producers.Done()
		}()
	}
	producers.Wait()
	for _, target := range targets {
		close(target)
	}
}

func produce[E event](targets []chan E, staged bool, number, producers, count int) {
	var words E
	one, two := 1, 2
	for n := 0; n < count; n++ {
		fill(&words, uint64(n*producers+number))
		if staged {
			words[one], words[two] = 0, 0
		}
		for _, target := range targets {
			target <- words
		}
	}
}
