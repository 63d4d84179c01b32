/* check_made: what users made: containers, names, volumes. See check.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/check_int.h"
#include "storage/secrets.h"
#include "storage/store_int.h"
#include "storage/volumes.h"

/* ---- containers ---- */

static struct err *check_summary(struct check *c, const char *id, struct json **ret) {
    const char *recorded, *name;
    autojson j = NULL;
    TRY(store_container_read(c->s, id, "container.json", &j));
    TRY_CTX(json_get_str(j, "Id", &recorded), "container.json");
    TRY_CTX(json_get_str(j, "Name", &name), "container.json");
    if (!str_eq(recorded, id))
        return err_new(ERR_CORRUPT, "container.json is that of %s", recorded);
    if (!id_name_ok(name[0] == '/' ? name + 1 : name))
        return err_new(ERR_CORRUPT, "container.json: %s is not a name", name);
    *ret = take_ptr(&j);
    return NULL;
}

/* The records that a start needs, and those that may be there. */
static struct err *check_records(struct check *c, const char *id) {
    static const char *const files[] = {"config.json", "options.json", "state.json", "network.json"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        autojson j = NULL;
        autoerr e = store_container_read(c->s, id, files[i], &j);
        bool torn =
            e && i == 2 && err_kind(e) == ERR_CORRUPT; /* its changes are not synced: put right when it is met */
        if (torn)
            store_findings_add(c->out, STORE_LEFTOVER, "container", id, "its last state was lost");
        else if (e && (i < 2 || err_kind(e) != ERR_NOT_FOUND))
            return take_ptr(&e);
    }
    return NULL;
}

static struct err *check_dirs(int dir) {
    struct stat st;
    const char *changes = store_changes_dir(dir);
    if (fstatat(dir, changes, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "its directory %s", changes);
    if (!S_ISDIR(st.st_mode))
        return err_new(ERR_CORRUPT, "its %s is not a directory", changes);
    return NULL;
}

static void check_name(struct check *c, const char *id, const struct json *summary) {
    const char *name = json_text(summary, "Name");
    char owner[ID_LEN + 1];
    bool stale;
    name += name[0] == '/';
    if (store_name_read(c->s, name, owner, &stale) && str_eq(owner, id))
        return;
    autojson again = NULL; /* renamed or removed just now? */
    autoerr gone = check_summary(c, id, &again);
    const char *now = json_text(again, "Name");
    if (!gone && str_eq(now + (now[0] == '/'), name))
        store_findings_add(c->out, STORE_REMEDY_NAME, "container", id, "its name %s does not lead to it", name);
}

static bool container_there(const struct check *c, const char *id) {
    return store_exists(c->s->dirs[STORE_CONTAINERS], id);
}

static void check_layers_of(struct check *c, const char *id, const struct json *layers) {
    JSON_EACH(l, layers) {
        const char *chain = json_str_value(l);
        if (!chain || !digest_ok(chain)) {
            store_findings_add(c->out, STORE_REMEDY_CONTAINER, "container", id, "container.json: a layer without id");
            continue;
        }
        strv_push(&c->layers, digest_hex(chain));
        if (!store_layer_has(c->s, chain) && container_there(c, id))
            store_findings_add(c->out, STORE_REMEDY_LAYER, "layer", chain, "is missing: container %.12s is made of it",
                               id);
    }
}

static void check_container_layers(struct check *c, const char *id, const struct json *summary) {
    check_layers_of(c, id, json_get(summary, "Layers"));
    JSON_EACH(t, json_get(summary, "Trees"))
    check_layers_of(c, id, json_get(t, "Layers"));
    const char *image = json_text(summary, "Image");
    if (path_is_hex64(image) || digest_ok(image))
        strv_push(&c->blobs, path_is_hex64(image) ? image : digest_hex(image));
}

static void check_container(struct check *c, const char *id) {
    autofd int dir = -1;
    autojson summary = NULL;
    autoerr e = store_container_open(c->s, id, &dir);
    if (!e)
        e = check_summary(c, id, &summary);
    if (!e)
        e = check_records(c, id);
    if (!e)
        e = check_dirs(dir);
    bool torn = false;
    autoerr unknown = e ? store_container_check_torn(c->s, id, &torn) : NULL;
    if (e && container_there(c, id))
        check_add_err(c, torn && !unknown ? STORE_LEFTOVER : STORE_REMEDY_CONTAINER, "container", id, e);
    c->out->containers += !e;
    if (!summary)
        return;
    check_container_layers(c, id, summary);
    check_name(c, id, summary);
}

static struct err *check_link(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    char id[ID_LEN + 1];
    bool stale = false;
    if (store_name_read(c->s, name, id, &stale)) {
        if (stale)
            store_findings_add(c->out, STORE_LEFTOVER, "name", name, "leads nowhere");
    } else if (store_exists(c->dir, name)) {
        store_findings_add(c->out, STORE_REMEDY_NONE, "name", name, "is not a link to a container");
    }
    return NULL;
}

struct err *check_containers(struct check *c) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(c->s, &ids));
    for (size_t i = 0; i < ids.n; i++)
        check_container(c, ids.v[i]);
    TRY(store_dir(c->s, STORE_NAMES, &c->dir));
    return io_each_entry(c->dir, check_link, c);
}

/* ---- volumes ---- */

static void check_volume(struct check *c, const char *name) {
    struct store_volume v = {.name = NULL};
    struct stat st;
    int volumes = c->s->dirs[STORE_VOLUMES];
    autofree char *data = mem_printf("%s/_data", name), *filling = mem_printf("%s/filling", name);
    autoerr e = store_volume_get(c->s, name, &v);
    store_volume_done(&v);
    bool data_there =
        fstatat(volumes, data, &st, AT_SYMLINK_NOFOLLOW) == 0 && (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
    if (!store_exists(volumes, name))
        return;
    if (!data_there)
        store_findings_add(c->out, STORE_REMEDY_NONE, "volume", name, "its directory _data is missing");
    else if (e)
        check_add_err(c, STORE_REMEDY_VOLUME, "volume", name, e);
    c->out->volumes += data_there && !e;
    if (store_exists(volumes, filling))
        store_findings_add(c->out, STORE_LEFTOVER, "volume", name, "has a copy to be taken up again");
}

struct err *check_volumes(struct check *c) {
    autostrv struct strv names = {.n = 0};
    TRY(store_volume_names(c->s, &names));
    for (size_t i = 0; i < names.n; i++)
        check_volume(c, names.v[i]);
    return NULL;
}

/* ---- secrets ---- */

struct err *check_secrets(struct check *c) {
    autostrv struct strv names = {.n = 0};
    TRY(store_secret_names(c->s, &names));
    for (size_t i = 0; i < names.n; i++) {
        autosecret x = {.name = NULL};
        autoerr e = store_secret_read(c->s, names.v[i], &x, NULL);
        if (e && err_kind(e) != ERR_NOT_FOUND)
            check_add_err(c, STORE_REMEDY_SECRET, "secret", names.v[i], e);
    }
    return NULL;
}
