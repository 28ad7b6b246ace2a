package contestants;

import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import com.lmax.disruptor.util.DaemonThreadFactory;
import java.util.concurrent.CountDownLatch;

/** One event between two rings; each side is a handler that publishes to the other's ring. */
final class DisruptorPingPong implements Contestant {
    private final Options options;
    private final Asker asker = new Asker();
    private final RingBuffer<Event> asked;

    DisruptorPingPong(Options options) {
        this.options = options;
        RingBuffer<Event> answered = start(asker);
        asked = start((event, sequence, endOfBatch) -> answer(answered, event));
    }

    private RingBuffer<Event> start(EventHandler<Event> handler) {
        var disruptor = new Disruptor<Event>(Event.ofBytes(options.size())::get, options.capacity(),
            DaemonThreadFactory.INSTANCE, ProducerType.SINGLE, Waits.named(options.waiting()));
        disruptor.handleEventsWith(handler);
        return disruptor.start();
    }

    private static void answer(RingBuffer<Event> answered, Event event) {
        long sequence = answered.next();
        Event answer = answered.get(sequence);
        answer.fill(event.get(0));
        answer.set(1, event.get(1));
        answered.publish(sequence);
    }

    private void ask(long number) {
        long sequence = asked.next();
        Event event = asked.get(sequence);
        event.fill(number);
        event.set(1, System.nanoTime());
        asked.publish(sequence);
    }

    @Override
    public Result pass(long events) throws InterruptedException {
        CountDownLatch done = new CountDownLatch(1);
        asker.expect(events, done);
        long start = System.nanoTime();
        ask(0);
        done.await();
        return new Result(events, (asker.finishedAt - start) / 1e9, asker.sum, 0, asker.histogram, null, null);
    }

    private final class Asker extends Tally implements EventHandler<Event> {
        private Histogram histogram;
        private CountDownLatch done;
        private long number;

        void expect(long events, CountDownLatch done) {
            this.done = done;
            histogram = new Histogram();
            sum = 0;
            number = 0;
            last = events - 1;
        }

        @Override
        public void onEvent(Event event, long sequence, boolean endOfBatch) {
            long now = System.nanoTime();
            histogram.add(now - event.get(1));
            sum += event.sum() - event.get(1);
            if (number == last) {
                finishedAt = now;
                done.countDown();
            } else {
                number++;
                ask(number);
            }
        }
    }
}
