/*
 * ref: references, one small JSON file each, named by the reference itself with '/' written as '+'. No reference holds
 * a '+': domain names, paths and tags have none, and sha256 is the only digest algorithm here.
 *
 * A reference counts from the moment that its image is recorded. So the names of a new image are written before its
 * record, which then makes all of it visible in one rename; what a crash leaves of them is no name of anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/check.h"
#include "storage/shared.h"
#include "storage/store_int.h"

enum { REF_FILE_MAX = 255 };

/* The characters of the grammar of references, IPv6 domains included; each component begins with none of ".-:@". */
static bool ref_ok(const char *ref) {
    const char *all = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@-[]";
    size_t n = strlen(ref);
    if (!n || strspn(ref, all) != n || ref[n - 1] == '/')
        return false;
    for (const char *part = ref; part; part = strchr(part, '/'), part = part ? part + 1 : NULL)
        if (strchr("./-:@", *part))
            return false;
    return true;
}

struct err *store_ref_file(const char *ref, char **ret) {
    if (!ref_ok(ref))
        return err_new(ERR_USAGE, "%s is not a reference", ref);
    if (strlen(ref) > REF_FILE_MAX)
        return err_new(ERR_USAGE, "the reference %.40s… is longer than %d bytes", ref, REF_FILE_MAX);
    char *name = mem_dup(ref);
    for (char *p = name; (p = strchr(p, '/')); p++)
        *p = '+';
    *ret = name;
    return NULL;
}

static void copy_digest(const struct json *j, const char *key, char ret[DIGEST_LEN + 1]) {
    const char *digest = json_text(j, key);
    if (digest_ok(digest))
        memcpy(ret, digest, DIGEST_LEN + 1);
}

/* Reads a reference's file and checks that it is what its name says. */
static struct err *read_ref(int refs, const char *name, const char *ref, struct store_ref *ret) {
    const char *image, *reference;
    autojson j = NULL;
    TRY(json_read_file(refs, name, &j));
    TRY(json_get_str(j, "image", &image));
    TRY(json_get_str(j, "reference", &reference));
    if (!path_is_hex64(image) || !str_eq(reference, ref))
        return err_new(ERR_CORRUPT, "it does not name the image of %s", ref);
    *ret = (struct store_ref){.image = ""};
    memcpy(ret->image, image, ID_LEN + 1);
    copy_digest(j, "manifest", ret->manifest);
    copy_digest(j, "index", ret->index);
    return NULL;
}

struct err *store_ref_read(const struct store *s, const char *file, struct store_ref *ret) {
    int refs;
    autofree char *ref = mem_dup(file), *canonical = NULL;
    for (char *p = ref; (p = strchr(p, '+')); p++)
        *p = '/';
    TRY(store_dir(s, STORE_REFS, &refs));
    struct err *e = store_ref_file(ref, &canonical);
    if (e) {
        err_free(e);
        return err_new(ERR_CORRUPT, "it is not called like a reference");
    }
    return read_ref(refs, file, ref, ret);
}

static bool image_recorded(const struct store *s, const char *id) {
    int images;
    autoerr e = store_dir(s, STORE_IMAGES, &images);
    autofree char *name = mem_printf("%s.json", id);
    return !e && store_exists(images, name);
}

/* The same, or one that others share. */
static bool image_known(const struct store *s, const char *id) {
    return image_recorded(s, id) || store_image_shared(s, id);
}

struct err *store_ref_write(int refs, const char *ref, const struct store_target *to, mode_t mode) {
    autofree char *name = NULL;
    autojson j = json_object();
    TRY(store_ref_file(ref, &name));
    json_set_str(j, "image", to->image);
    json_set_str(j, "reference", ref);
    if (to->manifest && *to->manifest)
        json_set_str(j, "manifest", to->manifest);
    if (to->index && *to->index)
        json_set_str(j, "index", to->index);
    TRY_CTX(json_write_file(refs, name, j, mode, IO_DURABLE), "tag %s", ref);
    return NULL;
}

