/* userns: --userns, --uidmap and --gidmap. The words are podman's, as docker's engine has one map for all containers.
 */
#include "spec/spec_int.h"

static struct err *usage(const char *text, const char *what) {
    return err_new(ERR_USAGE, "--userns %s: %s", text, what);
}

static struct err *number(const char *text, const char *value, int64_t *ret) {
    return str_to_i64(value, 0, UINT32_MAX - 1, ret) ? NULL : usage(text, "its values are numbers");
}

/* "uid=1000,gid=100,size=65536" behind the word; `allowed` of them. */
static struct err *values(const char *text, const char *list, const char *allowed, struct spec_userns *u) {
    autostrv struct strv words = {.n = 0};
    strv_split(&words, list, ',');
    for (size_t i = 0; i < words.n; i++) {
        const struct {
            const char *key;
            int64_t *to;
        } keys[] = {{"uid=", &u->uid}, {"gid=", &u->gid}, {"size=", &u->size}};
        size_t k = 0;
        while (k < ARRAY_LEN(keys) && !(str_starts(words.v[i], keys[k].key) && strstr(allowed, keys[k].key)))
            k++;
        if (k == ARRAY_LEN(keys))
            return err_hint(usage(text, "unknown option"), "it takes %s", allowed);
        TRY(number(text, words.v[i] + strlen(keys[k].key), keys[k].to));
    }
    return NULL;
}

static struct err *maps_mode(const struct container_options *o, struct spec_userns *ret) {
    if (!o->uidmap.n && !o->gidmap.n)
        return NULL;
    if (o->userns && *o->userns)
        return err_new(ERR_USAGE, "--userns and --uidmap/--gidmap are mutually exclusive");
    ret->kind = SPEC_USERNS_MAPS;
    return NULL;
}

struct err *spec_parse_userns(const struct container_options *o, struct spec_userns *ret) {
    static const struct {
        const char *word;
        enum spec_userns_kind kind;
        const char *allowed; /* values behind a colon */
    } modes[] = {
        {"keep-id", SPEC_USERNS_KEEP_ID, "uid=, gid=, size="},
        {"auto", SPEC_USERNS_AUTO, "size="},
        {"nomap", SPEC_USERNS_NOMAP, NULL},
    };
    const char *v = o->userns;
    *ret = (struct spec_userns){.uid = -1, .gid = -1};
    TRY(maps_mode(o, ret));
    if (!v || !*v || str_eq(v, "host") || str_eq(v, "private"))
        return NULL;
    if (str_starts(v, "container:") && v[strlen("container:")]) {
        ret->kind = SPEC_USERNS_CONTAINER;
        ret->of = v + strlen("container:");
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        size_t n = strlen(modes[i].word);
        if (strncmp(v, modes[i].word, n) != 0 || (v[n] && !(v[n] == ':' && modes[i].allowed)))
            continue;
        ret->kind = modes[i].kind;
        return v[n] ? values(v, v + n + 1, modes[i].allowed, ret) : NULL;
    }
    return err_new(ERR_USAGE, "--userns: invalid USER mode");
}

/* ---- files that shall be the caller's ---- */

static bool binds(const struct container_options *o) {
    bool found = false;
    for (size_t i = 0; i < o->volumes.n + o->mounts.n; i++) {
        struct spec_mount m = {.source = NULL};
        autoerr bad = i < o->volumes.n ? spec_parse_volume(o->volumes.v[i], o->cwd, &m)
                                       : spec_parse_mount(o->mounts.v[i - o->volumes.n], &m);
        found |= !bad && m.type == SPEC_MOUNT_BIND;
        spec_mount_done(&m);
    }
    return found;
}

bool spec_userns_own_files(const struct container_options *o, const struct host *h) {
    uint64_t uid;
    if (!o->user || o->userns || o->uidmap.n || o->gidmap.n || o->rootfs)
        return false;
    autofree char *user = mem_dupn(o->user, strcspn(o->user, ":"));
    return h->uid && str_to_u64(user, 10, UINT32_MAX - 1, &uid) && uid == h->uid && binds(o);
}

/* ---- --uidmap, --gidmap ---- */

/* "@1000" is an id of the host: one of the user's. */
static struct err *from_host(const struct id_range *r, size_t n, uint32_t id, uint32_t *ret) {
    for (size_t i = 0; i < n; i++)
        if (id >= r[i].outside && id - r[i].outside < r[i].count) {
            *ret = r[i].inside + (id - r[i].outside);
            return NULL;
        }
    return err_new(ERR_USAGE, "id %u of the host is not one of yours", id);
}

struct mapping {
    bool uids, gids, insert;
    struct id_range r;
};

