/* resources_v1: the same for the hierarchies of cgroup version 1. */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "runtime/runtime_int.h"

static int64_t number(const struct json *j, const char *key) { return json_int_value(json_get(j, key), 0); }

static struct err *set(int dir, const char *file, int64_t value) {
    return value ? resource_set_number(dir, file, value, "-1") : NULL;
}

static struct err *set_swap(int dir, int64_t swap) {
    return cgroup_has(dir, "memory.memsw.limit_in_bytes") ? set(dir, "memory.memsw.limit_in_bytes", swap) : NULL;
}

/* The limit of both must never be below that of memory: which goes first depends on whether they grow or shrink. */
static struct err *set_limits(int dir, int64_t limit, int64_t swap) {
    struct err *e = set(dir, "memory.limit_in_bytes", limit);
    if (!e)
        return set_swap(dir, swap);
    err_free(e);
    TRY(set_swap(dir, swap));
    return set(dir, "memory.limit_in_bytes", limit);
}

struct err *resources_v1_memory(int dir, const struct json *j) {
    const struct json *swappiness = json_get(j, "swappiness");
    TRY(set_limits(dir, number(j, "limit"), number(j, "swap")));
    TRY(set(dir, "memory.soft_limit_in_bytes", number(j, "reservation")));
    if (json_bool_value(json_get(j, "disableOOMKiller"), false))
        TRY(resource_set(dir, "memory.oom_control", "1"));
    return swappiness ? resource_set_number(dir, "memory.swappiness", json_int_value(swappiness, 0), "60") : NULL;
}

struct err *resources_v1_cpu(int dir, const struct json *j) {
    TRY(set(dir, "cpu.shares", number(j, "shares")));
    TRY(set(dir, "cpu.cfs_period_us", number(j, "period")));
    return set(dir, "cpu.cfs_quota_us", number(j, "quota"));
}

struct err *resources_v1_blkio(int dir, const struct json *j) {
    static const char *const throttles[][2] = {
        {"throttleReadBpsDevice", "blkio.throttle.read_bps_device"},
        {"throttleWriteBpsDevice", "blkio.throttle.write_bps_device"},
        {"throttleReadIOPSDevice", "blkio.throttle.read_iops_device"},
        {"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"},
    };
    bool bfq = cgroup_has(dir, "blkio.bfq.weight");
    const char *weight = bfq ? "blkio.bfq.weight" : "blkio.weight";
    const char *device = bfq ? "blkio.bfq.weight_device" : "blkio.weight_device";
    if (cgroup_has(dir, weight))
        TRY(set(dir, weight, number(j, "weight")));
    if (cgroup_has(dir, device))
        TRY(resource_set_devices(dir, device, json_get(j, "weightDevice"), ""));
    for (size_t i = 0; i < ARRAY_LEN(throttles); i++)
        TRY(resource_set_devices(dir, throttles[i][1], json_get(j, throttles[i][0]), ""));
    return NULL;
}
