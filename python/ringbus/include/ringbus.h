/*
 * ringbus.h: the C interface of ringbus, for C, C++, Cython and Rust.
 *
 * A program attaches to a shared ring by its name and takes part in it as a producer, as a consumer, or both, beside the
 * Python processes and the other programs that are attached. Rings are made in Python. The library is libringbus.so;
 * `ringbus.get_include()` and `ringbus.get_library()` say where both files are.
 *
 * Return values. A function that returns int32_t returns RINGBUS_OK or a code below 0; one that returns int64_t returns
 * a sequence or a count, or a code below 0. After a code, ringbus_last_error() says the fact, the value and the remedy.
 * No function throws, unwinds or ends the program.
 *
 * Threads. A ring may be used by all threads at once. A producer or a consumer is used by one thread at a time; it may
 * be handed on to another thread. Give each thread a producer or a consumer of its own. No function may be called from
 * a signal handler.
 *
 * Fork. A handle from before a fork gives RINGBUS_FORKED in the child. Attach anew there.
 *
 * Versions. What is below stays as it is within one RINGBUS_ABI_VERSION; a later library may have more functions, more
 * codes, and more members at the end of a structure that begins with `size`. Set `size` to sizeof the structure, or
 * begin with its ringbus_default_...() function. All other members 0 are the defaults.
 */
#ifndef RINGBUS_H
#define RINGBUS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGBUS_ABI_VERSION 1

/* A timeout_ns that never ends. One of 0 does not wait. */
#define RINGBUS_FOREVER (-1)

/* What a function returns when it did not do what it was asked. */
enum ringbus_code {
    RINGBUS_OK = 0,
    RINGBUS_FULL = -1,             /* fewer slots are free than were asked for */
    RINGBUS_TIMED_OUT = -2,        /* the time is over; nothing was taken */
    RINGBUS_ALERTED = -3,          /* somebody called ringbus_alert */
    RINGBUS_LAPPED = -4,           /* the event was overwritten before it was read whole */
    RINGBUS_INVALID = -10,         /* an argument: null, no handle of this kind, or out of range */
    RINGBUS_NOT_FOUND = -11,       /* no ring has that name */
    RINGBUS_LAYOUT = -12,          /* the file is no ring of this layout, or its events are of another schema */
    RINGBUS_NOT_PRIVATE = -13,     /* the file or its folder belongs to, or is open to, other users */
    RINGBUS_SYSTEM = -14,          /* the system refused; the text has its error number */
    RINGBUS_READ_ONLY = -15,       /* the ring is attached read-only here */
    RINGBUS_NO_PLACE = -16,        /* every producer line, consumer entry or open claim is taken */
    RINGBUS_OTHER_PRODUCER = -17,  /* the ring has one producer, and another handle or process is it */
    RINGBUS_CLAIM_OPEN = -18,      /* the ring has one producer, and its last claim is open */
    RINGBUS_NAME_TAKEN = -19,      /* a consumer of that name takes part */
    RINGBUS_NOT_HELD = -20,        /* the sequence to start at is not held for this consumer */
    RINGBUS_NO_CONSUMER = -21,     /* depends_on names nobody */
    RINGBUS_HAS_DEPENDENTS = -22,  /* other consumers depend on this one */
    RINGBUS_PEER_DIED = -23,       /* a consumer that this one depends on has left or died */
    RINGBUS_REPLACED = -24,        /* the ring was unlinked or replaced */
    RINGBUS_EXHAUSTED = -25,       /* the ring is at its last possible sequence */
    RINGBUS_FORKED = -26,          /* the handle is from before a fork */
    RINGBUS_INTERNAL = -27         /* a fault of ringbus itself: please report it */
};

typedef struct ringbus_ring ringbus_ring;         /* a ring that this program is attached to */
typedef struct ringbus_producer ringbus_producer; /* one who claims and publishes */
typedef struct ringbus_consumer ringbus_consumer; /* one who reads, and holds producers up until it has */

/* -- how to wait ---------------------------------------------------------------------------------------------------- */

