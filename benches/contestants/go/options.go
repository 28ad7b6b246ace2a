package main

import "flag"

// What the command line asks for.
type options struct {
	scenario, contestant, wait, mode string
	events, size, capacity, batch    int
	producers, consumers             int
	rate, seconds, warmup            float64
}

func parse(arguments []string) options {
	var asked options
	flags := flag.NewFlagSet("contestants", flag.ExitOnError)
	flags.StringVar(&asked.scenario, "scenario", "1p1c", "")
	flags.StringVar(&asked.contestant, "contestant", "channel", "")
	flags.StringVar(&asked.wait, "wait", "block", "")
	flags.StringVar(&asked.mode, "mode", "one", "each event to `one` consumer or to all")
	flags.IntVar(&asked.events, "events", 1_000_000, "")
	flags.IntVar(&asked.size, "size", 64, "bytes of an event")
	flags.IntVar(&asked.capacity, "capacity", 65_536, "")
	flags.IntVar(&asked.producers, "producers", 16, "")
	flags.IntVar(&asked.consumers, "consumers", 16, "")
	flags.Float64Var(&asked.rate, "rate", 100_000, "events a second, of all producers")
	flags.Float64Var(&asked.seconds, "seconds", 5, "")
	flags.Float64Var(&asked.warmup, "warmup", 1, "")
	flags.IntVar(&asked.batch, "batch", 1, "events that a ring claims at once; a channel has no batches")
	flags.Parse(arguments)
	asked.setSides()
	return asked
}

// Only 16x16 and 1pnc take numbers of threads from the command line.
func (asked *options) setSides() {
	if asked.scenario == "16x16" {
		return
	}
	asked.producers = 1
	if asked.scenario != "1pnc" {
		asked.consumers = 1
	}
	switch asked.scenario {
	case "1p2c":
		asked.consumers = 2
	case "2p1c":
		asked.producers = 2
	case "3p1c":
		asked.producers = 3
	}
}
