/* manifests: see manifests.h. */
#include "engine/manifests.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_int.h"
#include "image/index.h"

/* ---- the files ---- */

/* The list's reference, and the name of its file; the directory is made where it is missing. */
struct place {
    struct image_ref ref;
    char *canonical, *file;
    int dir;
};

static void place_done(struct place *p) {
    image_ref_done(&p->ref);
    free(p->canonical);
    free(p->file);
    fd_close(p->dir);
}
#define autoplace __attribute__((cleanup(place_done))) struct place

static struct err *place_of(struct engine *e, const char *list, struct place *p) {
    struct store *s;
    TRY(engine_store(e, &s));
    TRY(engine_ref_parse(e, list, &p->ref));
    if (p->ref.digest)
        return err_new(ERR_USAGE, "a list is named by a tag, not by a digest: %s", list);
    p->canonical = image_ref_canonical(&p->ref);
    p->file = mem_printf("%s.json", p->canonical);
    for (char *c = p->file; (c = strchr(c, '/'));)
        *c = '+';
    return fd_open_dir(store_dirfd(s, "manifests"), ".", &p->dir);
}

/* For who reads a list to write it back changed; until the place is done with. */
static struct err *lock_lists(const struct place *p) {
    TRY_CTX(io_lock_dir(p->dir, IO_LOCK_EXCLUSIVE), "lock the manifest lists");
    return NULL;
}

static struct err *read_list(const struct place *p, struct json **ret) {
    struct err *e = json_read_file(p->dir, p->file, ret);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    return err_new(ERR_NOT_FOUND, "No such manifest: %s", p->canonical);
}

static struct image_remote remote_of(const struct engine *e) {
    return (struct image_remote){.host = e->host, .config = e->config};
}

/* ---- making ---- */

static struct json *find_entry(struct json *list, const char *ref, const char *digest) {
    JSON_EACH(entry, list)
    if (str_eq(json_text(entry, "Ref"), ref) || str_eq(json_text(json_get(entry, "Descriptor"), "digest"), digest))
        return entry;
    return NULL;
}

/* An index of one image stands for that image. */
static struct err *entry_of(struct engine *e, const char *reference, struct json **ret) {
    const struct image_remote r = remote_of(e);
    struct image_ref ref = {.domain = NULL};
    autojson found = json_array();
    TRY(engine_ref_parse(e, reference, &ref));
    autofree char *canonical = image_ref_canonical(&ref);
    struct err *bad = image_manifest_entries(&r, &ref, found);
    image_ref_done(&ref);
    TRY(bad);
    struct json *entry = json_first(found);
    if (json_count(found) != 1)
        return err_new(ERR_USAGE, "%s is a manifest list", reference);
    json_set_str(entry, "Ref", canonical);
    *ret = json_copy(entry);
    return NULL;
}

static struct err *read_to_amend(const struct place *p, bool amend, struct json **ret) {
    struct err *none = read_list(p, ret);
    if (!none && !amend)
        return err_new(ERR_CONFLICT, "refusing to amend an existing manifest list with no --amend flag");
    if (none && err_kind(none) != ERR_NOT_FOUND)
        return none;
    err_free(none);
    if (!*ret)
        *ret = json_array();
    return NULL;
}

struct err *engine_manifest_add(struct engine *e, const char *list, const char *reference, bool amend) {
    autoplace p = {.dir = -1};
    autojson before = NULL;
    autojson entry = NULL;
    autojson j = NULL;
    TRY(place_of(e, list, &p));
    TRY(read_to_amend(&p, amend, &before)); /* the registry is not asked in vain */
    TRY(entry_of(e, reference, &entry));
    TRY(lock_lists(&p));
    TRY(read_to_amend(&p, amend, &j));
    if (!find_entry(j, json_text(entry, "Ref"), json_text(json_get(entry, "Descriptor"), "digest")))
        json_push(j, take_ptr(&entry));
    return json_write_file(p.dir, p.file, j, 0600, IO_DURABLE);
}

struct err *engine_manifest_annotate(struct engine *e, const char *list, const char *reference,
                                     const struct json *platform) {
    autoplace p = {.dir = -1};
    autojson j = NULL;
    struct image_ref ref = {.domain = NULL};
    TRY(place_of(e, list, &p));
    TRY(lock_lists(&p));
    TRY(read_list(&p, &j));
    TRY(engine_ref_parse(e, reference, &ref));
    autofree char *canonical = image_ref_canonical(&ref);
    struct json *entry = find_entry(j, canonical, ref.digest ? ref.digest : "");
    image_ref_done(&ref);
    if (!entry)
        return err_new(ERR_NOT_FOUND, "manifest for image %s does not exist in %s", reference, list);
    JSON_EACH(member, platform)
    json_set(json_path(entry, "Descriptor.platform"), json_key(member), json_copy(member));
    return json_write_file(p.dir, p.file, j, 0600, IO_DURABLE);
}

