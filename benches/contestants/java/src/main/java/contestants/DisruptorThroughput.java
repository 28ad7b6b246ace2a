package contestants;

import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import com.lmax.disruptor.util.DaemonThreadFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** The Disruptor's ring in each scenario of throughput; one ring serves all passes. */
final class DisruptorThroughput implements Contestant {
    private final int producers;
    private final int batch;
    private final boolean staged;
    private final RingBuffer<Event> ring;
    private final List<SummingHandler> ends = new ArrayList<>();

    DisruptorThroughput(Options options) {
        producers = options.producers();
        batch = options.batch();
        staged = options.scenario().equals("pipeline3") || options.scenario().equals("diamond3");
        ring = start(options);
    }

    private RingBuffer<Event> start(Options options) {
        var disruptor = new Disruptor<Event>(Event.ofBytes(options.size())::get, options.capacity(),
            DaemonThreadFactory.INSTANCE, producers == 1 ? ProducerType.SINGLE : ProducerType.MULTI,
            Waits.named(options.waiting()));
        connect(disruptor, options);
        return disruptor.start();
    }

    private void connect(Disruptor<Event> disruptor, Options options) {
        switch (options.scenario()) {
            case "pipeline3" -> disruptor.handleEventsWith(Stages::first).then(Stages::second).then(end());
            case "diamond3" -> disruptor.handleEventsWith(Stages::first, Stages::beside).then(end());
            default -> {
                for (int i = 0; i < options.consumers(); i++) {
                    disruptor.handleEventsWith(end());
                }
            }
        }
    }

    private SummingHandler end() {
        ends.add(new SummingHandler());
        return ends.get(ends.size() - 1);
    }

    @Override
    public Result pass(long events) throws InterruptedException {
        CountDownLatch done = new CountDownLatch(ends.size());
        ends.forEach(end -> end.expect(ring.getCursor() + events, done));
        Crew crew = Crew.start(producers, number -> produce(number, events / producers));
        long start = crew.join();
        done.await();
        return result(events, start);
    }

    private Result result(long events, long start) {
        long finished = ends.stream().mapToLong(end -> end.finishedAt).max().orElseThrow();
        long batches = ends.stream().mapToLong(end -> end.batches).sum();
        long sum = ends.stream().mapToLong(end -> end.sum).sum();
        return Result.throughput(events, finished - start, sum, (double) events * ends.size() / batches);
    }

    private void produce(int number, long count) {
        if (batch == 1) {
            for (long n = 0; n < count; n++) {
                publish(n * producers + number);
            }
            return;
        }
        for (long n = 0; n < count; n += batch) {
            publishBatch(n, (int) Math.min(batch, count - n), number);
        }
    }

    private void publish(long value) {
        long sequence = ring.next();
        fill(ring.get(sequence), value);
        ring.publish(sequence);
    }

    private void publishBatch(long from, int count, int number) {
        long high = ring.next(count);
        long low = high - count + 1;
        for (int i = 0; i < count; i++) {
            fill(ring.get(low + i), (from + i) * producers + number);
        }
        ring.publish(low, high);
    }

    private void fill(Event event, long value) {
        event.fill(value);
        if (staged) {
            event.set(1, 0);
            event.set(2, 0);
        }
    }
}
