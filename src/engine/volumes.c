/* volumes: the use cases of `coracle volume`. See volumes.h. */
#include "engine/volumes.h"

#include <string.h>
#include <unistd.h>

#include "engine/engine_int.h"
#include "engine/volumes_int.h"
#include "storage/files.h"
#include "storage/volumes.h"

/* ---- options ---- */

static void split_pairs(const struct strv *typed, struct strmap *out) {
    for (size_t i = 0; i < typed->n; i++)
        strmap_set_pair(out, typed->v[i]);
}

static struct err *known_options(const struct strmap *options) {
    static const char *const known[] = {"type", "o", "device", "size"};
    for (size_t i = 0; i < options->n; i++) {
        bool ok = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            ok |= !strcmp(options->e[i].key, known[k]);
        if (!ok)
            return err_new(ERR_USAGE, "invalid option: \"%s\"", options->e[i].key);
    }
    return NULL;
}

static bool is_bind(const struct strmap *options) {
    const char *type = strmap_get(options, "type"), *o = strmap_get(options, "o");
    bool typed = str_eq(type, "bind"), untyped = !type || !*type || str_eq(type, "none");
    return o ? (typed || untyped) && (str_eq(o, "bind") || str_eq(o, "rbind")) : typed;
}

/* The grammar of its words is that of --tmpfs. */
struct err *volumes_tmpfs(const struct strmap *options, struct json **ret) {
    const char *o = strmap_get(options, "o");
    struct spec_mount m = {.source = NULL};
    *ret = NULL;
    if (!str_eq(strmap_get(options, "type"), "tmpfs"))
        return NULL;
    autofree char *text = mem_printf("/volume:%s", o ? o : "");
    TRY(spec_parse_tmpfs(text, &m));
    *ret = json_array();
    for (size_t i = 0; i < m.options.n; i++)
        json_push_str(*ret, m.options.v[i]);
    spec_mount_done(&m);
    return NULL;
}

static struct err *check_size(const struct strmap *options) {
    if (!strmap_get(options, "size"))
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "quota size requested but no quota support"),
                    "a quota for a directory needs root; a volume in memory has a size: type=tmpfs,device=tmpfs,"
                    "o=size=64m, each as an --opt of its own");
}

/*
 * docker's driver "local" mounts what the options say whenever a container starts. Of that a directory of the host and
 * memory are left to a user without root (*ret_device is the directory, borrowed, or NULL).
 */
static struct err *check_options(const struct strmap *options, const char **ret_device) {
    const char *type = strmap_get(options, "type"), *o = strmap_get(options, "o");
    const char *device = strmap_get(options, "device");
    autojson words = NULL;
    *ret_device = NULL;
    TRY(known_options(options));
    if (!options->n)
        return NULL;
    TRY(check_size(options));
    if (!device || !*device)
        return err_new(ERR_USAGE, "missing device in volume options");
    TRY(volumes_tmpfs(options, &words));
    if (words)
        return NULL;
    if (!is_bind(options))
        return err_hint(err_new(ERR_UNSUPPORTED,
                                "a volume of type \"%s\" with options \"%s\" cannot be mounted without "
                                "root",
                                type ? type : "", o ? o : ""),
                        "type=none,o=bind,device=/directory and type=tmpfs,device=tmpfs work; what root has mounted "
                        "can be bound");
    if (*device != '/')
        return err_new(ERR_USAGE, "invalid device %s: the path of a bind volume must be absolute", device);
    *ret_device = device;
    return NULL;
}

/* ---- make ---- */

static void tell(const struct engine *e, const char *name, const char *action) {
    const char *const attributes[] = {"driver", "local", NULL};
    const struct event ev = {.type = "volume", .action = action, .id = name, .attributes = attributes};
    events_tell(e->host, &ev);
}

struct err *volumes_make(struct engine *e, const char *name, bool anonymous, const struct strv *labels,
                         const struct strv *options) {
    autovolume v = {.name = mem_dup(name), .created = clock_now(), .anonymous = anonymous};
    const char *device;
    bool made;
    split_pairs(labels, &v.labels);
    split_pairs(options, &v.options);
    TRY_CTX(check_options(&v.options, &device), "create %s", name);
    TRY_CTX(store_volume_create(e->store, &v, device, &made), "create %s", name);
    if (made)
        tell(e, name, "create");
    return NULL;
}

