/*
 * resources: "linux.resources" of a config, written into the files of a cgroup, as runc converts them: those of version
 * 2 here, those of version 1 in resources_v1.c. A limit that cannot be set is an error: a container that quietly runs
 * without it would be worse than one that does not run. What has no cgroup to go to is limits_plan.c's to settle first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

struct err *resource_set(int dir, const char *file, const char *value) {
    struct err *e = cgroup_write(dir, file, value);
    if (!e)
        return NULL;
    if (err_errno(e) == EBUSY && strstr(file, "memory"))
        return err_hint(e, "the container uses more than that now");
    return err_hint(e, "the kernel refuses the value, or the controller is not delegated to this user");
}

struct err *resource_set_number(int dir, const char *file, int64_t value, const char *unlimited) {
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return resource_set(dir, file, value < 0 ? unlimited : text);
}

static int64_t number(const struct json *j, const char *key) { return json_int_value(json_get(j, key), 0); }

static struct err *v2_number(int dir, const char *file, int64_t value) {
    return resource_set_number(dir, file, value, "max");
}

/* ---- memory ---- */

/* The config counts memory and swap together, version 2 swap alone. */
static int64_t v2_swap(int64_t limit, int64_t swap) {
    if (swap < 0 || limit <= 0)
        return -1;
    return swap > limit ? swap - limit : 0;
}

/* A machine without swap accounting (swapaccount=0) has no file for it: limits_plan.c has said so. */
static struct err *v2_memory(int dir, const struct json *j) {
    int64_t limit = number(j, "limit"), swap = number(j, "swap"), low = number(j, "reservation");
    if (limit)
        TRY(v2_number(dir, "memory.max", limit));
    if (swap && cgroup_has(dir, "memory.swap.max"))
        TRY(v2_number(dir, "memory.swap.max", v2_swap(limit, swap)));
    return low ? v2_number(dir, "memory.low", low) : NULL;
}

/* ---- processors ---- */

/* 2..262144 to 1..10000, as every runtime converts it. */
static int64_t v2_weight(int64_t shares) {
    int64_t s = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
    return 1 + (s - 2) * 9999 / 262142;
}

static struct err *v2_cpu(int dir, const struct json *j) {
    int64_t quota = number(j, "quota"), period = number(j, "period"), shares = number(j, "shares");
    if (shares > 0)
        TRY(v2_number(dir, "cpu.weight", v2_weight(shares)));
    if (!quota && !period)
        return NULL;
    autofree char *whole = quota > 0 ? mem_printf("%" PRId64 " %" PRId64, quota, period > 0 ? period : 100000)
                                     : mem_printf("max %" PRId64, period > 0 ? period : 100000);
    return resource_set(dir, "cpu.max", whole);
}

static struct err *cpuset(int dir, const struct json *j) {
    static const char *const files[][2] = {{"cpus", "cpuset.cpus"}, {"mems", "cpuset.mems"}};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        const char *value = json_str_value(json_get(j, files[i][0]));
        if (value && *value)
            TRY(resource_set(dir, files[i][1], value));
    }
    return NULL;
}

/* ---- devices ---- */

struct err *resource_set_devices(int dir, const char *file, const struct json *list, const char *prefix) {
    JSON_EACH(it, list) {
        const struct json *value = json_get(it, "rate") ? json_get(it, "rate") : json_get(it, "weight");
        autofree char *line = mem_printf("%" PRId64 ":%" PRId64 " %s%" PRId64, number(it, "major"), number(it, "minor"),
                                         prefix, json_int_value(value, 0));
        TRY(resource_set(dir, file, line));
    }
    return NULL;
}

/* BFQ's file takes the config's 10..1000 as it is; the other one 1..10000. */
static struct err *v2_io_weight(int dir, const struct json *j) {
    bool bfq = cgroup_has(dir, "io.bfq.weight");
    int64_t weight = number(j, "weight");
    const struct json *devices = json_get(j, "weightDevice");
    if (!bfq && !cgroup_has(dir, "io.weight"))
        return NULL;
    if (weight > 0)
        TRY(v2_number(dir, bfq ? "io.bfq.weight" : "io.weight", bfq ? weight : 1 + (weight - 10) * 9999 / 990));
    return bfq ? resource_set_devices(dir, "io.bfq.weight", devices, "") : NULL;
}

static struct err *v2_io(int dir, const struct json *j) {
    static const char *const throttles[][2] = {{"throttleReadBpsDevice", "rbps="},
                                               {"throttleWriteBpsDevice", "wbps="},
                                               {"throttleReadIOPSDevice", "riops="},
                                               {"throttleWriteIOPSDevice", "wiops="}};
    for (size_t i = 0; i < ARRAY_LEN(throttles); i++)
        TRY(resource_set_devices(dir, "io.max", json_get(j, throttles[i][0]), throttles[i][1]));
    return v2_io_weight(dir, j);
}

static struct err *pids(int dir, const struct json *j) {
    int64_t limit = number(j, "limit");
    return limit ? v2_number(dir, "pids.max", limit) : NULL;
}

/* Any file of version 2, by its name. */
static struct err *unified(const struct runtime_cgroup *g, const struct json *j) {
    JSON_EACH(it, j)
    if (strchr(json_key(it), '/') || !json_str_value(it))
        return err_new(ERR_USAGE, "not a cgroup setting: %s", json_key(it));
    else if (g->v2 >= 0)
        TRY(resource_set(g->v2, json_key(it), json_str_value(it)));
    return NULL;
}

/* ---- all ---- */

/* Device rules need root; in a user namespace nobody can make a node anyway. */
struct err *runtime_resources_apply(const struct json *resources, const struct runtime_cgroup *g) {
    static const struct {
        const char *section;
        enum runtime_controller controller;
        struct err *(*v2)(int dir, const struct json *j), *(*v1)(int dir, const struct json *j);
    } parts[] = {
        {"memory", RUNTIME_MEMORY, v2_memory, resources_v1_memory},
        {"cpu", RUNTIME_CPU, v2_cpu, resources_v1_cpu},
        {"cpu", RUNTIME_CPUSET, cpuset, cpuset},
        {"pids", RUNTIME_PIDS, pids, pids},
        {"blockIO", RUNTIME_IO, v2_io, resources_v1_blkio},
    };
    if (!g || !resources)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        bool v1;
        const struct json *section = json_get(resources, parts[i].section);
        int dir = section ? runtime_cgroup_dir(g, parts[i].controller, &v1) : -1;
        if (dir >= 0)
            TRY(v1 ? parts[i].v1(dir, section) : parts[i].v2(dir, section));
    }
    return unified(g, json_get(resources, "unified"));
}
