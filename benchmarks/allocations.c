/* Counts the bytes that a process has from aligned allocations, when loaded before all other libraries.
 *
 * ONNX Runtime takes every tensor and all scratch memory from aligned allocations, one call each when its own arena
 * is off. The benchmark loads this library with LD_PRELOAD and calls `watch_start` and `watch_peak` around a run.
 * Made for one thread that allocates; glibc only.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

enum { PLACES = 1 << 16 };
static struct { void *memory; size_t size; } known[PLACES];
static char removed; /* its address marks a place that was in use: a search goes on behind it */
static size_t alive, peak;
static int watching;

static size_t first_place(void *memory) { return ((uintptr_t)memory >> 4) * 2654435761u % PLACES; }

static void *counted(size_t alignment, size_t size) {
    void *memory = __libc_memalign(alignment, size);
    if (watching && memory) {
        size_t place = first_place(memory);
        while (known[place].memory && known[place].memory != &removed) place = (place + 1) % PLACES;
        known[place].memory = memory;
        known[place].size = size;
        alive += size;
        if (alive > peak) peak = alive;
    }
    return memory;
}

void *aligned_alloc(size_t alignment, size_t size) { return counted(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    *memory = counted(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void free(void *memory) {
    if (watching && memory) {
        size_t place = first_place(memory);
        while (known[place].memory && known[place].memory != memory) place = (place + 1) % PLACES;
        if (known[place].memory) {
            known[place].memory = &removed;
            alive -= known[place].size;
        }
    }
    __libc_free(memory);
}

void watch_start(void) {
    memset(known, 0, sizeof known);
    alive = peak = 0;
    watching = 1;
}

/* The most bytes that were alive at a time since `watch_start`, of those allocated since. */
size_t watch_peak(void) {
    watching = 0;
    return peak;
}
