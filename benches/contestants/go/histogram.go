package main

import "math/bits"

const subBuckets = 128

// Log-linear counts: exact below 256, then 128 buckets to each power of two.
type histogram struct {
	counts [subBuckets * 60]int64
}

func (h *histogram) add(value int64) {
	value = max(value, 0)
	shift := max(0, bits.Len64(uint64(value))-8)
	h.counts[shift*subBuckets+int(value>>shift)]++
}

func (h *histogram) merge(other *histogram) {
	for i, count := range other.counts {
		h.counts[i] += count
	}
}

// The lowest value of each bucket that holds something, and its count.
func (h *histogram) buckets() [][2]int64 {
	filled := [][2]int64{}
	for i, count := range h.counts {
		if count > 0 {
			shift := max(0, i/subBuckets-1)
			filled = append(filled, [2]int64{int64(i-shift*subBuckets) << shift, count})
		}
	}
	return filled
}