/* "[flags]CONTAINER:[@]FROM[:AMOUNT]"; the flags are u, g and +. */
static struct err *parse_mapping(const char *text, const struct id_range *own, size_t n_own, struct mapping *ret) {
    struct mapping m = {.uids = false};
    autostrv struct strv f = {.n = 0};
    uint64_t inside, from, count = 1;
    for (; *text && strchr("ug+", *text); text++) {
        m.uids |= *text == 'u';
        m.gids |= *text == 'g';
        m.insert |= *text == '+';
    }
    strv_split(&f, text, ':');
    bool host = f.n > 1 && *f.v[1] == '@';
    if (f.n < 2 || f.n > 3 || !str_to_u64(f.v[0], 10, UINT32_MAX - 1, &inside) ||
        !str_to_u64(f.v[1] + host, 10, UINT32_MAX - 1, &from) ||
        (f.n == 3 && (!str_to_u64(f.v[2], 10, UINT32_MAX - 1, &count) || !count)))
        return err_new(ERR_USAGE, "a range is CONTAINER_ID:FROM_ID[:AMOUNT]");
    m.r = (struct id_range){(uint32_t)inside, (uint32_t)from, (uint32_t)count};
    if (host)
        TRY(from_host(own, n_own, (uint32_t)from, &m.r.outside));
    *ret = m;
    return NULL;
}

static struct err *add_mapping(struct id_ranges *to, const struct mapping *m, uint32_t total) {
    if (m->insert && !to->n) /* what is put in between goes into all ids as they are */
        to->r[to->n++] = (struct id_range){0, 0, total};
    if (m->insert)
        return idmap_insert(to, m->r);
    if (to->n == ID_RANGES_MAX)
        return err_new(ERR_USAGE, "a map has at most %d ranges", ID_RANGES_MAX);
    to->r[to->n++] = m->r;
    return NULL;
}

struct both {
    struct id_ranges uid, gid;
    const struct id_map *own;
};

/* One list of them. `gids`: it is --gidmap's. */
static struct err *add_list(const struct strv *list, bool gids, bool alone, struct both *b) {
    const struct id_map *own = b->own;
    for (size_t i = 0; i < list->n; i++) {
        struct mapping m = {.uids = false};
        const char *flag = gids ? "--gidmap" : "--uidmap";
        TRY(spec_invalid(flag, list->v[i],
                         parse_mapping(list->v[i], gids ? own->gid : own->uid, gids ? own->n_gid : own->n_uid, &m)));
        if (!m.uids && !m.gids) { /* one list without the other holds for both */
            m.uids = !gids || alone;
            m.gids = gids || alone;
        }
        if (m.uids)
            TRY(spec_invalid(flag, list->v[i], add_mapping(&b->uid, &m, idmap_total(own->uid, own->n_uid))));
        if (m.gids)
            TRY(spec_invalid(flag, list->v[i], add_mapping(&b->gid, &m, idmap_total(own->gid, own->n_gid))));
    }
    return NULL;
}

/* ---- maps ---- */

static struct err *keep_id(const struct spec_userns *u, const struct host *h, struct both *b) {
    const struct id_map *own = b->own;
    uint32_t uid = u->uid >= 0 ? (uint32_t)u->uid : h->uid, gid = u->gid >= 0 ? (uint32_t)u->gid : h->gid;
    TRY_CTX(idmap_keep(uid, idmap_total(own->uid, own->n_uid), (uint32_t)u->size, &b->uid), "--userns keep-id: uids");
    TRY_CTX(idmap_keep(gid, idmap_total(own->gid, own->n_gid), (uint32_t)u->size, &b->gid), "--userns keep-id: gids");
    return NULL;
}

struct err *spec_userns_map(const struct spec_userns *u, const struct spec_userns_of *of, struct id_map *ret) {
    struct both b = {.own = of->own};
    uint32_t uids = idmap_total(of->own->uid, of->own->n_uid), gids = idmap_total(of->own->gid, of->own->n_gid);
    const struct container_options *o = of->options;
    if (u->kind == SPEC_USERNS_KEEP_ID) {
        TRY(keep_id(u, of->host, &b));
    } else if (u->kind == SPEC_USERNS_NOMAP) {
        idmap_without_user(uids, &b.uid);
        idmap_without_user(gids, &b.gid);
    } else {
        TRY(add_list(&o->uidmap, false, !o->gidmap.n, &b));
        TRY(add_list(&o->gidmap, true, !o->uidmap.n, &b));
    }
    TRY_CTX(idmap_settle(&b.uid, uids), "map of uids");
    TRY_CTX(idmap_settle(&b.gid, gids), "map of gids");
    *ret = (struct id_map){.n_uid = b.uid.n, .n_gid = b.gid.n};
    memcpy(ret->uid, b.uid.r, sizeof b.uid.r);
    memcpy(ret->gid, b.gid.r, sizeof b.gid.r);
    uint32_t root;
    if (idmap_above(ret->uid, ret->n_uid, 0, &root) && idmap_above(ret->gid, ret->n_gid, 0, &root))
        return NULL;
    return err_hint(err_new(ERR_USAGE, "the map of ids has no root"),
                    "a container is set up by its root: map its id 0, as with --uidmap 0:1:1000");
}
