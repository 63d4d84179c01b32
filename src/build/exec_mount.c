/* exec_mount: the words of RUN --mount, by the reference, and what of them counts for the cache. */
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "build/exec_run_int.h"
#include "build/pack_int.h"

static const char *const type_names[] = {
    [M_BIND] = "bind", [M_CACHE] = "cache", [M_TMPFS] = "tmpfs", [M_SECRET] = "secret", [M_SSH] = "ssh"};

enum { ALL = 1 << M_BIND | 1 << M_CACHE | 1 << M_TMPFS | 1 << M_SECRET | 1 << M_SSH };
enum { OWNED = 1 << M_CACHE | 1 << M_SECRET | 1 << M_SSH };
enum { TREES = 1 << M_BIND | 1 << M_CACHE };

struct reading {
    struct run *r;
    struct mount *m;
    const char *text; /* the key and value as typed */
};

static struct err *wrong(const char *key, const char *value) {
    return err_new(ERR_USAGE, "invalid value for %s: %s", key, value);
}

/* ---- values ---- */

static struct err *set_read_only(struct mount *m, const char *key, const char *value) {
    return spec_parse_bool(value, &m->read_only) ? NULL : wrong(key, value);
}

static struct err *set_writable(struct mount *m, const char *key, const char *value) {
    bool on;
    if (!spec_parse_bool(value, &on))
        return wrong(key, value);
    m->read_only = !on;
    return NULL;
}

static struct err *set_required(struct mount *m, const char *key, const char *value) {
    return spec_parse_bool(value, &m->required) ? NULL : wrong(key, value);
}

static struct err *set_sharing(struct mount *m, const char *key, const char *value) {
    (void)m;
    if (str_eq(value, "shared") || str_eq(value, "private") || str_eq(value, "locked"))
        return NULL;
    return err_hint(wrong(key, value), "it is one of shared, private and locked");
}

static struct err *set_size(struct mount *m, const char *key, const char *value) {
    autoerr e = spec_parse_bytes(value, &m->size);
    return e ? wrong(key, value) : NULL;
}

static struct err *set_mode(struct mount *m, const char *key, const char *value) {
    uint64_t mode;
    if (!str_to_u64(value, 8, 07777, &mode))
        return wrong(key, value);
    m->mode = (int64_t)mode;
    return NULL;
}

static struct err *set_uid(struct mount *m, const char *key, const char *value) {
    return str_to_i64(value, 0, UINT32_MAX - 1, &m->uid) ? NULL : wrong(key, value);
}

static struct err *set_gid(struct mount *m, const char *key, const char *value) {
    return str_to_i64(value, 0, UINT32_MAX - 1, &m->gid) ? NULL : wrong(key, value);
}

static const struct mount_key {
    const char *name;
    int field; /* that keeps it, or -1 */
    unsigned types;
    bool bare; /* may stand alone */
    struct err *(*set)(struct mount *m, const char *key, const char *value);
} keys[] = {
    {"destination", M_TARGET, ALL, false, NULL},
    {"dst", M_TARGET, ALL, false, NULL},
    {"env", M_ENV, 1 << M_SECRET, false, NULL},
    {"from", M_FROM, TREES, false, NULL},
    {"gid", M_GID, OWNED, false, set_gid},
    {"id", M_ID, OWNED, false, NULL},
    {"mode", M_MODE, OWNED, false, set_mode},
    {"readonly", -1, TREES | 1 << M_TMPFS, true, set_read_only},
    {"readwrite", -1, TREES | 1 << M_TMPFS, true, set_writable},
    {"required", -1, 1 << M_SECRET | 1 << M_SSH, true, set_required},
    {"ro", -1, TREES | 1 << M_TMPFS, true, set_read_only},
    {"rw", -1, TREES | 1 << M_TMPFS, true, set_writable},
    {"sharing", M_SHARING, 1 << M_CACHE, false, set_sharing},
    {"size", M_SIZE, 1 << M_TMPFS, false, set_size},
    {"source", M_SOURCE, TREES | 1 << M_SECRET, false, NULL},
    {"src", M_SOURCE, TREES | 1 << M_SECRET, false, NULL},
    {"target", M_TARGET, ALL, false, NULL},
    {"uid", M_UID, OWNED, false, set_uid},
};

static const struct mount_key *find_key(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!strcasecmp(keys[i].name, name))
            return &keys[i];
    return NULL;
}

static struct err *read_field(struct run *r, struct mount *m, const char *part) {
    const char *eq = strchr(part, '=');
    autofree char *name = mem_dupn(part, strcspn(part, "="));
    autofree char *value = NULL;
    const struct mount_key *k = find_key(name);
    if (!strcasecmp(name, "type"))
        return NULL;
    if (!k)
        return err_new(ERR_USAGE, "unexpected key '%s' in '%s'", name, part);
    if (!eq && !k->bare)
        return err_new(ERR_USAGE, "invalid field '%s' must be a key=value pair", part);
    if (!(k->types & 1U << m->type))
        return err_new(ERR_USAGE, "unexpected key '%s' for mount type '%s'", name, type_names[m->type]);
    if (k->field == M_FROM && eq && strchr(eq, '$'))
        return err_hint(
            err_new(ERR_USAGE, "'%s' cannot contain variables: what a stage needs is known before it runs", part),
            "define a new stage with FROM using ARG from global scope, and name that");
    TRY(exec_word(r->x, eq ? eq + 1 : "true", &value));
    if (k->set)
        TRY(k->set(m, name, value));
    if (k->field >= 0) {
        free(m->field[k->field]);
        m->field[k->field] = take_ptr(&value);
    }
    return NULL;
}

