package contestants;

/** The event of 64 bytes as plain fields, as a user of the Disruptor writes it. */
final class Event64 extends Event {
    private long a;
    private long b;
    private long c;
    private long d;
    private long e;
    private long f;
    private long g;
    private long h;

    @Override
    void fill(long value) {
        a = value;
        b = value + 1;
        c = value + 2;
        d = value + 3;
        e = value + 4;
        f = value + 5;
        g = value + 6;
        h = value + 7;
    }

    @Override
    long sum() {
        return a + b + c + d + e + f + g + h;
    }

    @Override
    long get(int word) {
        return switch (word) {
            case 0 -> a;
            case 1 -> b;
            case 2 -> c;
            default -> throw new IndexOutOfBoundsException(word);
        };
    }

    @Override
    void set(int word, long value) {
        switch (word) {
            case 1 -> b = value;
            case 2 -> c = value;
            default -> throw new IndexOutOfBoundsException(word);
        }
    }
}
