/* ring: see ring_int.h. */
#include "storage/unpack/ring_int.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

struct ring {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* one waiter at most: only an empty or a full ring makes anybody wait */
    char *space;
    size_t *used; /* bytes in each slot */
    size_t slots, size;
    size_t head, count; /* oldest filled slot, filled slots (the one being consumed included) */
    bool consuming, ended, abandoned;
    struct err *outcome;
};

struct ring *ring_new(size_t slots, size_t size) {
    struct ring *r = mem_alloc(sizeof *r);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->space = mem_resize(NULL, slots, size);
    r->used = mem_array(slots, sizeof *r->used);
    r->slots = slots;
    r->size = size;
    return r;
}

void ring_free(struct ring *r) {
    if (!r)
        return;
    err_free(r->outcome);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    free(r->space);
    free(r->used);
    free(r);
}

void *ring_reserve(struct ring *r) {
    pthread_mutex_lock(&r->mutex);
    while (r->count == r->slots && !r->abandoned)
        pthread_cond_wait(&r->changed, &r->mutex);
    void *slot = r->abandoned ? NULL : r->space + (r->head + r->count) % r->slots * r->size;
    pthread_mutex_unlock(&r->mutex);
    return slot;
}

void ring_commit(struct ring *r, size_t n) {
    pthread_mutex_lock(&r->mutex);
    r->used[(r->head + r->count) % r->slots] = n;
    if (r->count++ == 0)
        pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

void ring_end(struct ring *r, struct err *take_outcome) {
    pthread_mutex_lock(&r->mutex);
    r->ended = true;
    r->outcome = take_outcome;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

struct err *ring_next(struct ring *r, const void **ret, size_t *ret_n) {
    struct err *outcome = NULL;
    pthread_mutex_lock(&r->mutex);
    if (r->consuming) {
        r->consuming = false;
        r->head = (r->head + 1) % r->slots;
        if (r->count-- == r->slots)
            pthread_cond_signal(&r->changed);
    }
    while (r->count == 0 && !r->ended)
        pthread_cond_wait(&r->changed, &r->mutex);
    if (r->count > 0) {
        r->consuming = true;
        *ret = r->space + r->head * r->size;
        *ret_n = r->used[r->head];
    } else {
        outcome = take_ptr(&r->outcome);
        if (!outcome)
            *ret_n = 0;
    }
    pthread_mutex_unlock(&r->mutex);
    return outcome;
}

void ring_abandon(struct ring *r) {
    pthread_mutex_lock(&r->mutex);
    r->abandoned = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}
