/* Counts the calls of malloc, calloc and realloc of the program that it is loaded into before all else. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* The allocator's own names in the GNU C library: no look-up that would allocate. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static _Atomic uint64_t calls;

uint64_t ringbus_malloc_calls(void) { return atomic_load_explicit(&calls, memory_order_relaxed); }

static void count(void) { atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed); }

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t count_of, size_t size) {
    count();
    return __libc_calloc(count_of, size);
}

void *realloc(void *old, size_t size) {
    count();
    return __libc_realloc(old, size);
}
