/*
 * walls: what a program in a container may not do, raised right before it runs. The order matters:
 *
 *   stdio and limits       while everything is still allowed
 *   bounding set, ids      setgroups, setresgid, setresuid, capabilities kept over it
 *   capabilities           the final sets; where the filter needs CAP_SYS_ADMIN that one stays for two more calls
 *   seccomp                as late as can be, so that it never has to allow what only we do
 *
 * Changing ids clears the parent-death signal, so it is set again and the parent checked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"

static struct err *drop_bounding(uint64_t keep) {
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (keep >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL) /* beyond the last one that this kernel has */
                return NULL;
            return err_sys(errno, "drop capability %lu from the bounding set", cap);
        }
    }
    return NULL;
}

/* A user namespace whose one id was mapped without help forbids setgroups to everybody (user_namespaces(7)); of the
 * groups that an image's files give none has a name there but the user's own. */
static struct err *become(const struct runtime_user *u) {
    if (setgroups(u->n_groups, u->groups) < 0 && (u->groups_asked || errno != EPERM))
        return err_hint(err_sys(errno, "set %zu supplementary groups", u->n_groups),
                        "the groups must be within the user's subordinate ids (/etc/subgid)");
    if (setresgid(u->gid, u->gid, u->gid) < 0)
        return err_hint(err_sys(errno, "become group %u", u->gid),
                        "the group must be within the user's subordinate ids (/etc/subgid)");
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return err_sys(errno, "keep capabilities");
    if (setresuid(u->uid, u->uid, u->uid) < 0)
        return err_hint(err_sys(errno, "become user %u", u->uid),
                        "the user must be within the user's subordinate ids (/etc/subuid)");
    return NULL;
}

/* Only root has capabilities; another user gets those that the config makes ambient. */
static void cut_for_user(struct caps *c, uid_t uid) {
    if (uid == 0)
        return;
    c->permitted &= c->ambient;
    c->effective &= c->ambient;
}

static struct err *set_caps(const struct caps *c, uint64_t extra) {
    if (sys_capset(c->effective | extra, c->permitted | extra, c->inheritable) < 0)
        return err_sys(errno, "set capabilities");
    return NULL;
}

static struct err *raise_ambient(uint64_t ambient) {
    for (unsigned long cap = 0; cap < 64; cap++)
        if (ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return err_sys(errno, "raise ambient capability %lu", cap);
    return NULL;
}

/*
 * A program that may make the calls could read the user's session keyring, so it gets one of its own; docker's filter
 * forbids them. Other failures than that of the quota mean that it may not make them either.
 */
static struct err *leave_keyring(const struct launch *l) {
    if (l->filter && str_eq(config_annotation(l->config, SPEC_ANN_SECCOMP), "default"))
        return NULL;
    if (sys_keyctl_join_session(NULL) < 0 && errno == EDQUOT)
        return err_hint(err_sys(errno, "make a session keyring"),
                        "raise kernel.keys.maxkeys, or keep the seccomp filter");
    return NULL;
}

static struct err *tie_to_parent(const struct launch *l) {
    struct pollfd p = {.fd = l->sync};
    if (!l->tied)
        return NULL;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_sys(errno, "set the parent-death signal");
    if (poll(&p, 1, 0) > 0 && p.revents & POLLHUP)
        _exit(1);
    return NULL;
}

/* A listener goes to our parent, who knows where it belongs and what number we have there. */
static struct err *filter_install(struct launch *l) {
    const struct sock_fprog prog = {.len = (unsigned short)l->n_filter, .filter = l->filter};
    if (!l->filter)
        return NULL;
    int listener = sys_seccomp_filter(&prog, l->filter_flags);
    if (listener < 0)
        return err_sys(errno, "install the seccomp filter");
    if (!(l->filter_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
        return NULL;
    struct err *e = sync_send(l->sync, SYNC_SECCOMP, 0, listener);
    fd_close(listener); /* that nobody waits for an answer when all others have closed theirs */
    return e;
}

struct err *walls_raise(struct launch *l) {
    const bool early = l->filter && !l->no_new_privs; /* the filter needs a capability that the program may not have */
    const uint64_t admin = UINT64_C(1) << CAP_SYS_ADMIN;
    const struct json *own = json_get(l->process, "rlimits");
    TRY(tty_attach(l));
    sys_signals_reset();
    TRY(limits_apply(own ? l->process : json_get(l->config, "process")));
    TRY(traits_take(l));
    if (l->cpus)
        TRY(members_affinity_own(l->cpus));
    TRY(leave_keyring(l));
    TRY(lsm_apply(json_get(l->config, "process")));
    TRY(drop_bounding(l->caps.bounding));
    TRY(become(&l->user));
    cut_for_user(&l->caps, l->user.uid);
    if (l->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(errno, "set no_new_privs");
    TRY(set_caps(&l->caps, early ? admin : 0));
    TRY(raise_ambient(l->caps.ambient));
    TRY(tie_to_parent(l));
    for (int i = 0; i < l->preserve_fds; i++)
        (void)fcntl(3 + i, F_SETFD, 0); /* one that is not open stays so */
    if (sys_close_range(3 + (unsigned)l->preserve_fds, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
        return err_sys(errno, "close descriptors");
    TRY(filter_install(l));
    return early ? set_caps(&l->caps, 0) : NULL;
}
