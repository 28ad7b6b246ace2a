package contestants;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** A consumer's sum and latencies from the scheduled time, for each quarter of the measured time. */
final class LatencyTally extends Tally {
    private static final int WINDOWS = 4;
    private final Schedule schedule;
    private final List<Histogram> windows = IntStream.range(0, WINDOWS).mapToObj(i -> new Histogram()).toList();

    LatencyTally(Schedule schedule) {
        this.schedule = schedule;
    }

    void handle(Event event) {
        long due = event.get(1);
        sum += event.sum() - due;
        if (due >= schedule.measuredFrom()) {
            windows.get(window(due)).add(System.nanoTime() - due);
        }
    }

    private int window(long due) {
        double part = (double) (due - schedule.measuredFrom()) / (schedule.end() - schedule.measuredFrom());
        return Math.min(WINDOWS - 1, (int) (part * WINDOWS));
    }

    /** All consumers' tallies as one result. */
    static Result result(Schedule schedule, List<LatencyTally> tallies, long[] sent, long finished) {
        List<Histogram> all = IntStream.range(0, WINDOWS).mapToObj(i -> new Histogram()).toList();
        Histogram total = new Histogram();
        long sum = 0;
        for (LatencyTally tally : tallies) {
            sum += tally.sum;
            for (int i = 0; i < WINDOWS; i++) {
                all.get(i).add(tally.windows.get(i));
                total.add(tally.windows.get(i));
            }
        }
        long events = Arrays.stream(sent).sum();
        return new Result(events, (finished - schedule.start()) / 1e9, sum, 0, total, all, sent);
    }
}