enum ringbus_wait_kind {
    RINGBUS_BLOCKING = 0,      /* spins a little, then sleeps until it is woken */
    RINGBUS_BUSY_SPIN = 1,     /* never gives the core away */
    RINGBUS_YIELDING = 2,      /* spins a little, then offers the core to others */
    RINGBUS_SLEEPING = 3,      /* spins, yields, then sleeps, longer each time */
    RINGBUS_PHASED_BACKOFF = 4 /* spins for a time, yields for a time, then blocks */
};

typedef struct ringbus_wait {
    uint32_t kind;      /* ringbus_wait_kind */
    uint32_t spins;     /* blocking: looks before it sleeps; 0 is 200 */
    uint64_t first_ns;  /* sleeping: the longest sleep, 0 is 100 us; phased back-off: time to spin, 0 is 10 us */
    uint64_t second_ns; /* phased back-off: time to yield, 0 is 90 us */
} ringbus_wait;

/* -- structures ----------------------------------------------------------------------------------------------------- */

enum ringbus_attach_flag {
    RINGBUS_ATTACH_READ_ONLY = 1 /* map it so that this program cannot write: consumers need RINGBUS_UNGATED */
};

typedef struct ringbus_attach_options {
    uint64_t size;        /* sizeof(ringbus_attach_options) */
    uint64_t flags;       /* ringbus_attach_flag */
    int64_t wait_ns;      /* how long to wait for the ring to be made, or RINGBUS_FOREVER */
    uint64_t schema_hash; /* refuse a ring whose schema has another hash; 0 takes any */
} ringbus_attach_options;

enum ringbus_info_flag {
    RINGBUS_INFO_MULTI = 1,    /* it admits many producers */
    RINGBUS_INFO_STAMPED = 2,  /* its slots have the publish time */
    RINGBUS_INFO_TYPED = 4,    /* it has several event types, and its slots say which */
    RINGBUS_INFO_READ_ONLY = 8 /* it is attached read-only here */
};

typedef struct ringbus_info {
    uint64_t size;         /* sizeof(ringbus_info) */
    uint64_t flags;        /* ringbus_info_flag */
    uint64_t capacity;     /* slots */
    uint64_t slot_bytes;   /* bytes from one slot to the next */
    uint64_t event_offset; /* bytes from the beginning of a slot to its event */
    int64_t start;         /* the first sequence of the ring */
    uint64_t schema_hash;  /* identifies the fields: names, types, offsets, sizes */
    uint64_t instance;     /* another ring under the same name has another one */
} ringbus_info;

/* Where the slots of a ring are. Good until the ring is detached and its producers and consumers are closed. */
typedef struct ringbus_slots {
    unsigned char *base;   /* the first slot */
    uint64_t mask;         /* capacity - 1 */
    uint64_t stride;       /* bytes from one slot to the next */
    uint64_t event_offset; /* bytes from the beginning of a slot to its event */
    int64_t stamp_offset;  /* ... to its publish time; -1 where there is none */
    int64_t type_offset;   /* ... to the index of its event type; -1 where the ring has one type */
} ringbus_slots;

enum ringbus_consumer_flag {
    RINGBUS_UNGATED = 1, /* producers do not wait for it: it may be lapped, and reads by ringbus_read alone */
    RINGBUS_DURABLE = 2  /* its place stays, and holds producers up, while it is away */
};

enum ringbus_start {
    RINGBUS_START_DEFAULT = 0, /* at the place that is held for it, or else after the cursor */
    RINGBUS_START_LATEST = 1,  /* after the cursor */
    RINGBUS_START_OLDEST = 2,  /* at the first sequence that is held for it */
    RINGBUS_START_AT = 3       /* at start_at */
};

typedef struct ringbus_consumer_options {
    uint64_t size;                   /* sizeof(ringbus_consumer_options) */
    uint64_t flags;                  /* ringbus_consumer_flag */
    uint64_t absent_limit;           /* durable: the most events it may be behind while it is away; 0 is no limit */
    uint64_t start;                  /* ringbus_start */
    int64_t start_at;                /* the first sequence, for RINGBUS_START_AT */
    const char *const *depends_on;   /* the names of consumers that have to be done with an event first */
    uint64_t depends_on_count;       /* how many names */
    ringbus_wait wait;               /* how it waits */
} ringbus_consumer_options;

