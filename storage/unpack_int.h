/*
 * unpack_int: a running coracle-unpack, as unpack_client.c and archive.c see it: a process, a channel to it, and an
 * explanation for every way in which it may end. What it is told and answers stands in storage/unpack/ops_int.h.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct err;
struct json;
struct msg_chan;
struct store;
struct store_unpack_job;

struct unpack {
    pid_t pid;
    int pidfd;
    struct msg_chan *chan;
};

/* Starts it, in the user namespace `userns_fd` unless that is -1. It dies with us. */
struct err *unpack_start(const struct store *s, int userns_fd, struct unpack *ret) __attribute__((warn_unused_result));
/* The next message; one that carries an error is returned as that error. The end of the channel is an error, too. */
struct err *unpack_recv(struct unpack *u, struct json **ret) __attribute__((warn_unused_result));
/* Ends it (kills it unless it has ended by itself), reaps it, closes what is ours. Safe to call twice. */
void unpack_stop(struct unpack *u);

/* store_unpack_finish() without the last step: the layer stays in tmp/<*ret_tmp>, ours as long as *ret_hold is open. */
struct err *unpack_keep(struct store_unpack_job *take_job, char **ret_tmp, int *ret_hold)
    __attribute__((warn_unused_result));