struct err *engine_volume_create(struct engine *e, const struct engine_volume_new *n, char **ret_name) {
    struct store *s;
    autofd int lock = -1;
    char random[ID_LEN + 1];
    const char *name = n->name;
    if (n->driver && *n->driver && strcmp(n->driver, "local") != 0)
        return err_hint(err_new(ERR_UNSUPPORTED,
                                "create %s: error looking up volume plugin %s: plugin \"%s\" not found",
                                name ? name : "volume", n->driver, n->driver),
                        "the one driver of volumes is local");
    if (!name || !*name) {
        id_random(random);
        name = random;
    }
    TRY(engine_store(e, &s));
    TRY(store_volumes_lock(s, false, &lock));
    TRY(volumes_make(e, name, name == random, &n->labels, &n->options));
    *ret_name = mem_dup(name);
    return NULL;
}

/* ---- who uses it ---- */

/* Appends the ids of containers that have the volume, to a JSON array. */
static void users_of(const struct engine_rows *rows, const char *name, struct json *ids) {
    for (size_t i = 0; i < rows->n; i++) {
        autojson mounts = NULL;
        const char *text = rows->v[i]->mounts;
        autoerr damaged = strstr(text, name) ? json_parse(text, strlen(text), "Mounts", 0, &mounts) : NULL;
        bool has = damaged != NULL; /* the benefit of the doubt */
        JSON_EACH(m, mounts)
        has |= str_eq(json_str_value(json_get(m, "Name")), name);
        if (has)
            json_push_str(ids, rows->v[i]->id);
    }
}

static struct err *all_rows(struct engine *e, struct engine_rows *ret) {
    const struct engine_list every = {.all = true, .last = -1};
    return engine_container_list(e, &every, ret);
}

static struct err *check_unused(struct engine *e, const char *name) {
    autorows rows = {.n = 0};
    autojson users = json_array();
    autostrv struct strv ids = {.n = 0};
    TRY(all_rows(e, &rows));
    users_of(&rows, name, users);
    JSON_EACH(id, users)
    strv_push(&ids, json_str_value(id));
    if (!ids.n)
        return NULL;
    autofree char *list = strv_join(&ids, ", ");
    return err_hint(err_new(ERR_IN_USE, "remove %s: volume is in use - [%s]", name, list),
                    "remove the containers that have it, running or not: coracle ps -a --filter volume=%s", name);
}

static struct err *remove_volume(struct engine *e, const char *name) {
    struct store *s;
    autofd int lock = -1;
    autovolume v = {.name = NULL};
    TRY(engine_store(e, &s));
    TRY(store_volumes_lock(s, true, &lock));
    struct err *bad = store_volume_get(s, name, &v);
    if (bad && err_kind(bad) != ERR_CORRUPT) /* one without a readable record can be removed, too */
        return bad;
    err_free(bad);
    TRY(check_unused(e, name));
    TRY(store_volume_remove(s, name));
    tell(e, name, "destroy");
    return NULL;
}

struct err *engine_volume_remove(struct engine *e, const char *name) {
    TRY(remove_volume(e, name));
    engine_collect_later(e, false);
    return NULL;
}

void volumes_drop(struct engine *e, const struct json *summary) {
    JSON_EACH(m, json_get(summary, "Mounts")) {
        if (!json_bool_value(json_get(m, "Anonymous"), false))
            continue;
        autoerr kept = remove_volume(e, json_text(m, "Name"));
        if (kept && err_kind(kept) != ERR_NOT_FOUND && err_kind(kept) != ERR_IN_USE)
            log_warn("an anonymous volume of a container that is gone could not be removed: %s", json_text(m, "Name"));
    }
}

/* ---- views ---- */

static struct json *map_or_null(const struct strmap *m) { return m->n ? json_of_strmap(m) : json_null(); }

/* docker tells whole seconds, and marks what it named itself by a label. */
static struct json *view_of(const struct engine *e, const struct store_volume *v) {
    struct json *j = json_object();
    autostr struct str created = STR_INIT;
    autofree char *path = store_volume_path(store_root(e->store), v->name);
    autostrmap struct strmap labels = {.n = 0};
    for (size_t i = 0; i < v->labels.n; i++)
        strmap_set(&labels, v->labels.e[i].key, v->labels.e[i].value);
    if (v->anonymous)
        strmap_set(&labels, "com.docker.volume.anonymous", "");
    clock_format_rfc3339(v->created / NSEC_PER_SEC * NSEC_PER_SEC, &created);
    json_set_str(j, "CreatedAt", str_c(&created));
    json_set_str(j, "Driver", "local");
    json_set(j, "Labels", map_or_null(&labels));
    json_set_str(j, "Mountpoint", path);
    json_set_str(j, "Name", v->name);
    json_set(j, "Options", map_or_null(&v->options));
    json_set_str(j, "Scope", "local");
    return j;
}