static inline ringbus_attach_options ringbus_default_attach_options(void) {
    ringbus_attach_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

static inline ringbus_consumer_options ringbus_default_consumer_options(void) {
    ringbus_consumer_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/* -- the library ---------------------------------------------------------------------------------------------------- */

/* RINGBUS_ABI_VERSION of the library. Use it only if it is that of this header. Any thread. */
uint32_t ringbus_abi_version(void);

/* The version of ringbus, as text. Any thread. */
const char *ringbus_version(void);

/* What the last call of this thread that returned a code did not do: fact, value, remedy. Good until the next such call
 * of this thread; never null. */
const char *ringbus_last_error(void);

/* The name of a code, such as "RINGBUS_FULL". Any thread. */
const char *ringbus_code_name(int64_t code);

/* -- rings ---------------------------------------------------------------------------------------------------------- */

/* Attaches to the shared ring `name` of this user. `options` may be null. On RINGBUS_OK `*ring` is to be given to
 * ringbus_detach. A program may attach to a ring more than once. Any thread. */
int32_t ringbus_attach(const char *name, const ringbus_attach_options *options, ringbus_ring **ring);

/* Gives the ring back. Its producers and consumers stay good: the last handle to be closed unmaps the memory. No other
 * thread may be in a call with this ring. */
int32_t ringbus_detach(ringbus_ring *ring);

/* What the ring is. Set info->size first. Any thread. */
int32_t ringbus_get_info(const ringbus_ring *ring, ringbus_info *info);

/* Where its slots are. Any thread. */
int32_t ringbus_get_slots(const ringbus_ring *ring, ringbus_slots *slots);

/* The schemas of its event types as a JSON array: names, offsets and types of all fields. Good until ringbus_detach.
 * Null if `ring` is no ring. Any thread. */
const char *ringbus_schema(const ringbus_ring *ring);

/* The highest sequence published (one producer) or claimed (many); start - 1 at the beginning. Any thread. */
int64_t ringbus_cursor(const ringbus_ring *ring);

/* Free slots now. Claimed ones count as taken, published or not. Any thread. */
int64_t ringbus_remaining_capacity(const ringbus_ring *ring);

/* Ends the waits of all producers and consumers that were made from `ring`, now and later, with RINGBUS_ALERTED, until
 * ringbus_clear_alert. Any thread, but no signal handler. */
int32_t ringbus_alert(const ringbus_ring *ring);
int32_t ringbus_clear_alert(const ringbus_ring *ring);

/* -- producers ------------------------------------------------------------------------------------------------------ */

/* Becomes a producer of the ring. `wait` says how it waits for free slots and may be null. Any thread. */
int32_t ringbus_producer_open(const ringbus_ring *ring, const ringbus_wait *wait, ringbus_producer **producer);

/* Gives the producer's place back. Claims that are open are aborted. */
int32_t ringbus_producer_close(ringbus_producer *producer);

/* Claims `count` slots, waiting for them at most `timeout_ns`. Returns the highest sequence: the claim is
 * `highest - count + 1 .. highest`. Write every field of each event, then publish. A slot holds what it held a lap ago.
 * Many producers: each may have up to 7 claims open. One producer: one. */
int64_t ringbus_claim(ringbus_producer *producer, int64_t count, int64_t timeout_ns);

/* As ringbus_claim, but returns RINGBUS_FULL at once when fewer slots are free. */
int64_t ringbus_try_claim(ringbus_producer *producer, int64_t count);

/* Publishes a whole claim, `low .. high`, and wakes who waits for it. */
int32_t ringbus_publish(ringbus_producer *producer, int64_t low, int64_t high);

/* Gives a whole claim back: no consumer sees its slots. */
int32_t ringbus_abort(ringbus_producer *producer, int64_t low, int64_t high);

/* -- consumers ------------------------------------------------------------------------------------------------------ */

/* Joins the ring as the consumer `name`. From here on producers wait for it, unless RINGBUS_UNGATED. `options` may be
 * null. Any thread. */
int32_t ringbus_join(const ringbus_ring *ring, const char *name, const ringbus_consumer_options *options,
                     ringbus_consumer **consumer);

/* Leaves the ring: producers do not wait for it any more; the place of a durable one stays. RINGBUS_HAS_DEPENDENTS
 * leaves all as it was. */
int32_t ringbus_leave(ringbus_consumer *consumer);

/* As ringbus_leave, though others depend on it: they read what it was done with, then get RINGBUS_PEER_DIED. A durable
 * one does not keep its hold on producers. */
int32_t ringbus_part(ringbus_consumer *consumer);

/* How many events are there now, at most `limit` and one after the other from `*first` on; 0 when there is none. Never
 * waits. The same events are there again until ringbus_commit. */
int64_t ringbus_poll(ringbus_consumer *consumer, int64_t limit, int64_t *first);

/* As ringbus_poll, but waits for the first event at most `timeout_ns`. Returns 0 when the time is over. */
int64_t ringbus_wait_for(ringbus_consumer *consumer, int64_t limit, int64_t timeout_ns, int64_t *first);

/* Is done with everything up to `last`, which a poll has shown. Producers may overwrite it from here on. */
int32_t ringbus_commit(ringbus_consumer *consumer, int64_t last);

/* Copies the whole slot of `sequence`, which a poll has shown and that is not committed yet, to `slot`: `stride` bytes,
 * 8-aligned. The one way to read for RINGBUS_UNGATED: RINGBUS_LAPPED says that it was overwritten meanwhile, and the
 * next poll goes on further ahead. */
int32_t ringbus_read(ringbus_consumer *consumer, int64_t sequence, void *slot);

/* The last sequence that it is done with. */
int64_t ringbus_sequence(const ringbus_consumer *consumer);

/* Events that it was lapped by, or missed while it was away. */
int64_t ringbus_missed(const ringbus_consumer *consumer);

/* -- slots ---------------------------------------------------------------------------------------------------------- */

/* The slot of `sequence`. */
static inline unsigned char *ringbus_slot(const ringbus_slots *slots, int64_t sequence) {
    return slots->base + ((uint64_t)sequence & slots->mask) * slots->stride;
}

/* The event of `sequence`: of a claim, or of what a poll has shown to a consumer that gates. */
static inline void *ringbus_event(const ringbus_slots *slots, int64_t sequence) {
    return ringbus_slot(slots, sequence) + slots->event_offset;
}

/* Sets the event of `sequence` to zeros. */
static inline void ringbus_clear_event(const ringbus_slots *slots, int64_t sequence) {
    memset(ringbus_event(slots, sequence), 0, (size_t)(slots->stride - slots->event_offset));
}

/* When a slot was published, in ns of CLOCK_MONOTONIC; 0 where the ring does not stamp. */
static inline int64_t ringbus_published_ns(const ringbus_slots *slots, const void *slot) {
    int64_t published_ns = 0;
    if (slots->stamp_offset >= 0) {
        memcpy(&published_ns, (const unsigned char *)slot + slots->stamp_offset, sizeof published_ns);
    }
    return published_ns;
}

/* The index of a slot's event type in the schema. Others may have written anything there: check it. */
static inline uint16_t ringbus_event_type(const ringbus_slots *slots, const void *slot) {
    uint16_t type = 0;
    if (slots->type_offset >= 0) {
        memcpy(&type, (const unsigned char *)slot + slots->type_offset, sizeof type);
    }
    return type;
}

/* Says of which type the event in a claimed slot is. Needed where the ring has several types. */
static inline void ringbus_set_event_type(const ringbus_slots *slots, int64_t sequence, uint16_t type) {
    if (slots->type_offset >= 0) {
        memcpy(ringbus_slot(slots, sequence) + slots->type_offset, &type, sizeof type);
    }
}

#ifdef __cplusplus
}
#endif

#endif
