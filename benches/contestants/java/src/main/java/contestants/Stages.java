package contestants;

/** What the handlers before the last write into an event, so that the checksum proves that they ran. */
final class Stages {
    private Stages() {
    }

    static void first(Event event, long sequence, boolean endOfBatch) {
        event.set(1, event.get(0) + 1);
    }

    static void second(Event event, long sequence, boolean endOfBatch) {
        event.set(2, event.get(1) + 1);
    }

    /** Runs beside {@link #first}, so it reads only what the producer wrote. */
    static void beside(Event event, long sequence, boolean endOfBatch) {
        event.set(2, event.get(0) + 2);
    }
}
