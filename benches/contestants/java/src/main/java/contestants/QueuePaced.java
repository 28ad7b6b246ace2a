package contestants;

import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/** {@link ArrayBlockingQueue} at a steady rate: one queue for all, or one for each consumer where each sees all. */
final class QueuePaced implements Contestant {
    private final Options options;
    private final Supplier<Event> make;
    private final Event close;
    private final List<BlockingQueue<Event>> queues;

    QueuePaced(Options options) {
        this.options = options;
        make = Event.ofBytes(options.size());
        close = make.get();
        queues = IntStream.range(0, options.toAll() ? options.consumers() : 1)
            .<BlockingQueue<Event>>mapToObj(i -> new ArrayBlockingQueue<>(options.capacity())).toList();
    }

    @Override
    public boolean wantsWarmUp() {
        return false;
    }

    @Override
    public Result pass(long events) throws Exception {
        var schedule = Schedule.of(options);
        var tallies = IntStream.range(0, options.consumers()).mapToObj(i -> new LatencyTally(schedule)).toList();
        Crew consumers = Crew.start(tallies.size(), number ->
            consume(queues.get(number % queues.size()), tallies.get(number)));
        long[] sent = new long[schedule.producers()];
        Crew.start(sent.length, number -> sent[number] = schedule.run(number, this::send)).join();
        for (int i = 0; i < tallies.size(); i++) {
            queues.get(i % queues.size()).put(close);
        }
        consumers.join();
        return LatencyTally.result(schedule, tallies, sent, System.nanoTime());
    }

    private void send(long number, long due) throws InterruptedException {
        Event event = make.get();
        event.fill(number);
        event.set(1, due);
        for (BlockingQueue<Event> queue : queues) {
            queue.put(event);
        }
    }

    private void consume(BlockingQueue<Event> queue, LatencyTally tally) throws InterruptedException {
        for (Event event = queue.take(); event != close; event = queue.take()) {
            tally.handle(event);
        }
    }
}