static struct err *write_ref(struct store *s, const char *ref, const struct store_target *to) {
    int refs;
    TRY(store_dir(s, STORE_REFS, &refs));
    return store_ref_write(refs, ref, to, 0600);
}

struct err *store_ref_set_to(struct store *s, const char *ref, const struct store_target *to) {
    autofree char *name = NULL;
    TRY(store_ref_file(ref, &name));
    if (!path_is_hex64(to->image) || !image_known(s, to->image))
        return err_new(ERR_NOT_FOUND, "No such image: %s", to->image);
    TRY(write_ref(s, ref, to));
    /* See store_image_remove: one of the two sees the other. */
    if (!image_known(s, to->image)) {
        unlinkat(store_dirfd(s, "refs"), name, 0);
        return err_new(ERR_NOT_FOUND, "No such image: %s", to->image);
    }
    return NULL;
}

static struct err *own_ref_get(const struct store *s, const char *ref, struct store_ref *ret);

/* Writes a name of an image that is about to be recorded, unless it is another image's until then. */
static struct err *announce(struct store *s, const char *ref, const struct store_target *to) {
    struct store_ref now;
    autoerr e = own_ref_get(s, ref, &now);
    return e && err_kind(e) == ERR_NOT_FOUND ? write_ref(s, ref, to) : NULL;
}

struct err *store_refs_set(struct store *s, const struct strv *names, const struct store_target *to,
                           bool *ret_changed) {
    const char *index = to->index ? to->index : "";
    for (size_t i = 0; i < names->n; i++) {
        struct store_ref now;
        autoerr e = store_ref_get(s, names->v[i], &now);
        if (!e && str_eq(now.image, to->image) && (!to->manifest || str_eq(now.manifest, to->manifest)) &&
            str_eq(now.index, index))
            continue;
        TRY(store_ref_set_to(s, names->v[i], to));
        *ret_changed = true;
    }
    return NULL;
}

struct err *store_image_put_named(struct store *s, const struct store_image *img, const struct strv *names,
                                  bool *ret_changed) {
    enum { TRIES = 16 };
    const struct store_target to = {.image = img->id, .manifest = img->manifest, .index = img->index};
    *ret_changed = !image_recorded(s, img->id);
    for (size_t i = 0; *ret_changed && i < names->n; i++)
        TRY(announce(s, names->v[i], &to));
    for (int i = 0;; i++) {
        TRY(store_image_put_beside(s, img));
        struct err *e = store_refs_set(s, names, &to, ret_changed);
        if (!e || err_kind(e) != ERR_NOT_FOUND || i == TRIES)
            return e;
        err_free(e); /* removed between the two: what it is made of is held, so it is recorded once more */
        *ret_changed = true;
    }
}

static struct err *own_ref_get(const struct store *s, const char *ref, struct store_ref *ret) {
    autofree char *name = NULL;
    int refs;
    TRY(store_ref_file(ref, &name));
    TRY(store_dir(s, STORE_REFS, &refs));
    struct err *e = read_ref(refs, name, ref, ret);
    if (e && err_kind(e) == ERR_NOT_FOUND && err_errno(e) == ENOENT) {
        err_free(e);
        return err_new(ERR_NOT_FOUND, "No such image: %s", ref);
    }
    if (e)
        return err_wrap(e, "%s/refs/%s", s->root, name);
    return image_known(s, ret->image) ? NULL : err_new(ERR_NOT_FOUND, "No such image: %s", ref);
}

struct err *store_ref_get(const struct store *s, const char *ref, struct store_ref *ret) {
    struct err *e = own_ref_get(s, ref, ret);
    for (size_t i = 0; e && err_kind(e) == ERR_NOT_FOUND && i < s->n_shared; i++) {
        err_free(e);
        e = own_ref_get(s->shared[i], ref, ret);
    }
    return e;
}

