/*
 * template_typed: docker executes inspect's templates over its own structs, where a member has a type also when it is
 * empty: a list prints "[]", a map "map[]", a pointer "<nil>", and what the JSON leaves out is still there. The names
 * and their types are here; JSON knows neither.
 */
#include "cli/template_int.h"

#include <string.h>

enum zero { ZERO_LIST, ZERO_MAP, ZERO_POINTER, ZERO_STRING, ZERO_BOOL, ZERO_INT };

static const struct {
    const char *name;
    enum zero zero;
    bool left_out; /* of the JSON, when it is empty */
} members[] = {
    {"Annotations", ZERO_MAP, true},
    {"Args", ZERO_LIST, false},
    {"ArgsEscaped", ZERO_BOOL, true},
    {"Author", ZERO_STRING, true},
    {"Binds", ZERO_LIST, false},
    {"CapAdd", ZERO_LIST, false},
    {"CapDrop", ZERO_LIST, false},
    {"Cmd", ZERO_LIST, false},
    {"Comment", ZERO_STRING, true},
    {"Container", ZERO_STRING, true},
    {"Data", ZERO_MAP, false},
    {"DeviceCgroupRules", ZERO_LIST, false},
    {"DeviceRequests", ZERO_LIST, false},
    {"Devices", ZERO_LIST, false},
    {"Dns", ZERO_LIST, false},
    {"DnsOptions", ZERO_LIST, false},
    {"DnsSearch", ZERO_LIST, false},
    {"DockerVersion", ZERO_STRING, true},
    {"DriverOpts", ZERO_MAP, false},
    {"Entrypoint", ZERO_LIST, false},
    {"Env", ZERO_LIST, false},
    {"ExecIDs", ZERO_LIST, false},
    {"ExposedPorts", ZERO_MAP, true},
    {"ExtraHosts", ZERO_LIST, false},
    {"GroupAdd", ZERO_LIST, false},
    {"Health", ZERO_POINTER, true},
    {"Healthcheck", ZERO_POINTER, true},
    {"Init", ZERO_POINTER, true},
    {"Labels", ZERO_MAP, false},
    {"Links", ZERO_LIST, false},
    {"MacAddress", ZERO_STRING, true},
    {"MaskedPaths", ZERO_LIST, false},
    {"MemorySwappiness", ZERO_POINTER, false},
    {"Mounts", ZERO_LIST, true},
    {"NetworkDisabled", ZERO_BOOL, true},
    {"Networks", ZERO_MAP, false},
    {"OnBuild", ZERO_LIST, false},
    {"OomKillDisable", ZERO_POINTER, false},
    {"Options", ZERO_MAP, false},
    {"OsVersion", ZERO_STRING, true},
    {"PidsLimit", ZERO_POINTER, false},
    {"PortBindings", ZERO_MAP, false},
    {"Ports", ZERO_MAP, false},
    {"ReadonlyPaths", ZERO_LIST, false},
    {"RepoDigests", ZERO_LIST, false},
    {"RepoTags", ZERO_LIST, false},
    {"SecurityOpt", ZERO_LIST, false},
    {"Shell", ZERO_LIST, true},
    {"SizeRootFs", ZERO_POINTER, true},
    {"SizeRw", ZERO_POINTER, true},
    {"StopSignal", ZERO_STRING, true},
    {"StopTimeout", ZERO_POINTER, true},
    {"StorageOpt", ZERO_MAP, true},
    {"Sysctls", ZERO_MAP, true},
    {"Tmpfs", ZERO_MAP, true},
    {"Ulimits", ZERO_LIST, false},
    {"Variant", ZERO_STRING, true},
    {"VirtualSize", ZERO_INT, true},
    {"Volumes", ZERO_MAP, false},
    {"VolumesFrom", ZERO_LIST, false},
};

/* The index of a member; ARRAY_LEN(members): not listed. */
static size_t find(const char *name) {
    size_t i = 0;
    while (i < ARRAY_LEN(members) && (!name || strcmp(members[i].name, name) != 0))
        i++;
    return i;
}

bool template_zero(struct template_pool *pool, const char *name, const struct json **ret) {
    size_t i = find(name);
    if (i == ARRAY_LEN(members) || !members[i].left_out)
        return false;
    struct json *holder = json_object();
    struct json *zero = members[i].zero == ZERO_STRING ? json_string("")
                        : members[i].zero == ZERO_BOOL ? json_bool(false)
                        : members[i].zero == ZERO_INT  ? json_int(0)
                                                       : json_null();
    json_set(holder, name, zero);
    *ret = json_get(template_keep(pool, holder), name);
    return true;
}

const char *template_null_text(const char *name) {
    size_t i = find(name);
    if (i == ARRAY_LEN(members))
        return "<nil>";
    return members[i].zero == ZERO_LIST ? "[]" : members[i].zero == ZERO_MAP ? "map[]" : "<nil>";
}

bool template_is_map(const char *name) {
    size_t i = find(name);
    return i < ARRAY_LEN(members) && members[i].zero == ZERO_MAP;
}
