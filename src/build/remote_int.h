/*
 * remote_int: sources of ADD that are fetched: files at URLs, by coracle-fetch, and git repositories. What a digest
 * vouches for (--checksum) need not be fetched to know what it is.
 *
 * Only http and https are fetched, and the protocols of git_int.h: a Dockerfile cannot name files of the host. No
 * credential is sent for a URL; git sends to a host what the user has given it for that host.
 */
#pragma once

#include "build/exec_int.h"

struct remote {
    struct exec *x;
    char *url;
    bool git, keep_git_dir, fetched;
    const char *checksum; /* borrowed, or NULL */
    char *name;           /* of the file; NULL: the URL has none */
    struct context files;
};

/* Whether a source of ADD is one. */
bool remote_is(const char *source);
/* Takes a source apart; usage errors for a checksum that is none. Done with remote_done(). */
struct err *remote_new(struct exec *x, const struct df_instruction *in, const char *source, struct remote *ret)
    __attribute__((warn_unused_result));
/* Fetches it, once, into files.dir: a file `name` (with what the URL has no name for: "download"), or a tree. */
struct err *remote_fetch(struct remote *r) __attribute__((warn_unused_result));
/* What is taken of it. The caller frees ret->sources. */
void remote_pack(const struct remote *r, const struct pack *how, struct pack *ret);
void remote_done(struct remote *r);
