/* check: see check.h. */
#include "engine/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/path.h"
#include "engine/check_int.h"
#include "engine/engine_int.h"
#include "storage/volumes.h"

/* ---- the user namespace ---- */

static struct err *call_inside(void *ctx, struct err *(*fn)(void *arg), void *arg) {
    struct engine *e = ctx;
    int fd;
    TRY(engine_userns(e, &fd, NULL));
    return runtime_userns_call(fd, fn, arg);
}

struct store_inside engine_inside(struct engine *e) {
    return (struct store_inside){.userns = engine_userns_cb, .call = call_inside, .ctx = e};
}

/* ---- what storage knows nothing of ---- */

static struct err *check_images(struct engine *e, struct store_findings *found) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_image_ids(e->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autostr struct str why = STR_INIT;
        autoerr bad = image_verify(e->store, ids.v[i]);
        if (!bad)
            continue;
        err_format(bad, &why);
        store_findings_add(found, STORE_REMEDY_IMAGE, "image", ids.v[i], "%s", str_c(&why));
    }
    return NULL;
}

/* A directory whose files are looked at one by one. */
struct files {
    int dir;
    struct store_findings *found;
};

/* An error as a finding; one that has gone meanwhile is none. */
static void add_err(const struct files *f, enum store_remedy remedy, const char *kind, const char *name,
                    const struct err *bad) {
    autostr struct str why = STR_INIT;
    if (!bad || err_kind(bad) == ERR_NOT_FOUND)
        return;
    err_format(bad, &why);
    store_findings_add(f->found, remedy, kind, name, "%s", str_c(&why));
}

/* One file: the bridge's, hidden, or one that is called like its network. */
static struct err *check_network(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct files *n = ctx;
    autojson j = NULL;
    autonetdef def = NULL;
    bool bridge = str_eq(name, ".bridge");
    if (name[0] == '.' && !bridge) { /* the lock, and what a killed writer left */
        if (str_starts(name, ".tmp-"))
            store_findings_add(n->found, STORE_LEFTOVER, "network", name, "is debris");
        return NULL;
    }
    autoerr bad = json_read_file(n->dir, name, &j);
    if (!bad)
        bad = net_def_parse(j, &def);
    if (!bad && !str_eq(def->name, bridge ? "bridge" : name))
        bad = err_new(ERR_CORRUPT, "it calls itself %s", def->name);
    add_err(n, STORE_REMEDY_NETWORK, "network", name, bad);
    n->found->networks += !bad;
    return NULL;
}

/* ---- lists of manifests ---- */

static struct err *check_list(const char *name, const struct json *list) {
    size_t n = strlen(name), suffix = strlen(".json");
    struct image_ref ref = {.domain = NULL};
    if (json_type(list) != JSON_ARRAY)
        return err_new(ERR_CORRUPT, "it is not a list");
    JSON_EACH(entry, list)
    if (!digest_ok(json_text(json_get(entry, "Descriptor"), "digest")))
        return err_new(ERR_CORRUPT, "an entry has no digest");
    autofree char *text = mem_dupn(name, n > suffix ? n - suffix : 0);
    for (char *c = text; (c = strchr(c, '+'));)
        *c = '/';
    struct err *e = str_ends(name, ".json") ? image_ref_parse(text, &ref) : err_new(ERR_CORRUPT, "it is not a name");
    image_ref_done(&ref);
    return e;
}

static struct err *check_manifests_file(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct files *f = ctx;
    autojson j = NULL;
    if (str_starts(name, ".tmp-")) {
        store_findings_add(f->found, STORE_LEFTOVER, "manifest list", name, "is debris");
        return NULL;
    }
    autoerr bad = json_read_file(f->dir, name, &j);
    if (!bad)
        bad = check_list(name, j);
    add_err(f, STORE_REMEDY_MANIFESTS, "manifest list", name, bad);
    return NULL;
}

/* What lies in a directory of the store; one that cannot be opened has nothing. */
static struct err *check_files(struct engine *e, const char *which, struct store_findings *found,
                               struct err *(*fn)(void *ctx, const char *name, unsigned char d_type)) {
    struct files f = {.dir = store_dirfd(e->store, which), .found = found};
    return f.dir < 0 ? NULL : io_each_entry(f.dir, fn, &f);
}

