module ringbus/contestants

go 1.24.0

require github.com/five-vee/go-disruptor v0.1.4
