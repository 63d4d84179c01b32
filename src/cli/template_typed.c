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
    const char *within; /* the one object that has it; NULL: any */
} members[] = {
    {"Annotations", ZERO_MAP, NULL},
    {"Args", ZERO_LIST, NULL},
    {"ArgsEscaped", ZERO_BOOL, NULL},
    {"AttachStderr", ZERO_BOOL, "Config"},
    {"AttachStdin", ZERO_BOOL, "Config"},
    {"AttachStdout", ZERO_BOOL, "Config"},
    {"Attributes", ZERO_MAP, NULL},
    {"Author", ZERO_STRING, NULL},
    {"Binds", ZERO_LIST, NULL},
    {"CapAdd", ZERO_LIST, NULL},
    {"CapDrop", ZERO_LIST, NULL},
    {"Cmd", ZERO_LIST, NULL},
    {"Comment", ZERO_STRING, NULL},
    {"Container", ZERO_STRING, NULL},
    {"Data", ZERO_MAP, NULL},
    {"DeviceCgroupRules", ZERO_LIST, NULL},
    {"DeviceRequests", ZERO_LIST, NULL},
    {"Devices", ZERO_LIST, NULL},
    {"Dns", ZERO_LIST, NULL},
    {"DnsOptions", ZERO_LIST, NULL},
    {"DnsSearch", ZERO_LIST, NULL},
    {"DockerVersion", ZERO_STRING, NULL},
    {"Domainname", ZERO_STRING, "Config"},
    {"DriverOpts", ZERO_MAP, NULL},
    {"Entrypoint", ZERO_LIST, NULL},
    {"Env", ZERO_LIST, NULL},
    {"ExecIDs", ZERO_LIST, NULL},
    {"ExposedPorts", ZERO_MAP, NULL},
    {"ExtraHosts", ZERO_LIST, NULL},
    {"GroupAdd", ZERO_LIST, NULL},
    {"Health", ZERO_POINTER, NULL},
    {"Healthcheck", ZERO_POINTER, NULL},
    {"Hostname", ZERO_STRING, "Config"},
    {"Image", ZERO_STRING, "Config"},
    {"Init", ZERO_POINTER, NULL},
    {"Labels", ZERO_MAP, NULL},
    {"Links", ZERO_LIST, NULL},
    {"MacAddress", ZERO_STRING, NULL},
    {"MaskedPaths", ZERO_LIST, NULL},
    {"MemorySwappiness", ZERO_POINTER, NULL},
    {"Mounts", ZERO_LIST, NULL},
    {"NetworkDisabled", ZERO_BOOL, NULL},
    {"Networks", ZERO_MAP, NULL},
    {"OnBuild", ZERO_LIST, NULL},
    {"OomKillDisable", ZERO_POINTER, NULL},
    {"OpenStdin", ZERO_BOOL, "Config"},
    {"Options", ZERO_MAP, NULL},
    {"OsVersion", ZERO_STRING, NULL},
    {"PidsLimit", ZERO_POINTER, NULL},
    {"PortBindings", ZERO_MAP, NULL},
    {"Ports", ZERO_MAP, NULL},
    {"ReadonlyPaths", ZERO_LIST, NULL},
    {"RepoDigests", ZERO_LIST, NULL},
    {"RepoTags", ZERO_LIST, NULL},
    {"SecurityOpt", ZERO_LIST, NULL},
    {"Shell", ZERO_LIST, NULL},
    {"SizeRootFs", ZERO_POINTER, NULL},
    {"SizeRw", ZERO_POINTER, NULL},
    {"StdinOnce", ZERO_BOOL, "Config"},
    {"StopSignal", ZERO_STRING, NULL},
    {"StopTimeout", ZERO_POINTER, NULL},
    {"StorageOpt", ZERO_MAP, NULL},
    {"Sysctls", ZERO_MAP, NULL},
    {"Tmpfs", ZERO_MAP, NULL},
    {"Tty", ZERO_BOOL, "Config"},
    {"Ulimits", ZERO_LIST, NULL},
    {"User", ZERO_STRING, "Config"},
    {"Variant", ZERO_STRING, NULL},
    {"VirtualSize", ZERO_INT, NULL},
    {"Volumes", ZERO_MAP, NULL},
    {"VolumesFrom", ZERO_LIST, NULL},
    {"WorkingDir", ZERO_STRING, "Config"},
};

/* The index of a member; ARRAY_LEN(members): not listed. */
static size_t find(const char *name) {
    size_t i = 0;
    while (i < ARRAY_LEN(members) && (!name || strcmp(members[i].name, name) != 0))
        i++;
    return i;
}

bool template_zero(struct template_pool *pool, const char *within, const char *name, const struct json **ret) {
    size_t i = find(name);
    if (i == ARRAY_LEN(members) || (members[i].within && (!within || strcmp(members[i].within, within) != 0)))
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

const char *template_json_name(const char *field) {
    static const char *const names[][2] = {
        {"APIVersion", "ApiVersion"},
        {"DNS", "Dns"},
        {"DNSOptions", "DnsOptions"},
        {"DNSSearch", "DnsSearch"},
        {"HTTPProxy", "HttpProxy"},
        {"HTTPSProxy", "HttpsProxy"},
        {"ID", "Id"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(names[i][0], field))
            return names[i][1];
    return field;
}

bool template_is_map(const char *name) {
    size_t i = find(name);
    return i < ARRAY_LEN(members) && members[i].zero == ZERO_MAP;
}
