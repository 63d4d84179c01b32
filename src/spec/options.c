/* container_options: one table of its members serves freeing and checking. */
#include "spec/spec_int.h"

enum { MEMBER_STR, MEMBER_STRV, MEMBER_TEXTS };

#define STR(flag, member)                                                                                              \
    { flag, offsetof(struct container_options, member), MEMBER_STR }
#define STRV(flag, member)                                                                                             \
    { flag, offsetof(struct container_options, member), MEMBER_STRV }
/* Text of a file: its own parser names the line with the broken bytes. */
#define TEXT(flag, member)                                                                                             \
    { flag, offsetof(struct container_options, member), MEMBER_TEXTS }

static const struct member {
    const char *flag;
    size_t offset;
    int kind;
} members[] = {
    STR("the image", image),
    STRV("the command", command),
    STR("--entrypoint", entrypoint),
    STR("--name", name),
    STR("--hostname", hostname),
    STR("--domainname", domainname),
    STR("--user", user),
    STR("--workdir", workdir),
    STR("the working directory", cwd),
    STR("--platform", platform),
    STR("--pull", pull),
    STRV("--env", env),
    STRV("--unsetenv", unset_env),
    TEXT("--env-file", env_files),
    STRV("--label", labels),
    TEXT("--label-file", label_files),
    STRV("--annotation", annotations),
    STRV("--volume", volumes),
    STRV("--mount", mounts),
    STRV("--tmpfs", tmpfs),
    STRV("--volumes-from", volumes_from),
    STRV("--secret", secrets),
    STR("--volume-driver", volume_driver),
    STRV("--group-add", group_add),
    STRV("--cap-add", cap_add),
    STRV("--cap-drop", cap_drop),
    STRV("--security-opt", security_opt),
    STRV("--ulimit", ulimit),
    STR("--cpuset-cpus", resources.cpuset_cpus),
    STR("--cpuset-mems", resources.cpuset_mems),
    STR("--cgroup-parent", resources.cgroup_parent),
    STRV("--blkio-weight-device", resources.weight_device),
    STRV("--device-read-bps", resources.read_bps),
    STRV("--device-write-bps", resources.write_bps),
    STRV("--device-read-iops", resources.read_iops),
    STRV("--device-write-iops", resources.write_iops),
    STRV("--sysctl", sysctl),
    STRV("--device", device),
    STRV("--gpus", gpus),
    STRV("--add-host", add_host),
    STRV("--dns", dns),
    STRV("--dns-search", dns_search),
    STRV("--dns-option", dns_option),
    STRV("--expose", expose),
    STRV("--publish", publish),
    STRV("--network", networks),
    STRV("--network-alias", network_alias),
    STRV("--link-local-ip", link_local),
    STRV("--link", links),
    STR("--ip", ip),
    STR("--ip6", ip6),
    STR("--mac-address", mac_address),
    STR("--network-fallback", network_fallback),
    STR("--pid", pid),
    STR("--ipc", ipc),
    STR("--uts", uts),
    STR("--userns", userns),
    STRV("--uidmap", uidmap),
    STRV("--gidmap", gidmap),
    STR("--cgroupns", cgroupns),
    STR("--tz", tz),
    STR("--umask", umask),
    STR("--passwd-entry", passwd_entry),
    STR("--group-entry", group_entry),
    STR("--pidfile", pidfile),
    STR("--stop-signal", stop_signal),
    STR("--log-driver", log_driver),
    STRV("--log-opt", log_opt),
    STR("--restart", restart),
    STR("--health-cmd", health_cmd),
    STR("--health-on-failure", health_on_failure),
};

void container_options_done(struct container_options *o) {
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        void *p = (char *)o + members[i].offset;
        if (members[i].kind == MEMBER_STR)
            mem_set(p, NULL);
        else
            strv_done(p);
    }
}

static struct err *check_text(const char *flag, const char *s) {
    if (!s || str_utf8_ok(s, strlen(s)))
        return NULL;
    return err_new(ERR_USAGE, "the value of %s is not valid UTF-8: %s", flag, s);
}

struct err *spec_options_check(const struct container_options *o) {
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const void *p = (const char *)o + members[i].offset;
        if (members[i].kind == MEMBER_STR) {
            TRY(check_text(members[i].flag, *(char *const *)p));
            continue;
        }
        const struct strv *sv = p;
        for (size_t j = 0; members[i].kind == MEMBER_STRV && j < sv->n; j++)
            TRY(check_text(members[i].flag, sv->v[j]));
    }
    return NULL;
}

bool spec_parse_bool(const char *s, bool *ret) {
    static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                        "0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(s, words[i])) {
            *ret = i < ARRAY_LEN(words) / 2;
            return true;
        }
    return false;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct strmap_entry *)a)->key, ((const struct strmap_entry *)b)->key);
}

void spec_sort_map(struct strmap *m) {
    if (m->n > 1)
        qsort(m->e, m->n, sizeof *m->e, by_key);
}

bool spec_has_control(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return true;
    return false;
}

void spec_set_list(struct json *obj, const char *key, const struct strv *sv) {
    if (sv->n)
        json_set_strv(obj, key, sv);
    else
        json_set(obj, key, json_null());
}

struct err *spec_invalid(const char *flags, const char *value, struct err *take_cause) {
    if (!take_cause)
        return NULL;
    autostr struct str why = STR_INIT;
    err_format(take_cause, &why);
    err_free(take_cause);
    return err_new(ERR_USAGE, "invalid argument \"%s\" for \"%s\" flag: %s", value, flags, str_c(&why));
}
