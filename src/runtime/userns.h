/*
 * userns: the user namespace that all containers of a user share, found or made, entered, and held on to. Part of
 * runtime.h, whose calling sequence begins here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct host;
struct id_map;

/*
 * A descriptor of a user namespace with the user's default map (host_id_map()): taken from a live container that the
 * run directory names (pid and start time, owner and parent of the namespace checked), else made with newuidmap and
 * newgidmap side by side. `ret_ids` (may be NULL) gets the number of mapped ids. Errors carry the way out (no
 * subordinate ids, no newuidmap, userns switched off …).
 */
struct err *runtime_userns_get(const struct host *h, int *ret_fd, uint32_t *ret_ids)
    __attribute__((warn_unused_result));
/* Whether a namespace that somebody offers is one that runtime_userns_get() might have given; `inside`: a process in
 * it, of which the number of ids is read. */
bool runtime_userns_is_ours(const struct host *h, int ns, pid_t inside, uint32_t *ret_ids);
/* Whether the caller is root of a user namespace already: that is then what runtime_userns_get() gives. */
bool runtime_userns_inside(void);
/*
 * Enters it and becomes root there (uid, gid 0, no supplementary groups), not dumpable: so no container reaches the
 * caller's memory or descriptors, not even with --pid=host and CAP_SYS_PTRACE. The user's own commands do not either.
 */
struct err *runtime_userns_enter(int userns_fd) __attribute__((warn_unused_result));
/* Records a started container as a holder for later commands: in run_root/userns, and as "init" in its own directory
 * `run_fd` there. `nested`: its namespace is one below. */
struct err *runtime_userns_publish(const struct host *h, int run_fd, pid_t init, bool nested)
    __attribute__((warn_unused_result));
/* Makes a namespace below `userns_fd` with a map of that one's ids. It is there as long as the descriptor is open or a
 * process is in it. */
struct err *runtime_userns_nest(int userns_fd, const struct id_map *map, int *ret_fd)
    __attribute__((warn_unused_result));
/* The namespace that all containers are in, by a process of one of them, whose own may be one below. */
struct err *runtime_userns_shared_by(pid_t pid, int *ret_fd) __attribute__((warn_unused_result));
/*
 * For a process inside that has no container to be found by: a listening socket in its own run directory. When it is
 * readable runtime_userns_hand_over() gives the namespace to the user's command that asks, which
 * runtime_userns_get() does.
 */
struct err *runtime_userns_offer(int run_fd, int *ret_listen) __attribute__((warn_unused_result));
void runtime_userns_hand_over(int listen_fd);
void runtime_userns_withdraw(int run_fd, int take_listen);
/* Forks a child inside the namespace (-1: where the caller is), runs fn there and returns its error here (encoded over
 * a pipe). For unpacking, removing, sizing. */
struct err *runtime_userns_call(int userns_fd, struct err *(*fn)(void *ctx), void *ctx)
    __attribute__((warn_unused_result));
/*
 * Where the program's own binary belongs to the user (a build in a home directory), container root could overwrite it
 * through /proc/PID/exe (CVE-2019-5736): re-executes the command from a sealed memfd. Returns at once where there is
 * nothing to fear. Call first.
 */
struct err *runtime_protect_self(char *const *argv) __attribute__((warn_unused_result));
