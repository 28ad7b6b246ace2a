package contestants;

import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;

/** One event between two queues. */
final class QueuePingPong implements Contestant {
    private final Options options;
    private final BlockingQueue<Event> asked;
    private final BlockingQueue<Event> answered;

    QueuePingPong(Options options) {
        this.options = options;
        asked = new ArrayBlockingQueue<>(options.capacity());
        answered = new ArrayBlockingQueue<>(options.capacity());
    }

    @Override
    public Result pass(long events) throws Exception {
        Crew other = Crew.start(1, number -> answer(events));
        Event event = Event.ofBytes(options.size()).get();
        Histogram histogram = new Histogram();
        long sum = 0;
        long start = System.nanoTime();
        for (long n = 0; n < events; n++) {
            event.fill(n);
            event.set(1, System.nanoTime());
            asked.put(event);
            event = answered.take();
            histogram.add(System.nanoTime() - event.get(1));
            sum += event.sum() - event.get(1);
        }
        long took = System.nanoTime() - start;
        other.join();
        return new Result(events, took / 1e9, sum, 0, histogram, null, null);
    }

    private void answer(long events) throws InterruptedException {
        for (long n = 0; n < events; n++) {
            answered.put(asked.take());
        }
    }
}
