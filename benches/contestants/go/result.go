package main

import (
	"encoding/json"
	"runtime"
	"strconv"
	"time"
)

// What one pass came to.
type result struct {
	events   int
	took     time.Duration
	checksum uint64
	batch    float64 // 0 where batches mean nothing
	latency  *histogram
	windows  []*histogram
	sent     []int
}

type latencyRecord struct {
	Unit    string     `json:"unit"`
	Buckets [][2]int64 `json:"buckets"`
}

type record struct {
	Contestant string         `json:"contestant"`
	Scenario   string         `json:"scenario"`
	Events     int            `json:"events"`
	Seconds    float64        `json:"seconds"`
	Checksum   string         `json:"checksum"`
	MeanBatch  *float64       `json:"mean_batch"`
	Wait       string         `json:"wait"`
	Latency    *latencyRecord `json:"latency"`
	Windows    [][][2]int64   `json:"windows,omitempty"`
	Sent       []int          `json:"sent,omitempty"`
	Runtime    string         `json:"runtime"`
}

// The line of JSON that the runner reads.
func report(asked options, got result) string {
	line := record{
		Contestant: asked.contestant, Scenario: asked.scenario, Events: got.events, Seconds: got.took.Seconds(),
		Checksum: strconv.FormatUint(got.checksum, 10), Wait: asked.wait, Sent: got.sent,
		Runtime: runtime.Version() + ", default flags",
	}
	if got.batch > 0 {
		line.MeanBatch = &got.batch
	}
	if got.latency != nil {
		line.Latency = &latencyRecord{"ns", got.latency.buckets()}
	}
	for _, window := range got.windows {
		line.Windows = append(line.Windows, window.buckets())
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	return string(text)
}
