/*
 * exec_run_int: RUN, between its command (exec_run.c), what is mounted for it (exec_mount.c, exec_mount_make.c,
 * exec_mount_cache.c) and the agent that it may talk to (exec_agent.c). Mounts are read first, as plain data that
 * counts for the cache; only when the command must really run are they made.
 */
#pragma once

#include "build/exec_int.h"
#include "spec/spec.h"

enum mount_field { M_FROM, M_SOURCE, M_TARGET, M_ID, M_ENV, M_SHARING, M_SIZE, M_MODE, M_UID, M_GID, M_FIELDS };
enum mount_type { M_BIND, M_CACHE, M_TMPFS, M_SECRET, M_SSH };

struct mount {
    enum mount_type type;
    char *field[M_FIELDS]; /* as typed, variables replaced; NULL: not given; M_TARGET is absolute */
    bool read_only, required;
    int64_t uid, gid, mode, size; /* -1: not given */
    char content[DIGEST_LEN + 1]; /* of what a bind, or a cache with a source, begins with */
};

/* A process that answers for an agent of the user's. */
struct agent {
    int pid;
};

struct run {
    struct exec *x;
    const struct df_instruction *in;
    struct strv command;
    struct container_options options;
    struct str recipe; /* what counts for the cache */
    struct mount *mount;
    size_t n_mounts;
    struct strv targets; /* where something is mounted */
    struct json *trees;  /* what image mounts are made of, as engine_base has them */
    char *tmp;           /* files that are mounted: secrets, scripts, sockets */
    int tmp_fd;
    size_t files;
    struct agent *agents;
    size_t n_agents;
    int *locks; /* of cache mounts */
    size_t n_locks;
};

/* Reads the instruction's --mount flags into r->mount, checks them, and adds to the recipe what counts. */
struct err *mounts_read(struct run *r) __attribute__((warn_unused_result));
/* Makes them: sets r->options, r->trees, r->targets. */
struct err *mounts_make(struct run *r) __attribute__((warn_unused_result));
/* Ends agents, gives locks back, removes files. */
void mounts_done(struct run *r);

/* What is bound has the label of the command, where it has one, or that of all commands. */
#define MADE_PRIVATE ",relabel=private"
#define MADE_SHARED ",relabel=shared"
struct made {
    const char *type, *source, *target;
    bool read_only;
    const char *more; /* ",…", or NULL */
};

/* Adds a mount to what the container gets. */
void mounts_add(struct run *r, const struct made *m);

struct mounted_file {
    const char *data;
    size_t len;
    mode_t mode;
    int64_t uid, gid;
};
/* A file of the build's that the command sees at `target`, read-only. */
struct err *mounts_file(struct run *r, const struct mounted_file *f, const char *target)
    __attribute__((warn_unused_result));
/* The directory for files that are mounted. */
struct err *mounts_tmp(struct run *r, int *ret_fd) __attribute__((warn_unused_result));

struct owner {
    int dir;
    const char *name;
    int64_t uid, gid, mode;
};
/* Gives a file its owner and mode, as the container sees them. */
struct err *mounts_own(struct run *r, const struct owner *o) __attribute__((warn_unused_result));

/* Makes a cache mount. */
struct err *mounts_cache(struct run *r, const struct mount *m) __attribute__((warn_unused_result));
/* Notes for --cache-to that the command has it, whether it runs or is in the cache. */
struct err *mount_note(struct run *r, const struct mount *m) __attribute__((warn_unused_result));
/* The directory builds/mounts/<name> as a tar among the blobs, where there is one; owned: image_layer_done(). */
struct err *mount_pack(struct exec *x, const char *name, struct store_layer_ref *ret, bool *ret_there)
    __attribute__((warn_unused_result));

/* Listens at dir/name, and passes what comes there on to the socket `agent`, until agent_stop(). */
struct err *agent_start(int dir, const char *name, const char *agent, struct agent *ret)
    __attribute__((warn_unused_result));
void agent_stop(struct agent *a);
