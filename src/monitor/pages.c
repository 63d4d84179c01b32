/* pages: see pages_int.h. */
#include "monitor/pages_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

char *pages_get(struct pages *b, size_t cap) {
    if (!b->p) {
        void *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            abort();
        if (cap >= HUGE_PAGE) /* one small line would cost two megabytes */
            madvise(p, cap, MADV_NOHUGEPAGE);
        b->p = p;
        b->cap = cap;
    }
    return b->p;
}

void pages_release(struct pages *b) {
    if (b->p)
        madvise(b->p, b->cap, MADV_DONTNEED);
}

void pages_done(struct pages *b) {
    if (b->p)
        munmap(b->p, b->cap);
    *b = (struct pages){.p = NULL};
}

bool queue_put(struct queue *q, const void *data, size_t n, size_t max) {
    if (n > max || q->len > max - n)
        return false;
    char *p = pages_get(&q->mem, max);
    if (q->head + q->len + n > q->mem.cap) {
        memmove(p, p + q->head, q->len);
        q->head = 0;
    }
    memcpy(p + q->head + q->len, data, n);
    q->len += n;
    return true;
}

void queue_drop(struct queue *q, size_t n) {
    q->head += n;
    q->len -= n;
    if (!q->len)
        q->head = 0;
}
