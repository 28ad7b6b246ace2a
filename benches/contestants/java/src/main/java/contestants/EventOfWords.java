package contestants;

/** An event of any other size: an array of its words. */
final class EventOfWords extends Event {
    private final long[] words;

    EventOfWords(int count) {
        words = new long[count];
    }

    @Override
    void fill(long value) {
        for (int i = 0; i < words.length; i++) {
            words[i] = value + i;
        }
    }

    @Override
    long sum() {
        long sum = 0;
        for (long word : words) {
            sum += word;
        }
        return sum;
    }

    @Override
    long get(int word) {
        return words[word];
    }

    @Override
    void set(int word, long value) {
        words[word] = value;
    }
}
