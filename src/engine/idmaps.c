/* idmaps: see idmaps.h. */
#include "engine/idmaps.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"

enum { IDS_FILE_MAX = 1 << 20, IDS_MIN = 1024, IDS_NOBODY = 65534 };

void idmaps_done(struct idmaps *m) {
    fd_replace(&m->lock_fd, -1);
    host_account_done(&m->account);
}

/* ---- how many ids an image needs ---- */

static void count_id(const char *text, uint32_t *end) {
    uint64_t id;
    if (str_to_u64(text, 10, INT32_MAX, &id) && id != IDS_NOBODY && id >= *end)
        *end = (uint32_t)id + 1;
}

/* passwd's or group's: each line has ids in its third field, and passwd's in its fourth. */
static void count_ids(const char *text, uint32_t *end) {
    autostrv struct strv lines = {.n = 0};
    strv_split(&lines, text, '\n');
    for (size_t i = 0; i < lines.n; i++) {
        autostrv struct strv f = {.n = 0};
        strv_split(&f, lines.v[i], ':');
        for (size_t k = 2; k < 4 && k < f.n; k++)
            count_id(f.v[k], end);
    }
}

/* The topmost layer that has the file. It belongs to the image: looked up below the layer, with a bound. */
static void count_file(const struct store *s, const struct strv *layers, const char *path, uint32_t *end) {
    for (size_t i = layers->n; i-- > 0;) {
        autofd int dir = -1;
        autofd int fd = -1;
        autostr struct str text = STR_INIT_MAX(IDS_FILE_MAX);
        autofree char *diff = mem_printf("%s/diff", digest_hex(layers->v[i]));
        autoerr gone = fd_open_dir(store_dirfd(s, "layers"), diff, &dir);
        if (gone)
            return;
        autoerr none = path_open_in_root(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd);
        if (none)
            continue;
        autoerr unread = io_read_all(fd, IDS_FILE_MAX, path, &text);
        if (!unread)
            count_ids(str_c(&text), end);
        return;
    }
}

static uint32_t ids_needed(const struct engine *e, const struct strv *layers, const char *user) {
    uint32_t end = IDS_MIN;
    count_file(e->store, layers, "/etc/passwd", &end);
    count_file(e->store, layers, "/etc/group", &end);
    autostrv struct strv parts = {.n = 0};
    strv_split(&parts, user, ':');
    for (size_t i = 0; i < parts.n; i++)
        count_id(parts.v[i], &end);
    return end;
}

/* ---- auto ---- */

struct taken {
    struct id_range *uid, *gid;
    size_t n_uid, n_gid;
};

static void take(struct id_range **to, size_t *n, const struct id_range *r, size_t n_r) {
    *to = mem_resize(*to, *n + n_r + 1, sizeof **to);
    memcpy(*to + *n, r, n_r * sizeof *r);
    *n += n_r;
}

static struct err *find_taken(const struct engine *e, struct taken *ret) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(e->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autojson summary = NULL;
        struct id_map m;
        bool mapped = false;
        autoerr removed = store_container_read(e->store, ids.v[i], "container.json", &summary);
        const struct json *own = json_get(summary, "IdMap");
        if (removed || !json_bool_value(json_get(own, "Auto"), false))
            continue;
        TRY_CTX(idmap_from_json(own, &m, &mapped), "container %.12s", ids.v[i]);
        take(&ret->uid, &ret->n_uid, m.uid, m.n_uid);
        take(&ret->gid, &ret->n_gid, m.gid, m.n_gid);
    }
    return NULL;
}

/* The user's own id, 0, is never among them. */
static struct err *allocate(const struct taken *t, const struct id_map *own, uint32_t size, struct id_map *ret) {
    uint32_t uids = idmap_total(own->uid, own->n_uid), gids = idmap_total(own->gid, own->n_gid);
    uint32_t uid, gid;
    if (!idmap_find_free(t->uid, t->n_uid, 1, uids, size, &uid) ||
        !idmap_find_free(t->gid, t->n_gid, 1, gids, size, &gid))
        return err_hint(err_new(ERR_CONFLICT, "--userns auto: there are no %u ids that no other container has", size),
                        "--userns auto:size=N takes fewer; containers that are removed give theirs back; more "
                        "subordinate ids: usermod --add-subuids, --add-subgids");
    *ret = (struct id_map){.uid = {{0, uid, size}}, .gid = {{0, gid, size}}, .n_uid = 1, .n_gid = 1};
    return NULL;
}

static struct err *resolve_auto(struct engine *e, const struct id_map *own, uint32_t size, struct idmaps *m) {
    struct taken t = {.n_uid = 0};
    TRY(fd_open_at(store_dirfd(e->store, "idmaps"), "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &m->lock_fd));
    TRY(io_lock(m->lock_fd, IO_LOCK_EXCLUSIVE));
    struct err *bad = find_taken(e, &t);
    if (!bad)
        bad = allocate(&t, own, size, &m->map);
    free(t.uid);
    free(t.gid);
    return bad;
}

/* ---- the others ---- */

static struct err *resolve_container(struct engine *e, struct idmaps *m) {
    autocontainer other = ENGINE_CONTAINER_INIT;
    autojson config = NULL;
    const struct id_map *map;
    TRY_CTX(engine_container_load(e, m->mode.of, &other), "--userns");
    TRY(engine_container_record(e, &other, "config.json", &config));
    TRY(engine_id_map(config, &m->map, &map));
    m->mapped = map;
    return NULL;
}

/* As podman has it: the user runs there as himself where neither the image nor --user says who. */
static void keep_user(const struct host *h, struct idmaps *m) {
    (void)snprintf(m->user, sizeof m->user, "%u:%u", m->mode.uid >= 0 ? (unsigned)m->mode.uid : (unsigned)h->uid,
                   m->mode.gid >= 0 ? (unsigned)m->mode.gid : (unsigned)h->gid);
    host_account_load(h, &m->account);
}

struct err *idmaps_resolve(struct engine *e, const struct container_options *o, const struct json *image_config,
                           const struct strv *layers, struct idmaps *ret) {
    struct id_map own;
    const char *user = o->user && *o->user ? o->user : json_text(json_get(image_config, "config"), "User");
    const struct spec_userns_of of = {o, e->host, &own};
    TRY(spec_parse_userns(o, &ret->mode));
    if (ret->mode.kind == SPEC_USERNS_SHARED)
        return NULL;
    if (o->rootfs)
        return err_hint(
            err_new(ERR_UNSUPPORTED, "--rootfs: the owners of a directory cannot be changed for a container"),
            "'coracle import' makes an image of it, whose files can have other owners");
    if (ret->mode.kind == SPEC_USERNS_CONTAINER)
        return resolve_container(e, ret);
    TRY(host_id_map(e->host, &own));
    ret->mapped = true;
    if (ret->mode.kind == SPEC_USERNS_AUTO)
        return resolve_auto(e, &own, ret->mode.size ? (uint32_t)ret->mode.size : ids_needed(e, layers, user), ret);
    if (ret->mode.kind == SPEC_USERNS_KEEP_ID)
        keep_user(e->host, ret);
    return spec_userns_map(&ret->mode, &of, &ret->map);
}

const char *engine_userns_default(const struct engine *e, const struct container_options *o) {
    struct id_map own = {.n_uid = 0};
    if (!spec_userns_own_files(o, e->host))
        return NULL;
    autoerr none = host_id_map(e->host, &own);
    return !none && idmap_total(own.uid, own.n_uid) > 1 ? "keep-id" : NULL;
}
