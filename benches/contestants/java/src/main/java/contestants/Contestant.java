package contestants;

/** Something that moves events from producers to consumers; it can be run again and again. */
interface Contestant {
    /** Moves {@code events} events and returns when the last consumer has handled the last one. */
    Result pass(long events) throws Exception;

    /** False where the warm-up is a part of the timed pass. */
    default boolean wantsWarmUp() {
        return true;
    }
}