struct err *engine_manifest_list(struct engine *e, const char *list, struct json **ret) {
    autoplace p = {.dir = -1};
    TRY(place_of(e, list, &p));
    return read_list(&p, ret);
}

struct err *engine_manifest_remove(struct engine *e, const char *list) {
    autoplace p = {.dir = -1};
    TRY(place_of(e, list, &p));
    if (unlinkat(p.dir, p.file, 0) == 0)
        return NULL;
    return errno == ENOENT ? err_new(ERR_NOT_FOUND, "No such manifest: %s", p.canonical)
                           : err_sys(errno, "remove the list %s", p.canonical);
}

struct err *engine_manifest_push(struct engine *e, const char *list, char ret_digest[72]) {
    autoplace p = {.dir = -1};
    autojson j = NULL;
    const struct image_remote r = remote_of(e);
    TRY(place_of(e, list, &p));
    TRY(read_list(&p, &j));
    return image_index_push(&r, &p.ref, j, ret_digest);
}

/* ---- looking ---- */

/* docker's verbose view names the manifest by its kind. */
static void name_manifests(struct json *entries) {
    JSON_EACH(entry, entries) {
        bool oci = str_starts(json_text(json_get(entry, "Descriptor"), "mediaType"), "application/vnd.oci.");
        json_set(entry, oci ? "OCIManifest" : "SchemaV2Manifest", json_copy(json_get(entry, "Manifest")));
        json_remove(entry, "Manifest");
    }
}

static struct err *index_json(const struct json *entries, struct json **ret) {
    autostr struct str text = STR_INIT;
    const char *type = NULL;
    image_index_make(entries, &type, &text);
    return json_parse(str_c(&text), text.len, "index", 0, ret);
}

static struct err *inspect_remote(struct engine *e, const struct image_ref *ref, bool verbose, struct json **ret) {
    const struct image_remote r = remote_of(e);
    automanifest m = {.media_type = NULL};
    if (!verbose) {
        TRY(image_manifest_get(&r, ref, &m));
        return json_parse(str_c(&m.text), m.text.len, "manifest", 0, ret);
    }
    *ret = json_array();
    struct err *bad = image_manifest_entries(&r, ref, *ret);
    if (bad) {
        json_free(*ret);
        *ret = NULL;
    }
    return bad;
}

struct err *engine_manifest_inspect(struct engine *e, const char *reference, bool verbose, struct json **ret) {
    struct image_ref ref = {.domain = NULL};
    autojson list = NULL;
    TRY(engine_ref_parse(e, reference, &ref));
    struct err *none = ref.digest ? err_new(ERR_NOT_FOUND, "%s", reference) : engine_manifest_list(e, reference, &list);
    struct err *bad = NULL;
    if (none && err_kind(none) == ERR_NOT_FOUND)
        bad = inspect_remote(e, &ref, verbose, &list);
    else if (none)
        bad = take_ptr(&none);
    else if (!verbose) {
        autojson entries = take_ptr(&list);
        bad = index_json(entries, &list);
    }
    err_free(none);
    image_ref_done(&ref);
    if (!bad && verbose)
        name_manifests(list);
    if (!bad)
        *ret = verbose && json_count(list) == 1 ? json_copy(json_first(list)) : take_ptr(&list);
    return bad;
}

/* ---- looking at registries ---- */

static struct err *look(const struct image_remote *r, const struct image_ref *ref, bool image, struct str *raw,
                        struct json *out) {
    automanifest m = {.media_type = NULL};
    autojson parsed = NULL;
    struct json *d = json_object(), *configs = NULL;
    autofree char *name = image_ref_canonical(ref);
    json_set_str(out, "Name", name);
    json_set(out, "Manifest", d);
    TRY(image_manifest_get(r, ref, &m));
    TRY(json_parse(str_c(&m.text), m.text.len, "manifest", 0, &parsed));
    if (json_get(parsed, "manifests"))
        json_set_int(d, "schemaVersion", 2);
    json_set_str(d, "mediaType", m.media_type);
    json_set_str(d, "digest", m.digest);
    json_set_int(d, "size", (int64_t)m.text.len);
    if (json_get(parsed, "manifests"))
        json_set(d, "manifests", json_copy(json_get(parsed, "manifests")));
    if (image) {
        TRY(image_manifest_configs(r, ref, &m, &configs));
        json_set(out, "Image", configs);
    }
    str_append_n(raw, str_c(&m.text), m.text.len);
    return NULL;
}

struct err *engine_manifest_look(struct engine *e, const char *reference, bool image, struct str *raw,
                                 struct json **ret) {
    struct image_ref ref = {.domain = NULL};
    const struct image_remote r = remote_of(e);
    autojson out = json_object();
    TRY(engine_ref_parse(e, reference, &ref));
    struct err *bad = look(&r, &ref, image, raw, out);
    image_ref_done(&ref);
    if (!bad)
        *ret = take_ptr(&out);
    return bad;
}
