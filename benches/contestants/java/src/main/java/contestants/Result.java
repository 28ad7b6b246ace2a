package contestants;

import java.util.List;

/** What one pass came to. A mean batch of 0 says that batches mean nothing here. */
record Result(long events, double seconds, long checksum, double meanBatch, Histogram latency,
              List<Histogram> windows, long[] sent) {
    static Result throughput(long events, long nanoseconds, long checksum, double meanBatch) {
        return new Result(events, nanoseconds / 1e9, checksum, meanBatch, null, null, null);
    }
}