struct store_ref store_ref_of(const struct store *s, const char *ref, const char *id) {
    struct store_ref now = {.image = ""};
    autoerr gone = ref ? store_ref_get(s, ref, &now) : NULL;
    return !gone && str_eq(now.image, id) ? now : (struct store_ref){.image = ""};
}

int64_t store_ref_time(const struct store *s, const char *ref) {
    int refs;
    struct stat st;
    autofree char *name = NULL;
    autoerr e = store_ref_file(ref, &name);
    autoerr closed = e ? NULL : store_dir(s, STORE_REFS, &refs);
    if (e || closed || fstatat(refs, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
}

struct err *store_ref_remove(struct store *s, const char *ref) {
    autofree char *name = NULL;
    int refs;
    TRY(store_ref_file(ref, &name));
    TRY(store_dir(s, STORE_REFS, &refs));
    if (unlinkat(refs, name, 0) < 0)
        return errno == ENOENT ? err_new(ERR_NOT_FOUND, "No such image: %s", ref) : err_sys(errno, "untag %s", ref);
    TRY_CTX(io_sync(refs), "untag %s", ref);
    return NULL;
}

static struct err *add_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    if (name[0] != '.') /* a write in progress, or its debris */
        strv_push(ctx, name);
    return NULL;
}

/* All references, or, with `images` (sorted ids), those that count. */
static struct err *list_refs(const struct store *s, const struct strv *images, struct strmap *out) {
    autostrv struct strv names = {0};
    int refs;
    TRY(store_dir(s, STORE_REFS, &refs));
    TRY_CTX(io_each_entry(refs, add_name, &names), "list the references");
    for (size_t i = 0; i < names.n; i++) /* by reference, not by file name: '/' and '+' sort differently */
        for (char *p = names.v[i]; (p = strchr(p, '+')); p++)
            *p = '/';
    strv_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        struct store_ref ref;
        autofree char *name = NULL;
        autoerr e = store_ref_file(names.v[i], &name);
        if (!e)
            e = read_ref(refs, name, names.v[i], &ref);
        if (e && err_errno(e) != ENOENT) /* else it was removed just now */
            log_warn("skipping the damaged reference %s in %s/refs", names.v[i], s->root);
        else if (!e && (!images || strv_find_sorted(images, ref.image, NULL)))
            strmap_set(out, names.v[i], ref.image);
    }
    return NULL;
}

struct err *store_refs(const struct store *s, struct strmap *out) {
    autostrv struct strv images = {0};
    TRY(store_image_ids(s, &images));
    TRY(store_shared_image_ids(s, &images));
    strv_sort(&images);
    TRY(list_refs(s, &images, out));
    for (size_t i = 0; i < s->n_shared; i++) {
        autostrmap struct strmap theirs = {0};
        TRY(store_refs(s->shared[i], &theirs));
        for (size_t k = 0; k < theirs.n; k++)
            if (!strmap_get(out, theirs.e[k].key))
                strmap_set(out, theirs.e[k].key, theirs.e[k].value);
    }
    return NULL;
}

struct err *store_refs_written(const struct store *s, struct strmap *out) {
    return list_refs(s, NULL, out);
}

struct err *store_refs_dangling(const struct store *s, struct strmap *out) {
    autostrmap struct strmap refs = {0};
    TRY(store_refs_written(s, &refs));
    for (size_t i = 0; i < refs.n; i++)
        if (!image_known(s, refs.e[i].value))
            strmap_set(out, refs.e[i].key, refs.e[i].value);
    return NULL;
}

struct err *store_refs_heal(struct store *s) {
    autostrmap struct strmap refs = {0};
    TRY(store_refs_dangling(s, &refs));
    for (size_t i = 0; i < refs.n; i++)
        TRY(store_ref_remove(s, refs.e[i].key));
    return NULL;
}
