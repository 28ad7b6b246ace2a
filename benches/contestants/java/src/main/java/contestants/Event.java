package contestants;

import java.util.function.Supplier;

/** An event of 64-bit words. A run loads one subclass only, so that the calls are direct and inlined. */
abstract class Event {
    static Supplier<Event> ofBytes(int bytes) {
        return bytes == 64 ? Event64::new : () -> new EventOfWords(bytes / 8);
    }

    /** Writes all words: word i is {@code value + i}. */
    abstract void fill(long value);

    /** Reads all words. */
    abstract long sum();

    abstract long get(int word);

    abstract void set(int word, long value);
}
