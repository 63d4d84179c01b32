/* check_rest: what lies in the root at all, the build cache, and images with other owners. See check.c. */
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
#include "storage/store_int.h"

/* A file or directory that nothing here makes; of what a killed writer left the sweep takes care. */
static void stranger(struct check *c, const char *kind, const char *name) {
    bool temp = str_starts(name, ".tmp-");
    store_findings_add(c->out, temp ? STORE_LEFTOVER : STORE_REMEDY_NONE, kind, name, "does not belong there");
}

/* ---- the root ---- */

/* Beside the directories of store_dir_name(); "config" and "docker" are those of a user without a home. */
static bool root_has(const char *name) {
    static const char *const known[] = {"version",      "lock",           "sweeper", "blobs", "quarantine",
                                        "events.jsonl", "events.jsonl.1", "config",  "docker"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(name, known[i]))
            return true;
    for (int i = STORE_ROOT + 1; i < STORE_DIR_COUNT; i++)
        if (str_eq(name, store_dir_name((enum store_dir)i)))
            return true;
    return false;
}

static struct err *check_root_entry(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    if (!root_has(name) && store_exists(c->dir, name))
        stranger(c, "directory", name);
    return NULL;
}

static struct err *check_blobs_entry(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    if (!str_eq(name, "sha256") && !str_eq(name, "partial"))
        stranger(ctx, "blobs", name);
    return NULL;
}

struct err *check_root(struct check *c) {
    autofd int blobs = -1;
    c->dir = c->s->dirs[STORE_ROOT];
    TRY(io_each_entry(c->dir, check_root_entry, c));
    autoerr none = fd_open_dir(c->dir, "blobs", &blobs);
    return none ? NULL : io_each_entry(blobs, check_blobs_entry, c);
}

/* ---- the build cache ---- */

/* A record that cannot be read is none: its step is done again, and the sweep removes it. */
static struct err *check_build(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    autojson j = NULL;
    if (str_eq(name, "mounts") || str_eq(name, "stats") || str_eq(name, "passing"))
        return NULL; /* what builds put there is theirs, and a damaged one is none */
    if (!path_is_hex64(name)) {
        stranger(c, "builds", name);
        return NULL;
    }
    autoerr e = json_read_file(c->dir, name, &j);
    if (e && err_kind(e) == ERR_CORRUPT)
        store_findings_add(c->out, STORE_LEFTOVER, "builds", name, "is no record");
    return NULL;
}

struct err *check_builds(struct check *c) {
    return check_each(c, STORE_BUILDS, check_build);
}

/* ---- images with other owners ---- */

static struct err *check_shifted_parts(int image, bool full) {
    struct stat st;
    if (fstatat(image, "diff", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return err_new(ERR_CORRUPT, "its files are missing");
    if (!full && (fstatat(image, "data", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)))
        return err_new(ERR_CORRUPT, "the links to its files' data are missing");
    return NULL;
}

struct shifted {
    struct check *c;
    const char *map;
    int dir;
};

static struct err *check_shifted(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct shifted *s = ctx;
    autofd int image = -1;
    autofree char *layer = mem_dupn(name, strcspn(name, ".")), *where = mem_printf("%s/%s", s->map, name);
    bool full = str_eq(name + strlen(layer), ".full");
    if (!path_is_hex64(layer) || (!full && !path_is_hex64(name))) {
        stranger(s->c, "idmap", where);
        return NULL;
    }
    autoerr e = fd_open_at(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &image);
    if (!e)
        e = check_shifted_parts(image, full);
    if (e && store_exists(s->dir, name))
        check_add_err(s->c, STORE_REMEDY_IDMAP, "idmap", s->map, e);
    return NULL;
}

static struct err *check_idmap(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    autofd int dir = -1;
    if (str_eq(name, "lock"))
        return NULL;
    if (!path_is_hex64(name)) {
        stranger(c, "idmap", name);
        return NULL;
    }
    autoerr e = fd_open_at(c->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir);
    if (e && err_kind(e) != ERR_NOT_FOUND)
        check_add_err(c, STORE_REMEDY_IDMAP, "idmap", name, e);
    if (e)
        return NULL;
    struct shifted s = {c, name, dir};
    return io_each_entry(dir, check_shifted, &s);
}

struct err *check_idmaps(struct check *c) {
    return check_each(c, STORE_IDMAPS, check_idmap);
}
