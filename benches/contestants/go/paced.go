package main

import (
	"sync"
	"time"
)

const windows = 4

// When each event of a paced run is due; the producers' phases are spread evenly.
type schedule struct {
	start                time.Time
	measuredFrom, end    time.Duration // from start
	rate                 float64
	producers, allEvents int
}

func scheduleOf(asked options) schedule {
	seconds := func(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
	return schedule{
		start:        time.Now().Add(10 * time.Millisecond),
		measuredFrom: seconds(asked.warmup),
		end:          seconds(asked.warmup + asked.seconds),
		rate:         asked.rate,
		producers:    asked.producers,
		allEvents:    int((asked.warmup+asked.seconds)*asked.rate + 0.5),
	}
}

func (s *schedule) due(number int) time.Duration {
	return time.Duration(float64(number) * 1e9 / s.rate)
}

// Sends each event of one producer when it is due, a late one at once; returns how many.
func send[E event](s *schedule, producer int, targets []chan E) int {
	var words E
	sent := 0
	for n := producer; n < s.allEvents && time.Since(s.start) < s.end; n += s.producers {
		due := s.due(n)
		for left := due - time.Since(s.start); left > 0; left = due - time.Since(s.start) {
			time.Sleep(left)
		}
		fill(&words, uint64(n))
		words[1] = uint64(due)
		for _, target := range targets {
			target <- words
		}
		sent++
	}
	return sent
}

// What one consumer has counted.
type tally struct {
	sum     uint64
	windows [windows]histogram
}

func receive[E event](s *schedule, from <-chan E, into *tally) {
	for words := range from {
		due := time.Duration(words[1])
		into.sum += sum(&words) - words[1]
		if due >= s.measuredFrom {
			window := int(windows * (due - s.measuredFrom) / (s.end - s.measuredFrom))
			into.windows[min(window, windows-1)].add(int64(time.Since(s.start) - due))
		}
	}
}

// Producers and consumers at a steady rate: one channel for all, or one for each consumer where each sees all.
func paced[E event](asked options) result {
	channels := make([]chan E, 1)
	if asked.mode == "all" {
		channels = make([]chan E, asked.consumers)
	}
	for i := range channels {
		channels[i] = make(chan E, asked.capacity)
	}
	s := scheduleOf(asked)
	tallies := make([]tally, asked.consumers)
	var consumers, producers sync.WaitGroup
	each(asked.consumers, &consumers, func(i int) { receive(&s, channels[i%len(channels)], &tallies[i]) })
	sent := make([]int, asked.producers)
	each(asked.producers, &producers, func(p int) { sent[p] = send(&s, p, channels) })
	producers.Wait()
	for _, channel := range channels {
		close(channel)
	}
	consumers.Wait()
	return together(tallies, sent, time.Since(s.start))
}

func each(count int, done *sync.WaitGroup, work func(int)) {
	for i := 0; i < count; i++ {
		done.Add(1)
		go func() {
			work(i)
			done.Done()
		}()
	}
}

func together(tallies []tally, sent []int, took time.Duration) result {
	got := result{took: took, latency: new(histogram), windows: make([]*histogram, windows), sent: sent}
	for _, count := range sent {
		got.events += count
	}
	for w := range got.windows {
		got.windows[w] = new(histogram)
		for i := range tallies {
			got.windows[w].merge(&tallies[i].windows[w])
		}
		got.latency.merge(got.windows[w])
	}
	for i := range tallies {
		got.checksum += tallies[i].sum
	}
	return got
}
