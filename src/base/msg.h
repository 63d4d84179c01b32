/*
 * msg: one JSON object a line over a unix stream socket, descriptors passed beside. How coracle talks to its helpers
 * (fetch, unpack), to monitors' control sockets, and how an init reports to its monitor. A message is at most
 * MSG_MAX bytes; a peer that sends more, or what is not JSON, gives an error of kind corrupt. EOF is *ret == NULL.
 * Descriptors (at most MSG_FDS) come with the line whose first byte they were sent with.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;
struct json;
struct str;

#define MSG_MAX ((size_t)1 << 20)
#define MSG_FDS 8
#define MSG_KEEP_MAX (16 * MSG_MAX)

struct msg_chan;

/* Wraps a connected socket; takes the descriptor. */
struct msg_chan *msg_chan_new(int take_fd) __attribute__((returns_nonnull, warn_unused_result));
void msg_chan_free(struct msg_chan *c);
static inline void msg_chan_freep(struct msg_chan **c) { msg_chan_free(*c); }
#define automsg __attribute__((cleanup(msg_chan_freep))) struct msg_chan *
/* The descriptor, for poll; borrowed. */
int msg_chan_fd(const struct msg_chan *c);

/* Sends an object, with n descriptors (duplicated by the kernel, still the caller's). */
struct err *msg_send(struct msg_chan *c, const struct json *j, const int *fds, size_t n)
    __attribute__((warn_unused_result));

/* Sends without waiting: what the socket does not take is kept, in order, for msg_flush(). Not to be mixed with
 * msg_send() while something is kept (*ret_kept). EMSGSIZE where more than MSG_KEEP_MAX bytes would be. */
struct err *msg_post(struct msg_chan *c, const struct json *j, bool *ret_kept) __attribute__((warn_unused_result));
/* Sends what is kept, as far as that goes without waiting. */
struct err *msg_flush(struct msg_chan *c, bool *ret_kept) __attribute__((warn_unused_result));

/* Waits for the next object. fds[0..*n_fds) are the caller's to close; pass NULL to refuse (and close) any. */
struct err *msg_recv(struct msg_chan *c, struct json **ret, int *fds, size_t *n_fds)
    __attribute__((warn_unused_result));

/* Whether an error of sending or receiving says that the other side has gone. */
bool msg_is_gone(const struct err *e);

/* True when a whole line is already buffered, so that msg_recv() will not block. */
int msg_pending(const struct msg_chan *c);

/* Sends {"error": …} made from `e` (borrowed). */
struct err *msg_send_err(struct msg_chan *c, const struct err *e) __attribute__((warn_unused_result));

/* If `j` has an "error" member returns it as an error, else NULL. */
struct err *msg_err_of(const struct json *j) __attribute__((warn_unused_result));
