package contestants;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;

/** {@link ArrayBlockingQueue} in each scenario of throughput: a new event each time, one queue for each edge. */
final class QueueThroughput implements Contestant {
    private final Options options;
    private final List<BlockingQueue<Event>> queues = new ArrayList<>();

    QueueThroughput(Options options) {
        this.options = options;
        int edges = switch (options.scenario()) {
            case "1p2c" -> 2;
            case "pipeline3" -> 3;
            case "diamond3" -> 4;
            default -> 1;
        };
        for (int i = 0; i < edges; i++) {
            queues.add(new ArrayBlockingQueue<>(options.capacity()));
        }
    }

    /** One stage's work on one event; returns what it adds to the checksum. */
    private interface Step {
        long run() throws InterruptedException;
    }

    @Override
    public Result pass(long events) throws InterruptedException {
        List<Step> steps = steps();
        Tally[] tallies = new Tally[steps.size()];
        Crew consumers = Crew.start(tallies.length, number -> tallies[number] = repeat(steps.get(number), events));
        int producers = options.producers();
        long start = Crew.start(producers, number -> produce(number, events / producers)).join();
        consumers.join();
        long sum = 0;
        long finished = start;
        for (Tally tally : tallies) {
            sum += tally.sum;
            finished = Math.max(finished, tally.finishedAt);
        }
        return Result.throughput(events, finished - start, sum, 1);
    }

    private static Tally repeat(Step step, long events) throws InterruptedException {
        Tally tally = new Tally();
        for (long n = 0; n < events; n++) {
            tally.sum += step.run();
        }
        tally.finishedAt = System.nanoTime();
        return tally;
    }

    private List<Step> steps() {
        return switch (options.scenario()) {
            case "1p2c" -> List.of(() -> queues.get(0).take().sum(), () -> queues.get(1).take().sum());
            case "pipeline3" -> List.of(() -> first(0, 1), () -> second(1, 2), () -> queues.get(2).take().sum());
            case "diamond3" -> List.of(() -> first(0, 2), () -> beside(1, 3), this::joined);
            default -> List.of(() -> queues.get(0).take().sum());
        };
    }

    private long first(int from, int to) throws InterruptedException {
        Event event = queues.get(from).take();
        Stages.first(event, 0, false);
        queues.get(to).put(event);
        return 0;
    }

    private long second(int from, int to) throws InterruptedException {
        Event event = queues.get(from).take();
        Stages.second(event, 0, false);
        queues.get(to).put(event);
        return 0;
    }

    private long beside(int from, int to) throws InterruptedException {
        Event event = queues.get(from).take();
        Stages.beside(event, 0, false);
        queues.get(to).put(event);
        return 0;
    }

    /** Both branches hand on the same event: it is complete when both have. */
    private long joined() throws InterruptedException {
        queues.get(2).take();
        return queues.get(3).take().sum();
    }

    private void produce(int number, long count) throws InterruptedException {
        var make = Event.ofBytes(options.size());
        int producers = options.producers();
        boolean staged = queues.size() > 2;
        int copies = queues.size() % 2 == 0 ? 2 : 1;
        for (long n = 0; n < count; n++) {
            Event event = make.get();
            event.fill(n * producers + number);
            if (staged) {
                event.set(1, 0);
                event.set(2, 0);
            }
            for (int i = 0; i < copies; i++) {
                queues.get(i).put(event);
            }
        }
    }
}
