/*
 * coracle-unpack: reads what came from a registry or an archive, so that no other process has to. Started by coracle
 * with one end of a socketpair as descriptor 3; see ops_int.h for what is said over it. With a user namespace as
 * descriptor 4 it works inside that. Holds nothing worth stealing, and gives up what it could do before it looks at the
 * first hostile byte (sandbox_int.h).
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "storage/unpack/ops_int.h"

#define CHANNEL_FD 3
#define USERNS_FD 4

struct err *op_send_ok(struct op *op, struct json *take_result) {
    autojson reply = json_object();
    json_set(reply, "ok", take_result);
    return msg_send(op->chan, reply, NULL, 0);
}

static struct err *run(struct op *op) {
    static const struct {
        const char *name;
        size_t fds; /* at least */
        struct err *(*fn)(struct op *op);
    } ops[] = {{"layer", 2, op_layer}, {"archive", 2, op_archive},   {"pack", 1, op_pack},    {"gather", 3, op_gather},
               {"place", 2, op_place}, {"compress", 2, op_compress}, {"verify", 3, op_verify}};
    const char *name;
    TRY(json_get_str(op->msg, "op", &name));
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (str_eq(ops[i].name, name))
            return op->n_fds >= ops[i].fds ? ops[i].fn(op) : err_new(ERR_USAGE, "descriptors are missing");
    return err_new(ERR_UNSUPPORTED, "coracle-unpack does not know how to '%s'", name);
}

static struct err *serve(struct msg_chan *chan) {
    autojson msg = NULL;
    struct op op = {.chan = chan, .n_fds = ARRAY_LEN(op.fds)};
    TRY(msg_recv(chan, &msg, op.fds, &op.n_fds));
    if (!msg)
        return NULL;
    op.msg = msg;
    struct err *e = run(&op);
    for (size_t i = 0; i < op.n_fds; i++)
        fd_close(op.fds[i]);
    return e;
}

/*
 * Done here and not by our maker: a program's memory is out of reach for those who have CAP_SYS_PTRACE in a user
 * namespace (a container with --pid=host) only if it is not dumpable and was executed outside.
 */
static struct err *enter_userns(void) {
    struct stat st;
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_sys(errno, "prctl");
    if (fstat(USERNS_FD, &st) < 0)
        return NULL;
    if (setns(USERNS_FD, CLONE_NEWUSER) < 0 && errno != EINVAL) /* we are in it already */
        return err_sys(errno, "enter the user namespace");
    fd_close(USERNS_FD);
    /* Mostly its root is who we are; in one with other ids it is not, and what we make is to be root's. */
    if (geteuid() != 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0))
        return err_sys(errno, "become root of the user namespace");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* again: more capabilities clear it */
        return err_sys(errno, "prctl");
    return NULL;
}

int main(void) {
    struct stat st;
    fd_guard_stdio();
    if (fstat(CHANNEL_FD, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        fputs("coracle-unpack is a helper of coracle: it is not run by hand\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    umask(0);
    automsg chan = msg_chan_new(CHANNEL_FD);
    autoerr e = enter_userns();
    if (!e)
        e = serve(chan);
    if (!e)
        return 0;
    err_free(msg_send_err(chan, e)); /* nobody may be left to hear it */
    _exit(1);                        /* a thread may still be waiting for input that never comes */
}
