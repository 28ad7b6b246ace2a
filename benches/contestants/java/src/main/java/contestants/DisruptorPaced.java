package contestants;

import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import com.lmax.disruptor.util.DaemonThreadFactory;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The Disruptor at a steady rate. Its version 4 has no worker pool: where each event is for one consumer, each handler
 * sees all and takes its own, by the sequence, as its authors advise.
 */
final class DisruptorPaced implements Contestant {
    private final Options options;

    DisruptorPaced(Options options) {
        this.options = options;
    }

    @Override
    public boolean wantsWarmUp() {
        return false;
    }

    @Override
    public Result pass(long events) throws Exception {
        var schedule = Schedule.of(options);
        var tallies = IntStream.range(0, options.consumers()).mapToObj(i -> new LatencyTally(schedule)).toList();
        var disruptor = new Disruptor<Event>(Event.ofBytes(options.size())::get, options.capacity(),
            DaemonThreadFactory.INSTANCE, options.producers() == 1 ? ProducerType.SINGLE : ProducerType.MULTI,
            Waits.named(options.waiting()));
        disruptor.handleEventsWith(handlers(tallies));
        return run(disruptor, schedule, tallies);
    }

    @SuppressWarnings("unchecked")
    private EventHandler<Event>[] handlers(List<LatencyTally> tallies) {
        return IntStream.range(0, tallies.size()).mapToObj(i -> handler(i, tallies.get(i)))
            .toArray(EventHandler[]::new);
    }

    private EventHandler<Event> handler(int ordinal, LatencyTally tally) {
        int consumers = options.consumers();
        if (options.toAll() || consumers == 1) {
            return (event, sequence, endOfBatch) -> tally.handle(event);
        }
        return (event, sequence, endOfBatch) -> {
            if (sequence % consumers == ordinal) {
                tally.handle(event);
            }
        };
    }

    private Result run(Disruptor<Event> disruptor, Schedule schedule, List<LatencyTally> tallies) throws Exception {
        RingBuffer<Event> ring = disruptor.start();
        long[] sent = new long[schedule.producers()];
        Crew.start(sent.length, number ->
            sent[number] = schedule.run(number, (value, due) -> send(ring, value, due))).join();
        disruptor.shutdown();
        return LatencyTally.result(schedule, tallies, sent, System.nanoTime());
    }

    private static void send(RingBuffer<Event> ring, long value, long due) {
        long sequence = ring.next();
        Event event = ring.get(sequence);
        event.fill(value);
        event.set(1, due);
        ring.publish(sequence);
    }
}
