package contestants;

import java.util.concurrent.CyclicBarrier;

/** The threads of one side, let go together. */
final class Crew {
    /** What thread {@code number} does. */
    interface Work {
        void run(int number) throws Exception;
    }

    private final Thread[] threads;
    private final long[] starts;

    private Crew(int count, Work work) {
        threads = new Thread[count];
        starts = new long[count];
        CyclicBarrier barrier = new CyclicBarrier(count);
        for (int i = 0; i < count; i++) {
            int number = i;
            threads[i] = new Thread(() -> run(work, number, barrier));
        }
    }

    static Crew start(int count, Work work) {
        Crew crew = new Crew(count, work);
        for (Thread thread : crew.threads) {
            thread.start();
        }
        return crew;
    }

    private void run(Work work, int number, CyclicBarrier barrier) {
        try {
            barrier.await();
            starts[number] = System.nanoTime();
            work.run(number);
        } catch (Throwable failure) {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    /** Waits for all and returns when the first of them began. */
    long join() throws InterruptedException {
        long first = Long.MAX_VALUE;
        for (int i = 0; i < threads.length; i++) {
            threads[i].join();
            first = Math.min(first, starts[i]);
        }
        return first;
    }
}
