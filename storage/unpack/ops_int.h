/*
 * ops: the seven things coracle-unpack does. One process does one of them and ends. The parent sends one message with
 * the descriptors, gets one {"ok": …} or {"error": …} back (members of an archive come as messages before it), and sees
 * EOF when the process is gone.
 *
 *     {"op":"layer","ids":65536,"bell":false,"copy":false,"refer":false,"known":false}
 *         input, directory, [bell], [copy], [shared layer]
 *         → {"ok":{"blob_digest":… (unless it is
 * known),"blob_size":…,"diff_id":…,"diff_size":…,"entries":…,"skipped_devices":…}}
 *     {"op":"archive"}                                     input, directory
 *         → {"member":name,"digest":…,"size":…} or {"member":name,"symlink"|"hardlink":target} …, {"ok":{}}
 *     {"op":"pack"}                                        output
 *       {"file":name,"size":…} with its descriptor …, {"end":true}
 *         → {"ok":{}}
 *     {"op":"gather","changes":false,"as_root":false,"sparse":false,"digest":false,"progress":false,["latest":SECONDS]}
 * output, directory, names, [root] → {"progress":BYTES} …, {"ok":{"bytes":…,["digest":…]}}   a tree as a tar; gather.c
 * says what the names are
 *     {"op":"place","ids":65536,"own":true,"as_root":false,"follow":false}   input, directory, [mounts]
 *         → {"ok":{"entries":…}}                           a tar's entries below a directory, for cp
 *     {"op":"compress","format":"gzip"|"zstd"}             input, output
 *         → {"ok":{"digest":…,"size":…,"diff_id":…}}       a plain layer as a registry likes it
 *     {"op":"verify"}                                      key, payload, signature
 *         → {"ok":true|false}                              whether the key has signed the payload
 *
 * `root` is the container's root directory, `mounts` its mount namespace: what works inside one goes there first.
 */
#pragma once

#include <stddef.h>

struct err;
struct json;
struct msg_chan;

struct op {
    struct msg_chan *chan;
    const struct json *msg; /* the first message */
    int fds[8];             /* its descriptors; an operation sets to -1 what it takes */
    size_t n_fds;
};

/* Each sends its "ok" itself; an error is sent by the caller. */
struct err *op_layer(struct op *op) __attribute__((warn_unused_result));
struct err *op_archive(struct op *op) __attribute__((warn_unused_result));
struct err *op_pack(struct op *op) __attribute__((warn_unused_result));
struct err *op_gather(struct op *op) __attribute__((warn_unused_result));
struct err *op_place(struct op *op) __attribute__((warn_unused_result));
struct err *op_compress(struct op *op) __attribute__((warn_unused_result));
struct err *op_verify(struct op *op) __attribute__((warn_unused_result));

/* Sends {"ok": take_result}. */
struct err *op_send_ok(struct op *op, struct json *take_result) __attribute__((warn_unused_result));