static struct err *look(struct engine *e, bool quick, struct store_findings *found) {
    const struct store_inside inside = engine_inside(e);
    TRY(store_check(e->store, &inside, quick, found));
    TRY(check_images(e, found));
    TRY(check_files(e, "manifests", found, check_manifests_file));
    return check_files(e, "networks", found, check_network);
}

/* ---- the report ---- */

static struct json *finding_json(const struct store_finding *f) {
    struct json *j = json_object();
    json_set_str(j, "Kind", f->kind);
    json_set_str(j, "Name", f->name);
    json_set_str(j, "Problem", f->problem);
    json_set_str(j, "Repaired", f->repaired ? f->repaired : "");
    json_set_str(j, "Failed", f->failed ? f->failed : "");
    return j;
}

static struct json *report(const struct engine *e, const struct store_findings *f, bool sound) {
    const struct {
        const char *name;
        int64_t n;
    } checked[] = {{"images", f->images},    {"references", f->references}, {"layers", f->layers},
                   {"blobs", f->blobs},      {"containers", f->containers}, {"volumes", f->volumes},
                   {"networks", f->networks}};
    struct json *j = json_object(), *list = json_array(), *counts = json_object();
    for (size_t i = 0; i < f->n; i++)
        json_push(list, finding_json(&f->v[i]));
    for (size_t i = 0; i < ARRAY_LEN(checked); i++)
        json_set_int(counts, checked[i].name, checked[i].n);
    json_set_str(j, "Root", store_root(e->store));
    json_set(j, "Findings", list);
    json_set_int(j, "Leftovers", f->leftovers);
    json_set(j, "Checked", counts);
    json_set_bool(j, "Sound", sound);
    return j;
}

static struct store_finding *find(struct store_findings *in, const struct store_finding *f) {
    for (size_t i = 0; i < in->n; i++)
        if (str_eq(in->v[i].kind, f->kind) && str_eq(in->v[i].name, f->name))
            return &in->v[i];
    return NULL;
}

/* After a repair: what is still wrong was not repaired, and what shows only now is a finding of its own; whether there
 * is such a one. */
static bool add_rest(struct store_findings *found, const struct store_findings *rest) {
    bool fresh = false;
    for (size_t i = 0; i < rest->n; i++) {
        const struct store_finding *f = &rest->v[i];
        struct store_finding *before = find(found, f);
        if (!before) {
            store_findings_add(found, f->remedy, f->kind, f->name, "%s", f->problem);
            fresh = true;
        } else if (!before->failed) {
            free(take_ptr(&before->repaired));
            before->failed = mem_dup(f->problem);
        }
    }
    return fresh;
}

static struct err *repair(struct engine *e, bool quick, struct store_findings *found, bool *ret_sound) {
    enum { ROUNDS_MAX = 4 }; /* an image that can be read again has layers to look at, and these blobs */
    bool fresh = true;
    for (int i = 0; fresh && i < ROUNDS_MAX; i++) {
        autofindings rest = {.n = 0};
        engine_repair(e, found);
        TRY(look(e, quick, &rest));
        fresh = add_rest(found, &rest);
        *ret_sound = rest.n == 0;
    }
    return NULL;
}

struct err *engine_check(struct engine *e, const struct engine_check *c, struct json **ret) {
    struct store *s;
    autofindings found = {.n = 0};
    TRY(engine_store(e, &s));
    TRY(look(e, c->quick, &found));
    bool sound = found.n == 0;
    if (c->repair && (!sound || found.leftovers))
        TRY(repair(e, c->quick, &found, &sound));
    if (c->repair && sound && found.leftovers) {
        engine_collect(e, true);
        found.leftovers = 0;
    }
    *ret = report(e, &found, sound);
    return NULL;
}

/* ---- reset ---- */

static struct err *erase_inside(void *arg) { return store_erase(arg); }

struct err *engine_reset(struct engine *e) {
    struct store *s;
    int userns;
    autostrv struct strv ids = {.n = 0}, none = {.n = 0};
    TRY(engine_store(e, &s));
    TRY(engine_userns(e, &userns, NULL)); /* held from here on, whoever of the containers held it */
    TRY(store_container_ids(s, &ids));
    for (size_t i = 0; i < ids.n; i++)
        TRY_CTX(engine_container_remove(e, ids.v[i], true, false), "remove container %.12s", ids.v[i]);
    TRY(runtime_userns_call(userns, erase_inside, s));
    engine_run_dirs_sweep(e, &none);
    return NULL;
}
