/*
 * resources: "linux.resources" of a config, written into a cgroup v2 directory. A limit that cannot be set is an error:
 * a container that quietly runs without it would be worse than one that does not run. Where there is no cgroup at all
 * the caller knows, and says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "runtime/runtime_int.h"

static struct err *set(int cgroup, const char *file, const char *value) {
    autofd int fd = openat(cgroup, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return err_hint(
            err_sys(errno, "set %s to %s", file, value),
            "the controller must be delegated to this user: log in through systemd, or run without the limit");
    return NULL;
}

/* A number; negative means no limit. */
static struct err *set_number(int cgroup, const char *file, int64_t value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return set(cgroup, file, value < 0 ? "max" : text);
}

static struct err *memory(int cgroup, const struct json *j) {
    int64_t limit = json_int_value(json_get(j, "limit"), 0);
    int64_t swap = json_int_value(json_get(j, "swap"), 0);
    int64_t low = json_int_value(json_get(j, "reservation"), 0);
    if (limit)
        TRY(set_number(cgroup, "memory.max", limit));
    if (swap) /* the config counts memory and swap together, v2 swap alone */
        TRY(set_number(cgroup, "memory.swap.max", swap < 0 ? -1 : limit > 0 && swap > limit ? swap - limit : 0));
    return low ? set_number(cgroup, "memory.low", low) : NULL;
}

static struct err *cpu(int cgroup, const struct json *j) {
    const char *cpus = json_str_value(json_get(j, "cpus"));
    const char *mems = json_str_value(json_get(j, "mems"));
    int64_t quota = json_int_value(json_get(j, "quota"), 0);
    int64_t period = json_int_value(json_get(j, "period"), 0);
    int64_t shares = json_int_value(json_get(j, "shares"), 0);
    if (quota || period) {
        char text[64];
        int64_t p = period > 0 ? period : 100000;
        if (quota > 0)
            (void)snprintf(text, sizeof text, "%" PRId64 " %" PRId64, quota, p);
        else
            (void)snprintf(text, sizeof text, "max %" PRId64, p);
        TRY(set(cgroup, "cpu.max", text));
    }
    if (shares > 0) /* 2..262144 to 1..10000, as every runtime converts it */
        TRY(set_number(cgroup, "cpu.weight", 1 + (shares < 2 ? 0 : shares - 2) * 9999 / 262142));
    if (cpus && *cpus)
        TRY(set(cgroup, "cpuset.cpus", cpus));
    return mems && *mems ? set(cgroup, "cpuset.mems", mems) : NULL;
}

/* Device rules need root; in a user namespace nobody can make a node anyway. */
struct err *resources_apply(const struct json *resources, int cgroup) {
    if (cgroup < 0 || !resources)
        return NULL;
    int64_t pids = json_int_value(json_path(resources, "pids.limit"), 0);
    int64_t weight = json_int_value(json_path(resources, "blockIO.weight"), 0);
    TRY(memory(cgroup, json_get(resources, "memory")));
    TRY(cpu(cgroup, json_get(resources, "cpu")));
    if (pids)
        TRY(set_number(cgroup, "pids.max", pids));
    if (weight > 0)
        TRY(set_number(cgroup, "io.weight", weight));
    JSON_EACH(it, json_get(resources, "unified"))
    if (strchr(json_key(it), '/') || !json_str_value(it))
        return err_new(ERR_USAGE, "not a cgroup setting: %s", json_key(it));
    else
        TRY(set(cgroup, json_key(it), json_str_value(it)));
    return NULL;
}
