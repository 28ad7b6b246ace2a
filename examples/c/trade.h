/* The event of this example, member by member as in the Python class that made the ring. */
#ifndef TRADE_H
#define TRADE_H

#include <stdint.h>

struct trade {
    char symbol[8]; /* ringbus.text(8): UTF-8, padded with zeros */
    double price;   /* float */
    int64_t quantity; /* int */
};

#endif
