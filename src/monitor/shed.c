/*
 * shed: memory that is of no use to a monitor once its container runs. A fork without exec inherits all that the
 * command had; what it does not free stays for as long as the container lives. Given back are: the tables of the
 * command line, the stack below the loop, and what is free in the heap.
 */
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "monitor/monitor_int.h"
#include "spec/spec.h"

/* More than a start ever uses of the stack; below what was used nothing is mapped, and madvise() passes over that. */
#define STACK_USED ((uintptr_t)1 << 20)
/* What shed_stack() and madvise() themselves may have below the frame's address. */
#define OWN_FRAME ((uintptr_t)512)

/* Set by the linker where it took start_only.ld; else, as in unit tests, there is nothing between them. */
extern char start_only_begin[] __attribute__((weak, visibility("hidden")));
extern char start_only_end[] __attribute__((weak, visibility("hidden")));

static uintptr_t page_size(void) { return (uintptr_t)sysconf(_SC_PAGESIZE); }

/* Unmapped, not emptied: whatever still used them would crash at once instead of reading unrelocated pointers. */
static void shed_tables(void) {
    static bool done; /* something else may be mapped there since */
    uintptr_t page = page_size(), begin = ((uintptr_t)start_only_begin + page - 1) & -page;
    uintptr_t end = (uintptr_t)start_only_end & -page;
    if (begin && begin < end && !done)
        munmap((void *)begin, end - begin);
    done = true;
}

/* Frames deeper than our caller's are gone; their pages read as zeros when the stack grows into them again. */
static void __attribute__((noinline)) shed_stack(void) {
    uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - OWN_FRAME) & -page_size();
    madvise((void *)(end - STACK_USED), STACK_USED, MADV_DONTNEED);
}

/* The config is the largest thing in the heap, and from here on only its poststop hooks and the stop signal matter. */
static void shed_config(struct monitor *m) {
    static const char *const wanted[] = {"ociVersion", "annotations", "hooks"};
    struct json *kept = json_object();
    bool hooks = json_count(json_path(m->config, "hooks.poststop")) > 0;
    for (size_t i = 0; hooks && i < ARRAY_LEN(wanted); i++)
        if (json_get(m->config, wanted[i]))
            json_set(kept, wanted[i], json_copy(json_get(m->config, wanted[i])));
    const char *signal_name = json_str_value(json_get(json_get(m->config, "annotations"), SPEC_ANN_STOP_SIGNAL));
    if (!hooks && signal_name) {
        struct json *notes = json_object();
        json_set_str(notes, SPEC_ANN_STOP_SIGNAL, signal_name);
        json_set(kept, "annotations", notes);
    }
    json_free(m->config);
    m->config = kept;
}

void mon_shed(struct mon *o) {
    shed_config(o->m);
    if (o->m->started)
        o->m->started(o->m->ctx);
    malloc_trim(0);
    shed_tables();
    shed_stack();
}
