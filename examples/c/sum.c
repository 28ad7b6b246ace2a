/* Joins a ring that a Python process made, and sums the events up to the first one of quantity 0. */
#include <inttypes.h>
#include <stdio.h>

#include "ringbus.h"
#include "trade.h"

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, ringbus_last_error());
    return 1;
}

int main(int argc, char **argv) {
    ringbus_attach_options options = ringbus_default_attach_options();
    ringbus_ring *ring;
    ringbus_consumer *consumer;
    ringbus_slots slots;
    int64_t first = 0, count, sequence, events = 0;
    double total = 0.0;
    int ended = 0;

    options.wait_ns = 10 * INT64_C(1000000000);
    if (argc != 2 || ringbus_abi_version() != RINGBUS_ABI_VERSION) {
        fprintf(stderr, "usage: sum RING, with the libringbus.so of this header\n");
        return 2;
    }
    if (ringbus_attach(argv[1], &options, &ring) < 0 || ringbus_get_slots(ring, &slots) < 0) return fail("attach");
    if (slots.stride - slots.event_offset != sizeof(struct trade)) {
        fprintf(stderr, "the ring has other events: %s\n", ringbus_schema(ring));
        return 1;
    }
    if (ringbus_join(ring, "sum", NULL, &consumer) < 0) return fail("join");
    puts("joined");
    fflush(stdout);

    while (!ended) {
        count = ringbus_wait_for(consumer, 256, RINGBUS_FOREVER, &first);
        if (count < 0) return fail("wait_for");
        for (sequence = first; sequence < first + count && !ended; sequence++) {
            const struct trade *trade = (const struct trade *)ringbus_event(&slots, sequence);
            ended = trade->quantity == 0;
            if (!ended) {
                total += trade->price * (double)trade->quantity;
                events++;
            }
        }
        if (ringbus_commit(consumer, sequence - 1) < 0) return fail("commit");
    }
    printf("%" PRId64 " trades, %.2f in all\n", events, total);
    if (ringbus_leave(consumer) < 0 || ringbus_detach(ring) < 0) return fail("leave");
    return 0;
}
