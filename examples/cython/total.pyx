# distutils: language = c
"""A consumer in Cython, in a Python process: sums without the GIL. Built by setup.py."""

from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "ringbus.h" nogil:
    ctypedef struct ringbus_ring:
        pass
    ctypedef struct ringbus_consumer:
        pass
    ctypedef struct ringbus_slots:
        pass
    const char *ringbus_last_error()
    int32_t ringbus_attach(const char *name, const void *options, ringbus_ring **ring)
    int32_t ringbus_detach(ringbus_ring *ring)
    int32_t ringbus_get_slots(const ringbus_ring *ring, ringbus_slots *slots)
    int32_t ringbus_join(ringbus_ring *ring, const char *name, const void *options, ringbus_consumer **consumer)
    int32_t ringbus_leave(ringbus_consumer *consumer)
    int64_t ringbus_wait_for(ringbus_consumer *consumer, int64_t limit, int64_t timeout_ns, int64_t *first)
    int32_t ringbus_commit(ringbus_consumer *consumer, int64_t last)
    void *ringbus_event(const ringbus_slots *slots, int64_t sequence)


cdef struct Trade:
    char[8] symbol
    double price
    int64_t quantity


cdef int64_t checked(int64_t code) except -1:
    if code < 0:
        raise RuntimeError(ringbus_last_error().decode())
    return code


cdef class Total:
    """Joins a ring, and adds up price * quantity."""

    cdef ringbus_ring *ring
    cdef ringbus_consumer *consumer
    cdef ringbus_slots slots
    cdef readonly double total

    def __init__(self, bytes name):
        checked(ringbus_attach(name, NULL, &self.ring))
        checked(ringbus_get_slots(self.ring, &self.slots))
        checked(ringbus_join(self.ring, b"total", NULL, &self.consumer))

    def take(self, int64_t timeout_ns):
        """Add up what is there, after a wait; how many events that were."""
        cdef int64_t first = 0, sequence, count
        cdef const Trade *trade
        with nogil:
            count = ringbus_wait_for(self.consumer, 1024, timeout_ns, &first)
            for sequence in range(first, first + count):
                trade = <const Trade *>ringbus_event(&self.slots, sequence)
                self.total += trade.price * trade.quantity
        checked(count)
        checked(ringbus_commit(self.consumer, first + count - 1))
        return count

    def close(self):
        """Leave the ring."""
        checked(ringbus_leave(self.consumer))
        self.consumer = NULL

    def __dealloc__(self):
        if self.consumer != NULL:
            ringbus_leave(self.consumer)
        if self.ring != NULL:
            ringbus_detach(self.ring)
