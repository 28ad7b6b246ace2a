package contestants;

import java.util.Arrays;

/** What filling and adding up cost by themselves: one thread, events that stay in the cache, no ring. */
final class Harness implements Contestant {
    private static final int IN_CACHE = 1024;
    private final Event[] events;

    Harness(Options options) {
        var make = Event.ofBytes(options.size());
        events = new Event[IN_CACHE];
        Arrays.setAll(events, i -> make.get());
    }

    @Override
    public Result pass(long count) {
        long start = System.nanoTime();
        long sum = 0;
        for (long n = 0; n < count; n++) {
            sum += through(n);
        }
        return Result.throughput(count, System.nanoTime() - start, sum, 0);
    }

    private long through(long n) {
        Event event = events[(int) n & (events.length - 1)];
        event.fill(n);
        return event.sum();
    }
}
