package contestants;

import java.util.concurrent.locks.LockSupport;

/** When each event of a paced run is due; the producers' phases are spread evenly. All times are nanoseconds. */
record Schedule(long start, long measuredFrom, long end, double rate, int producers) {
    static Schedule of(Options options) {
        long start = System.nanoTime() + 20_000_000;
        long measuredFrom = start + (long) (options.warmUp() * 1e9);
        return new Schedule(start, measuredFrom, measuredFrom + (long) (options.seconds() * 1e9), options.rate(),
            options.producers());
    }

    long events() {
        return (long) ((end - start) / 1e9 * rate + 0.5);
    }

    /** When event {@code number}, counted over all producers, is due. */
    long due(long number) {
        return start + (long) (number * 1e9 / rate);
    }

    /** What a producer does with the event that is due. */
    interface Send {
        void send(long number, long due) throws Exception;
    }

    /** Sends each event of one producer when it is due, a late one at once; returns how many. */
    long run(int producer, Send target) throws Exception {
        long sent = 0;
        long number = producer;
        while (number < events() && System.nanoTime() < end) {
            sleepUntil(due(number));
            target.send(number, due(number));
            sent++;
            number = producer + sent * producers;
        }
        return sent;
    }

    private static void sleepUntil(long due) {
        for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }
}
