/*
 * timens: a time namespace of the container's own (time_namespaces(7)), in which the clocks that do not follow the
 * calendar are set forward or back, as after a checkpoint.
 *
 * Its offsets may be changed until the first process is in it, and a process that is cloned into a new one is in it at
 * once. So the container's first process makes the one that children of its would be in, writes what it is to be, and
 * then enters it itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

static const char file[] = "/proc/self/timens_offsets";

struct err *timens_check(const struct json *linux_, uint64_t made) {
    if (!json_count(json_get(linux_, "timeOffsets")))
        return NULL;
    if (!(made & CLONE_NEWTIME))
        return err_new(ERR_USAGE, "linux.timeOffsets without a new namespace of type time");
    if (!(made & CLONE_NEWPID))
        return err_hint(err_new(ERR_UNSUPPORTED, "linux.timeOffsets in a pid namespace that others are in: they could "
                                                 "look into the process that sets them"),
                        "give the container a new namespace of type pid");
    return NULL;
}

/* A line for each clock. The kernel judges the numbers. */
static struct err *offsets_text(const struct json *offsets, struct str *out) {
    JSON_EACH(it, offsets) {
        const char *clock = json_key(it);
        int64_t secs, nanosecs;
        if (!str_eq(clock, "monotonic") && !str_eq(clock, "boottime"))
            return err_new(ERR_USAGE, "linux.timeOffsets: there is no clock \"%s\" that could be set", clock);
        TRY_CTX(json_get_i64_opt(it, "secs", 0, &secs), "linux.timeOffsets");
        TRY_CTX(json_get_i64_opt(it, "nanosecs", 0, &nanosecs), "linux.timeOffsets");
        str_appendf(out, "%s %lld %lld\n", clock, (long long)secs, (long long)nanosecs);
    }
    return NULL;
}

/* The file belongs to the real root while the process is not dumpable, so it is that for the moment. Nobody is in its
 * pid namespace yet, but a privileged container with the host's could look, and no other way to the file is known. */
static struct err *write_offsets(const struct str *text) {
    autofd int fd = -1;
    (void)prctl(PR_SET_DUMPABLE, 1);
    struct err *e = fd_open_at(AT_FDCWD, file, O_WRONLY, 0, &fd);
    (void)prctl(PR_SET_DUMPABLE, 0);
    TRY(e);
    TRY_CTX(io_write_all(fd, text->ptr, text->len), "linux.timeOffsets");
    return NULL;
}

struct err *timens_enter(struct init *in) {
    autostr struct str text = STR_INIT;
    autofd int ns = -1;
    if (!(in->made & CLONE_NEWTIME))
        return NULL;
    TRY(offsets_text(json_get(in->linux_, "timeOffsets"), &text));
    if (unshare(CLONE_NEWTIME) < 0)
        return err_sys(errno, "make it");
    if (text.len)
        TRY(write_offsets(&text));
    TRY(fd_open_at(AT_FDCWD, "/proc/self/ns/time_for_children", O_RDONLY, 0, &ns));
    return setns(ns, CLONE_NEWTIME) < 0 ? err_sys(errno, "enter it") : NULL;
}
