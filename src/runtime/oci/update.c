/*
 * update: other limits for a container that runs, from options or a "linux.resources" object. All of them are looked at
 * before the first is set; one that nothing would hold is refused, and then nothing has changed.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime_int.h"

enum { RESOURCES_MAX = 1 << 20 };

/* Options in runc's words, with their places in the object. */
static const struct limit {
    const char *option, *section, *key;
    bool text;
} limits[] = {
    {"memory", "memory", "limit", false},     {"memory-reservation", "memory", "reservation", false},
    {"memory-swap", "memory", "swap", false}, {"cpu-share", "cpu", "shares", false},
    {"cpu-quota", "cpu", "quota", false},     {"cpu-period", "cpu", "period", false},
    {"cpuset-cpus", "cpu", "cpus", true},     {"cpuset-mems", "cpu", "mems", true},
    {"pids-limit", "pids", "limit", false},   {"blkio-weight", "blockIO", "weight", false},
};

static struct json *section_of(struct json *resources, const char *name) {
    struct json *s = json_get(resources, name);
    if (!s) {
        s = json_object();
        json_set(resources, name, s);
    }
    return s;
}

/* Whole numbers; -1 lifts a limit. */
static struct err *set_limit(struct json *resources, const struct limit *l, const char *value) {
    struct json *section = section_of(resources, l->section);
    bool lifted = str_eq(value, "-1");
    int64_t number = -1;
    if (l->text)
        json_set_str(section, l->key, value);
    else if (lifted || str_to_i64(value, 0, INT64_MAX, &number))
        json_set_int(section, l->key, number);
    else
        return err_new(ERR_USAGE, "--%s takes a number, not '%s'", l->option, value);
    return NULL;
}

static struct err *read_resources(const char *path, struct json **ret) {
    autostr struct str text = STR_INIT_MAX(RESOURCES_MAX);
    if (!str_eq(path, "-"))
        return json_read_file(AT_FDCWD, path, ret);
    TRY(io_read_all(STDIN_FILENO, RESOURCES_MAX, "standard input", &text));
    return json_parse(str_c(&text), text.len, "standard input", 0, ret);
}

static struct err *parse(int argc, char **argv, struct json **ret_resources, const char **ret_id) {
    const char *values[ARRAY_LEN(limits)] = {NULL}, *file = NULL;
    struct opt opts[ARRAY_LEN(limits) + 1] = {{"resources", 'r', OPT_STRING, &file}};
    autojson resources = NULL;
    int i = 0;
    for (size_t k = 0; k < ARRAY_LEN(limits); k++)
        opts[k + 1] = (struct opt){limits[k].option, 0, OPT_STRING, &values[k]};
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc - 1)
        return err_new(ERR_USAGE, "update takes one container id");
    if (file)
        TRY_CTX(read_resources(file, &resources), "resources");
    else
        resources = json_object();
    for (size_t k = 0; k < ARRAY_LEN(limits); k++)
        if (values[k])
            TRY(set_limit(resources, &limits[k], values[k]));
    *ret_resources = take_ptr(&resources);
    *ret_id = argv[i];
    return NULL;
}

/* Members of `from` into `to`, one level of sections deep. */
static void merge(struct json *to, const struct json *from) {
    JSON_EACH(section, from) {
        if (json_type(section) != JSON_OBJECT) {
            json_set(to, json_key(section), json_copy(section));
            continue;
        }
        struct json *mine = section_of(to, json_key(section));
        JSON_EACH(it, section)
        json_set(mine, json_key(it), json_copy(it));
    }
}

/* The config as it will be, for which there must be somebody who holds each of its new limits. */
static struct err *check(const struct record *r, const struct json *resources, const struct runtime_cgroup *g) {
    autojson config = json_object();
    autostrv struct strv unheld = {.n = 0};
    struct json *linux_ = json_object();
    json_set(config, "linux", linux_);
    json_set(linux_, "resources", json_copy(resources));
    limits_unheld(config, g, &unheld);
    autofree char *list = strv_join(&unheld, ", ");
    if (!unheld.n)
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "container %s has no cgroup that would hold: %s", r->id, list),
                    "create it where this user may make cgroups (docs/limits.md)");
}

static struct err *update(const struct record *r, const struct json *resources) {
    autojson config = NULL;
    autocgroup g = RUNTIME_CGROUP_NONE;
    runtime_cgroup_open(r->pid, &g);
    TRY(record_config(r, &config));
    TRY(check(r, resources, &g));
    struct json *linux_ = section_of(config, "linux"), *all = section_of(linux_, "resources");
    merge(all, resources);
    TRY(runtime_resources_apply(all, &g));
    const char *cpus = json_str_value(json_path(resources, "cpu.cpus"));
    if (cpus && *cpus && runtime_cgroup_dir(&g, RUNTIME_CPUSET, NULL) < 0)
        TRY(runtime_affinity(r->pid, cpus));
    return json_write_file(r->dir, OCI_CONFIG, config, 0600, 0);
}

struct err *cmd_update(struct oci *o, int argc, char **argv, int *ret_code) {
    autorecord r = RECORD_INIT;
    autojson resources = NULL;
    const char *id = NULL;
    TRY(parse(argc, argv, &resources, &id));
    TRY(record_open(o, id, &r));
    if (r.pidfd < 0)
        return err_new(ERR_CONFLICT, "container not running: %s", r.id);
    *ret_code = 0;
    return update(&r, resources);
}
