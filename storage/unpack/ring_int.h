/*
 * ring: a bounded queue of buffers between the thread that reads and inflates and the thread that digests and writes.
 *
 * One producer, one consumer. The producer's outcome (NULL or an error) travels with the end of the stream, so an error
 * is reported after all bytes before it were consumed. A consumer that gives up calls ring_abandon(), after which the
 * producer's next ring_reserve() returns NULL.
 */
#pragma once

#include <stddef.h>

struct err;
struct ring;

/* `slots` buffers of `size` bytes. */
struct ring *ring_new(size_t slots, size_t size) __attribute__((returns_nonnull, warn_unused_result));
/* Both threads must be done with it. An error that nobody took is freed. */
void ring_free(struct ring *r);

/* Producer: waits for an empty buffer; NULL when the consumer has given up. */
void *ring_reserve(struct ring *r);
/* Producer: hands over the reserved buffer with n > 0 bytes in it. */
void ring_commit(struct ring *r, size_t n);
/* Producer: the stream ends here, well (NULL) or badly. */
void ring_end(struct ring *r, struct err *take_outcome);

/* Consumer: gives back the last buffer and waits for the next; *ret_n is 0 at the end. The producer's error is passed
 * on once. */
struct err *ring_next(struct ring *r, const void **ret, size_t *ret_n) __attribute__((warn_unused_result));
/* Consumer: wants no more. */
void ring_abandon(struct ring *r);
