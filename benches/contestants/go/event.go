package main

import "unsafe"

// An event of 64-bit words, sent by value. Each size is a type, so that the compiler makes code for it.
type event interface {
	[2]uint64 | [4]uint64 | [8]uint64 | [16]uint64 | [32]uint64 | [64]uint64 | [128]uint64
}

// The words as a slice: Go does not unroll loops, and the array of a type parameter cannot be sliced.
func wordsOf[E event](words *E) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(words)), len(*words))
}

// Writes all words: word i is value + i.
func fill[E event](words *E, value uint64) {
	left := wordsOf(words)
	for ; len(left) >= 8; left = left[8:] {
		left[0], left[1], left[2], left[3] = value, value+1, value+2, value+3
		left[4], left[5], left[6], left[7] = value+4, value+5, value+6, value+7
		value += 8
	}
	for i := range left {
		left[i] = value + uint64(i)
	}
}

// Reads all words.
func sum[E event](words *E) uint64 {
	left := wordsOf(words)
	var total uint64
	for ; len(left) >= 8; left = left[8:] {
		total += left[0] + left[1] + left[2] + left[3] + left[4] + left[5] + left[6] + left[7]
	}
	for _, word := range left {
		total += word
	}
	return total
}
