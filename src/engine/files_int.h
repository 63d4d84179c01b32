/* files_int: what the files*.c share. */
#pragma once

#include "base/msg.h"
#include "engine/engine_int.h"
#include "engine/files.h"
#include "storage/files.h"

/* A container whose files are worked on. */
struct files {
    struct engine *engine;
    struct engine_container c;
    struct json *config; /* config.json */
    struct rootfs_plan plan;
    int lock_fd;   /* of one that does not run, ours; -1 */
    int pidfd;     /* of one that runs; -1 */
    int shared_fd; /* the user namespace that the store's files are seen from */
    int userns_fd; /* its own, by which owners are what they are to it; mostly the same */
    int holder_fd; /* a process that has the files of one that does not run mounted; -1 */
    uint32_t ids;  /* number of ids there */
    struct id_map id_map;
    bool mapped; /* it has ids of its own, these */
};
#define FILES_INIT                                                                                                     \
    { .c = ENGINE_CONTAINER_INIT, .lock_fd = -1, .pidfd = -1, .shared_fd = -1, .userns_fd = -1, .holder_fd = -1 }
void files_done(struct files *f);
#define autofiles __attribute__((cleanup(files_done))) struct files
/* Loads a container and makes its files reachable; waits for a start or end that is going on. Done with files_done().
 */
struct err *files_open(struct engine *e, const char *name, struct files *ret) __attribute__((warn_unused_result));

/* What has been read of a container, or could not be, is worth something only as long as it is there: its files go
 * behind its record. Takes an error, if there is one, and gives it back; in the place of it, or of success, that the
 * container has been removed. The next run takes the working directory from the mount of one that has ended: what is
 * lost there is put down to that. */
struct err *files_still(const struct files *f, struct err *take_e) __attribute__((warn_unused_result));

/* What a call inside gives back: descriptors, and facts as JSON. */
struct files_answer {
    struct json *facts;
    int fds[MSG_FDS];
    size_t n_fds;
};
void files_answer_done(struct files_answer *a);
#define autoanswer __attribute__((cleanup(files_answer_done))) struct files_answer
/* Who is called inside: answers by msg_send() on `chan`. `root` is the container's root directory. */
struct files_call {
    struct err *(*fn)(const struct files_call *call, int root);
    size_t wanted; /* descriptors in its answer */
    int mounts;    /* the mount namespace that `root` is of */
    struct msg_chan *chan;
    const void *ctx;
    bool bare;   /* without mounts: the root file system alone */
    bool strict; /* a mount that fails is an error, and not left out */
};
/* Calls it as runtime_root_call() does and reads its answer. */
struct err *files_inside(struct files *f, struct files_call *call, struct files_answer *ret)
    __attribute__((warn_unused_result));
/* Looks for a process that has the container's files mounted by `coracle mount`, sets holder_fd, and makes the user
 * namespaces those that belong to it. Not_found when there is none. */
struct err *files_find_holder(struct files *f) __attribute__((warn_unused_result));
/* Sends an answer; the last descriptor is that of the mount namespace, which may have been made for the call. */
struct err *files_answer(const struct files_call *call, const struct json *facts, const int *fds, size_t n)
    __attribute__((warn_unused_result));

/* unsupported for one without an image (--rootfs): nothing tells its changes. */
struct err *files_comparable(const struct files *f) __attribute__((warn_unused_result));
/* The list of a container's changes in a memory file at its start, and, unless NULL, the directory that has them. */
struct err *files_changes(struct files *f, int *ret_list, int *ret_dir) __attribute__((warn_unused_result));

/* ---- files_path.c: docker's rules for the two paths of cp ---- */

struct files_path {
    char *clean;     /* absolute, without "." and ".." and a "/" at its end; owned */
    bool dot, slash; /* it ended in "/.", in "/" */
};
/* Splits what a user typed; `cwd` is what a relative path starts from. Pure. */
void files_path_parse(const char *text, const char *cwd, struct files_path *ret);
void files_path_done(struct files_path *p);

struct files_side {
    int root;              /* the container's root directory, or that of the user */
    const char *container; /* for error messages; NULL: the user's own files */
    const char *text;      /* the path as typed */
    struct files_path path;
};
struct files_source {
    int dir;         /* its directory */
    char *name, *as; /* its name there ("." : itself) and in the archive; owned */
    bool is_dir;
};
struct err *files_source_find(const struct files_side *s, bool follow_link, struct files_source *ret)
    __attribute__((warn_unused_result));
struct files_dest {
    int dir;  /* where to extract */
    char *as; /* what the source's name becomes, or NULL: stays; owned */
};
/* `tar`: the source is an archive, which only a directory can take. */
struct err *files_dest_find(const struct files_side *s, bool source_is_dir, bool tar, struct files_dest *ret)
    __attribute__((warn_unused_result));
