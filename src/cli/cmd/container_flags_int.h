/*
 * container_flags_int: what run and create share: the 104 flags of docker's, their targets, and the steps from typed
 * options to a new container.
 */
#pragma once

#include "cli/cli_int.h"

struct container_flags {
    struct container_options o;
    struct strv attach, env_file, label_file;
    char *cidfile, *detach_keys;
    int64_t preserve_fds;
    bool quiet, sig_proxy, print_spec, passwd, rmi;
};

/* The table of both; detach, detach-keys and sig-proxy are run's only, preserve-fds too, print-spec is create's. */
extern const struct cli_flag cli_container_flags[];

/* Reads the files that options name and completes the options from the positionals. */
struct err *container_flags_finish(struct cli_ctx *c, struct container_flags *f) __attribute__((warn_unused_result));
/* Creates the container, pulling with progress on stderr when needed; prints warnings and writes the cidfile. */
struct err *container_flags_create(struct cli_ctx *c, struct container_flags *f, bool to_start,
                                   struct engine_created *ret) __attribute__((warn_unused_result));
/* Frees what is not in the table. */
void container_flags_done(void *opts);
