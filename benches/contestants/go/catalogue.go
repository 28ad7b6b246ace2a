package main

import "encoding/json"

type entry struct {
	Contestant string   `json:"contestant"`
	Scenario   string   `json:"scenario"`
	Waits      []string `json:"waits"`
	Batches    bool     `json:"batches"`
}

var (
	block = []string{"block"}
	spin  = []string{"spin", "yield"}
)

var entries = []entry{
	{"harness", "harness", []string{"spin", "yield", "block"}, false},
	{"channel", "1p1c", block, false},
	{"channel", "1p2c", block, false},
	{"channel", "2p1c", block, false},
	{"channel", "3p1c", block, false},
	{"channel", "pipeline3", block, false},
	{"channel", "diamond3", block, false},
	{"channel", "pingpong", block, false},
	{"channel", "paced", block, false},
	{"channel", "16x16", block, false},
	{disruptorName, "1p1c", spin, true},
	{disruptorName, "1p2c", spin, true},
	{disruptorName, "1pnc", spin, true},
	{disruptorName, "pipeline3", spin, true},
	{disruptorName, "diamond3", spin, true},
	{disruptorName, "pingpong", spin, false},
}

func list() string {
	text, err := json.Marshal(entries)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (e entry) fits(asked options) bool {
	if e.Contestant != asked.contestant || e.Scenario != asked.scenario {
		return false
	}
	for _, wait := range e.Waits {
		if wait == asked.wait {
			return true
		}
	}
	return false
}

// The measure that is asked for, or nil.
func find(asked options) func(options) result {
	for _, entry := range entries {
		if entry.fits(asked) {
			return ofSize(asked)
		}
	}
	return nil
}

func ofSize(asked options) func(options) result {
	switch asked.size {
	case 16:
		if asked.scenario == "pipeline3" || asked.scenario == "diamond3" {
			return nil
		}
		return scenario[[2]uint64]
	case 32:
		return scenario[[4]uint64]
	case 64:
		return scenario[[8]uint64]
	case 128:
		return scenario[[16]uint64]
	case 256:
		return scenario[[32]uint64]
	case 512:
		return scenario[[64]uint64]
	case 1024:
		return scenario[[128]uint64]
	}
	return nil
}

func scenario[E event](asked options) result {
	if asked.contestant == disruptorName {
		if asked.scenario == "pingpong" {
			return disruptorPingPong[E](asked)
		}
		return disruptorThroughput[E](asked)
	}
	switch asked.scenario {
	case "harness":
		return harness[E](asked)
	case "pingpong":
		return pingPong[E](asked)
	case "paced", "16x16":
		return paced[E](asked)
	}
	return throughput[E](asked)
}
