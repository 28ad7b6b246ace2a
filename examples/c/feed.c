/* Publishes so many trades into a ring that a Python process made, in claims of at most 64, and one of quantity 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ringbus.h"
#include "trade.h"

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, ringbus_last_error());
    return 1;
}

static void fill(struct trade *trade, int64_t number, int64_t quantity) {
    memset(trade, 0, sizeof *trade);
    memcpy(trade->symbol, "BTC-USD", 7);
    trade->price = (double)number;
    trade->quantity = quantity;
}

int main(int argc, char **argv) {
    ringbus_ring *ring;
    ringbus_producer *producer;
    ringbus_slots slots;
    int64_t number = 0, trades, count, high, sequence;

    if (argc != 3 || ringbus_abi_version() != RINGBUS_ABI_VERSION) {
        fprintf(stderr, "usage: feed RING TRADES, with the libringbus.so of this header\n");
        return 2;
    }
    trades = strtoll(argv[2], NULL, 10);
    if (ringbus_attach(argv[1], NULL, &ring) < 0 || ringbus_get_slots(ring, &slots) < 0) return fail("attach");
    if (slots.stride - slots.event_offset != sizeof(struct trade)) {
        fprintf(stderr, "the ring has other events: %s\n", ringbus_schema(ring));
        return 1;
    }
    if (ringbus_producer_open(ring, NULL, &producer) < 0) return fail("producer_open");

    while (number <= trades) {
        count = trades + 1 - number < 64 ? trades + 1 - number : 64;
        high = ringbus_claim(producer, count, 5 * INT64_C(1000000000));
        if (high < 0) return fail("claim");
        for (sequence = high - count + 1; sequence <= high; sequence++, number++) {
            fill((struct trade *)ringbus_event(&slots, sequence), number, number < trades ? 2 : 0);
        }
        if (ringbus_publish(producer, high - count + 1, high) < 0) return fail("publish");
    }
    if (ringbus_producer_close(producer) < 0 || ringbus_detach(ring) < 0) return fail("close");
    return 0;
}
