/*
 * pages_int: buffers that cost nothing while idle. A monitor lives as long as its container and is nearly always idle,
 * so its buffers are mappings of their own whose pages go back to the system when nothing has happened for a moment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct pages {
    char *p; /* NULL until first used */
    size_t cap;
};

/* The buffer, mapped with `cap` bytes when first asked for; aborts when there is no memory. */
char *pages_get(struct pages *b, size_t cap) __attribute__((returns_nonnull));
/* Gives the pages back; the content is lost, the mapping stays. */
void pages_release(struct pages *b);
/* Unmaps. */
void pages_done(struct pages *b);

/* Bytes waiting for a descriptor that would block. */
struct queue {
    struct pages mem;
    size_t head, len;
};

/* Appends; false (and nothing appended) when that would be more than `max` bytes. */
bool queue_put(struct queue *q, const void *data, size_t n, size_t max) __attribute__((warn_unused_result));
/* Drops `n` bytes from the front. */
void queue_drop(struct queue *q, size_t n);
/* The bytes. */
static inline const char *queue_at(const struct queue *q) { return q->mem.p + q->head; }
