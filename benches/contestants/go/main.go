// Go's buffered channel, in each scenario of the suite, and a Go port of the Disruptor (one writer) where it has one
// writer: one measure in a fresh process, one line of JSON. The best known port, smarty's, is not on the module proxy.
package main

import (
	"fmt"
	"os"
)

const notThere = 3

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		fmt.Println(list())
		return
	}
	options := parse(os.Args[1:])
	measure := find(options)
	if measure == nil {
		fmt.Fprintf(os.Stderr, "not there: %s in %s with --wait %s and --size %d; --list names what is\n",
			options.contestant, options.scenario, options.wait, options.size)
		os.Exit(notThere)
	}
	fmt.Println(report(options, measure(options)))
}
