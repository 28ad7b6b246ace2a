package contestants;

import java.util.Arrays;

/** Log-linear counts: exact below 256, then 128 buckets to each power of two. */
final class Histogram {
    private static final int BUCKETS = 128;
    private final long[] counts = new long[BUCKETS * 60];

    void add(long value) {
        counts[index(Math.max(value, 0))]++;
    }

    void add(Histogram other) {
        Arrays.setAll(counts, i -> counts[i] + other.counts[i]);
    }

    private static int index(long value) {
        int shift = shift(value);
        return shift * BUCKETS + (int) (value >>> shift);
    }

    private static int shift(long value) {
        return Math.max(0, 63 - Long.numberOfLeadingZeros(value | 1) - 7);
    }

    private static long lowest(int index) {
        int shift = Math.max(0, index / BUCKETS - 1);
        return (long) (index - shift * BUCKETS) << shift;
    }

    String json() {
        StringBuilder text = new StringBuilder("[");
        for (int i = 0; i < counts.length; i++) {
            if (counts[i] != 0) {
                text.append(text.length() > 1 ? "," : "");
                text.append('[').append(lowest(i)).append(',').append(counts[i]).append(']');
            }
        }
        return text.append(']').toString();
    }
}
