package contestants;

import com.lmax.disruptor.EventHandler;
import java.util.concurrent.CountDownLatch;

/** The consumer at the end: adds up every word of every event. */
final class SummingHandler extends Tally implements EventHandler<Event> {
    private CountDownLatch done;

    /** Begins a pass that ends with sequence {@code last}; the producer's publish makes this visible. */
    void expect(long last, CountDownLatch done) {
        sum = 0;
        batches = 0;
        this.last = last;
        this.done = done;
    }

    @Override
    public void onBatchStart(long batchSize, long queueDepth) {
        batches++;
    }

    @Override
    public void onEvent(Event event, long sequence, boolean endOfBatch) {
        sum += event.sum();
        if (sequence == last) {
            finishedAt = System.nanoTime();
            done.countDown();
        }
    }
}