struct err *engine_volume_inspect(struct engine *e, const char *name, struct json **ret) {
    struct store *s;
    autovolume v = {.name = NULL};
    TRY(engine_store(e, &s));
    TRY(store_volume_get(s, name, &v));
    *ret = view_of(e, &v);
    return NULL;
}

static struct err *set_usage(struct engine *e, const char *name, struct json *view) {
    struct engine_size size = {.bytes = 0};
    struct json *usage = json_object();
    struct err *bad = engine_measure(e, engine_measure_volume, name, &size);
    json_set_int(usage, "Size", size.bytes);
    json_set_int(usage, "RefCount", (int64_t)json_count(json_get(view, "Users")));
    json_set(view, "UsageData", usage);
    return bad;
}

/* Appends its view, unless it is removed while we look. */
static struct err *list_one(struct engine *e, const char *name, const struct engine_rows *rows, bool sizes,
                            struct json *list) {
    autovolume v = {.name = NULL};
    autoerr bad = store_volume_get(e->store, name, &v);
    if (bad && err_kind(bad) != ERR_NOT_FOUND)
        log_warn("volume %s is damaged and was skipped", name);
    if (bad)
        return NULL;
    autojson view = view_of(e, &v);
    json_set_int(view, "CreatedNs", v.created);
    json_set_bool(view, "Anonymous", v.anonymous);
    json_set(view, "Users", json_array());
    users_of(rows, v.name, json_get(view, "Users"));
    autoerr gone = sizes ? set_usage(e, v.name, view) : NULL;
    if (gone && err_kind(gone) != ERR_NOT_FOUND)
        return take_ptr(&gone);
    if (!gone)
        json_push(list, take_ptr(&view));
    return NULL;
}

struct err *engine_volume_list(struct engine *e, bool sizes, struct json **ret) {
    struct store *s;
    autostrv struct strv names = {.n = 0};
    autorows rows = {.n = 0};
    autojson list = json_array();
    TRY(engine_store(e, &s));
    TRY(store_volume_names(s, &names));
    if (names.n)
        TRY(all_rows(e, &rows));
    for (size_t i = 0; i < names.n; i++)
        TRY(list_one(e, names.v[i], &rows, sizes, list));
    *ret = take_ptr(&list);
    return NULL;
}

void engine_complete_volumes(struct engine *e, struct strv *out) {
    struct store *s;
    autoerr bad = engine_store(e, &s);
    autoerr unread = bad ? NULL : store_volume_names(s, out);
    if (unread)
        log_debug("the volumes cannot be listed");
}

/* ---- tars ---- */

struct err *engine_volume_export(struct engine *e, const char *name, int fd) {
    struct store *s;
    autofd int data = -1;
    struct store_files_job *job = NULL;
    int userns;
    TRY(engine_store(e, &s));
    TRY(store_volume_open(s, name, &data));
    TRY(engine_userns(e, &userns, NULL));
    const struct store_gather g = {
        .out_fd = fd, .dir_fd = data, .name = ".", .as = "", .changes_fd = -1, .root_fd = data, .userns_fd = userns};
    TRY(store_gather_start(s, &g, &job));
    return store_files_finish(job, NULL);
}

/* What lies in a tmpfs is a container's, and nobody would ever see what was put beside it. */
static struct err *check_lasting(struct engine *e, const char *name) {
    autovolume v = {.name = NULL};
    autojson words = NULL;
    TRY(store_volume_get(e->store, name, &v));
    TRY(volumes_tmpfs(&v.options, &words));
    if (!words)
        return NULL;
    return err_hint(
        err_new(ERR_CONFLICT, "volume %s is a tmpfs: each container that has it begins with an empty one", name),
        "'coracle cp' puts files into a running container's");
}

struct err *engine_volume_import(struct engine *e, const char *name, int fd) {
    struct store *s;
    autofd int data = -1;
    struct store_files_job *job = NULL;
    int userns;
    uint32_t ids;
    TRY(engine_store(e, &s));
    TRY(check_lasting(e, name));
    TRY(store_volume_open(s, name, &data));
    TRY(engine_userns(e, &userns, &ids));
    const struct store_place p = {
        .in_fd = fd, .dir_fd = data, .mounts_fd = -1, .userns_fd = userns, .ids = ids, .own = true};
    TRY(store_place_start(s, &p, &job));
    return store_files_finish(job, NULL);
}
