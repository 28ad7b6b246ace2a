package main

// An event of 64-bit words, sent by value. Each size is a type, so that the compiler makes code for it.
type event interface {
	[2]uint64 | [4]uint64 | [8]uint64 | [16]uint64 | [32]uint64 | [64]uint64 | [128]uint64
}

// Writes all words: word i is value + i.
func fill[E event](words *E, value uint64) {
	for i := 0; i < len(*words); i++ {
		(*words)[i] = value + uint64(i)
	}
}

// Reads all words.
func sum[E event](words *E) uint64 {
	var total uint64
	for i := 0; i < len(*words); i++ {
		total += (*words)[i]
	}
	return total
}