static struct err *read_type(const struct strv *parts, struct mount *m) {
    m->type = M_BIND;
    for (size_t i = 0; i < parts->n; i++) {
        if (strncasecmp(parts->v[i], "type=", 5) != 0)
            continue;
        const char *name = parts->v[i] + 5;
        for (size_t t = 0; t < ARRAY_LEN(type_names); t++) {
            if (strcasecmp(type_names[t], name) != 0)
                continue;
            m->type = (enum mount_type)t;
            return NULL;
        }
        return err_new(ERR_USAGE, "unsupported mount type \"%s\"", name);
    }
    return NULL;
}

/* ---- what belongs together ---- */

static struct err *absolute_target(struct run *r, struct mount *m) {
    char **target = &m->field[M_TARGET];
    autofree char *base = path_join("/", json_text(exec_config(r->x), "WorkingDir"));
    autofree char *joined = path_join(base, *target);
    free(*target);
    *target = path_clean(joined);
    return str_eq(*target, "/") ? err_new(ERR_USAGE, "invalid mount target \"/\"") : NULL;
}

static struct err *name_secret(struct mount *m) {
    const char *id = m->field[M_ID], *source = m->field[M_SOURCE];
    if (id && source)
        return err_new(ERR_USAGE, "both source and id can't be set");
    if (!id && !source && !m->field[M_TARGET])
        return err_new(ERR_USAGE, "invalid secret mount. one of source, target required");
    if (!id)
        m->field[M_ID] = mem_dup(source ? source : path_base(m->field[M_TARGET]));
    if (!m->field[M_TARGET] && !m->field[M_ENV])
        m->field[M_TARGET] = mem_printf("/run/secrets/%s", path_base(m->field[M_ID]));
    return NULL;
}

static struct err *name_agent(struct run *r, struct mount *m) {
    size_t before = 0;
    for (size_t i = 0; i < r->n_mounts; i++)
        before += r->mount[i].type == M_SSH;
    if (!m->field[M_ID])
        m->field[M_ID] = mem_dup("default");
    if (!m->field[M_TARGET])
        m->field[M_TARGET] = mem_printf("/run/buildkit/ssh_agent.%zu", before);
    return NULL;
}

static struct err *complete(struct run *r, struct mount *m) {
    if (m->type == M_SECRET)
        TRY(name_secret(m));
    if (m->type == M_SSH)
        TRY(name_agent(r, m));
    if (!m->field[M_TARGET] && m->type != M_SECRET)
        return err_new(ERR_USAGE, "invalid %s mount: target is required", type_names[m->type]);
    if (m->type == M_CACHE && m->field[M_SOURCE] && !m->field[M_FROM])
        return err_hint(err_new(ERR_USAGE, "invalid cache mount: source without from"),
                        "source is a directory of the stage or image that from names");
    if (m->field[M_TARGET])
        TRY(absolute_target(r, m));
    if (m->type == M_CACHE && !m->field[M_ID])
        m->field[M_ID] = mem_dup(m->field[M_TARGET]);
    return NULL;
}

/* ---- the cache ---- */

static struct err *content(struct run *r, struct mount *m) {
    autosource s = SOURCE_INIT;
    struct pack p;
    TRY(source_find(r->x, m->field[M_FROM], &s));
    source_pack(&s, m->field[M_SOURCE], &p);
    autofree char *recipe = mem_printf("mount %s\n", p.sources.v[0]);
    struct err *e = source_digest(&s, &p, recipe, m->content);
    strv_done(&p.sources);
    return e;
}

/* What a secret or an agent holds does not count, nor what a cache has in it. */
static void count(struct run *r, const struct mount *m) {
    str_appendf(&r->recipe, "mount %s%s\n", type_names[m->type], m->read_only ? " ro" : "");
    for (int i = 0; i < M_FIELDS; i++)
        if (m->field[i])
            str_appendf(&r->recipe, "%d %zu %s\n", i, strlen(m->field[i]), m->field[i]);
    if (*m->content)
        str_appendf(&r->recipe, "content %s\n", m->content);
}

static struct err *read_mount(struct run *r, const char *text, struct mount *m) {
    autostrv struct strv parts = {.n = 0};
    strv_split(&parts, text, ',');
    TRY(read_type(&parts, m));
    m->read_only = m->type == M_BIND;
    for (size_t i = 0; i < parts.n; i++)
        TRY(read_field(r, m, parts.v[i]));
    TRY(complete(r, m));
    if (m->type == M_BIND || (m->type == M_CACHE && m->field[M_FROM]))
        TRY(content(r, m));
    return NULL;
}

struct err *mounts_read(struct run *r) {
    autostrv struct strv texts = {.n = 0};
    df_flag_all(r->in, "mount", &texts);
    r->mount = mem_array(texts.n + 1, sizeof *r->mount);
    for (size_t i = 0; i < texts.n; i++) {
        struct mount *m = &r->mount[r->n_mounts];
        *m = (struct mount){.uid = -1, .gid = -1, .mode = -1, .size = -1};
        struct err *e = read_mount(r, texts.v[i], m);
        r->n_mounts++;
        TRY_CTX(e, "RUN --mount=%s", texts.v[i]);
        if (m->type == M_CACHE)
            TRY(mount_note(r, m));
        count(r, m);
    }
    return NULL;
}
