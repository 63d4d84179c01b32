/*
 * fuzz_bundle: the input is the config.json of a bundle that anybody may have written; the first two bytes say what the
 * cgroup takes. No limit is dropped in silence, none is emulated that was not asked for, and the options of a mount
 * come out as attributes that the kernel takes.
 */
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "require_fixture.h"
#include "runtime/runtime.h"
#include "runtime/runtime_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const struct json *config, unsigned takes) {
    const struct json *memory = json_path(config, "linux.resources.memory.limit");
    const char *cpus = json_str_value(json_path(config, "linux.resources.cpu.cpus"));
    autostrv struct strv warnings = {0};
    struct runtime_emulation e = {.memory = 0};
    autoerr refused = limits_plan(config, takes, &e, &warnings);
    if (refused)
        return;
    int64_t limit = json_type(memory) == JSON_NUMBER ? json_int_value(memory, 0) : 0;
    require(e.memory == (limit > 0 && !(takes & TAKES_MEMORY) ? limit : 0));
    require(takes & TAKES_CPUSET ? !e.cpus : str_eq(e.cpus, cpus) || (!e.cpus && !cpus));
    require(warnings.n > 0 || (!e.memory && (!e.cpus || !*e.cpus)));
    require(takes & TAKES_PIDS || json_int_value(json_path(config, "linux.resources.pids.limit"), 0) <= 0);
    require(takes & TAKES_QUOTA || json_int_value(json_path(config, "linux.resources.cpu.quota"), 0) <= 0);
}

static void check_mount(const struct json *mount) {
    struct mount_opts o;
    mount_opts_parse(json_get(mount, "options"), &o);
    uint64_t atime = o.attrs & MOUNT_ATTR__ATIME;
    require(atime == MOUNT_ATTR_RELATIME || atime == MOUNT_ATTR_NOATIME || atime == MOUNT_ATTR_STRICTATIME);
    require(!(o.propagation & (o.propagation - 1)) && (o.bind || !o.recursive));
    for (size_t i = 0; i < o.data.n; i++)
        require(*o.data.v[i] && !str_eq(o.data.v[i], "ro") && !str_eq(o.data.v[i], "bind"));
    mount_opts_done(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    unsigned takes = (unsigned)(data[0] << 8 | data[1]);
    autojson config = NULL;
    autoerr bad = json_parse((const char *)data + 2, size - 2, "config.json", JSON_REFUSE_DUPLICATES, &config);
    if (bad)
        return 0;
    check_limits(config, takes);
    JSON_EACH(mount, json_get(config, "mounts"))
    check_mount(mount);
    struct caps caps;
    autoerr none = caps_load(json_path(config, "process.capabilities"), false, &caps);
    require(!none && !(caps.effective & ~caps.permitted) && !(caps.ambient & ~(caps.permitted & caps.inheritable)));
    autoerr clocks = timens_check(json_get(config, "linux"), takes & 1 ? CLONE_NEWTIME | CLONE_NEWPID : 0);
    require(clocks || takes & 1 || !json_count(json_path(config, "linux.timeOffsets")));
    return 0;
}
