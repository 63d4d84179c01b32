/* extract: see extract_int.h. This file reads entries and decides; node.c makes them. */
#include "storage/unpack/extract_int.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <iconv.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "storage/unpack/node_int.h"
#include "storage/unpack/tree_int.h"

#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define OPAQUE ".wh..wh..opq"
#define SKIPPED_MAX 4096 /* device names kept, so that hard links to them are known for what they are */

struct extract {
    const struct extract_feed *feed;
    struct err *feed_err; /* why the feed failed, while libarchive only knows that it did */
    const void *first; /* the feed's first chunk, looked at before libarchive gets it; later what follows the archive */
    size_t first_n;
    struct archive *archive;
    struct tree *tree;
    struct writer *writer;
    const struct extract_place *place; /* NULL: a layer */
    uint32_t ids;
    struct strv skipped;
    struct extract_result result;
};

void extract_prepare(void) {
    /* In the "C" locale libarchive keeps names byte for byte (in a UTF-8 locale it would normalise them), but asks
     * iconv first, and iconv must not find its modules in the layer. */
    iconv_t cd = iconv_open("ANSI_X3.4-1968", "UTF-8");
    if (cd != (iconv_t)-1)
        iconv_close(cd);
    cd = iconv_open("UTF-8", "ANSI_X3.4-1968"); /* as it writes */
    if (cd != (iconv_t)-1)
        iconv_close(cd);
}

static la_ssize_t feed_archive(struct archive *a, void *ctx, const void **ret) {
    (void)a;
    struct extract *x = ctx;
    size_t n = x->first_n;
    *ret = x->first;
    x->first_n = 0;
    if (n == 0 && !x->feed_err)
        x->feed_err = x->feed->next(x->feed->ctx, ret, &n);
    return x->feed_err ? -1 : (la_ssize_t)n;
}

/* What libarchive's failure was about. */
static struct err *archive_err(struct extract *x) {
    if (x->feed_err)
        return take_ptr(&x->feed_err);
    const char *text = archive_error_string(x->archive);
    return err_new(ERR_CORRUPT, "not a sound tar archive: %s", text ? text : "no reason given");
}

static struct err *check_owner(const struct extract *x, const char *what, int64_t id) {
    if (id >= 0 && id < (int64_t)x->ids)
        return NULL;
    if (id < 0 || id > (int64_t)UINT32_MAX)
        return err_new(ERR_CORRUPT, "%s %lld is out of range", what, (long long)id);
    struct err *e = err_new(ERR_UNSUPPORTED, "belongs to %s %lld, but only %u %s mapped", what, (long long)id, x->ids,
                            x->ids == 1 ? "id is" : "ids are");
    if (x->ids == 1) /* a user without subordinate ids does not get this far */
        return err_hint(e, "root of this user namespace has no other id: run coracle outside of it, or make it with "
                           "'unshare --map-root-user --map-auto'");
    return err_hint(
        e, "grant more subordinate ids: sudo usermod --add-subuids 100000-%lld --add-subgids 100000-%lld $USER",
        100000 + (long long)id, 100000 + (long long)id);
}

static struct err *node_of(struct extract *x, struct archive_entry *e, const char *name, struct node *ret) {
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e), size = archive_entry_size(e);
    if (x->place && (x->place->as_root || !x->place->own))
        uid = gid = 0;
    TRY(check_owner(x, "uid", uid));
    TRY(check_owner(x, "gid", gid));
    if (size < 0)
        return err_new(ERR_CORRUPT, "a negative size");
    long ns = archive_entry_mtime_nsec(e);
    *ret = (struct node){.tree = x->tree,
                         .writer = x->writer,
                         .archive = x->archive,
                         .entry = e,
                         .shared = x->feed->shared,
                         .path = archive_entry_pathname(e),
                         .name = name,
                         .own = !x->place || x->place->own,
                         .uid = (uint32_t)uid,
                         .gid = (uint32_t)gid,
                         .mode = archive_entry_perm(e) & 07777,
                         .times = {{.tv_nsec = UTIME_OMIT},
                                   {.tv_sec = archive_entry_mtime(e), .tv_nsec = ns >= 0 && ns < 1000000000 ? ns : 0}},
                         .size = size,
                         .skipped_xattrs = &x->result.skipped_xattrs};
    return NULL;
}

static struct err *skip_device(struct extract *x, const char *path) {
    x->result.skipped_devices++;
    if (x->skipped.n < SKIPPED_MAX)
        strv_push(&x->skipped, path);
    return NULL;
}

static bool was_skipped(const struct extract *x, const char *target) {
    char wanted[TREE_PATH_MAX], have[TREE_PATH_MAX];
    size_t len, base;
    autoerr e = tree_clean(target, wanted, &len, &base);
    for (size_t i = 0; !e && i < x->skipped.n; i++) {
        autoerr bad = tree_clean(x->skipped.v[i], have, &len, &base);
        if (!bad && str_eq(wanted, have))
            return true;
    }
    return false;
}

static struct err *make_link(struct extract *x, const struct node *n, const char *path, const char *target) {
    struct err *e = node_link(n, target);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    if (!was_skipped(x, target))
        return err_with_kind(e, ERR_CORRUPT);
    err_free(e);
    return skip_device(x, path);
}

static struct err *make_whiteout(struct extract *x, const char *name) {
    if (str_eq(name, OPAQUE)) {
        tree_touch(x->tree);
        return tree_set_opaque(tree_fd(x->tree));
    }
    const char *hidden = name + strlen(WHITEOUT);
    if (hidden[0] == '\0' || str_eq(hidden, ".") || str_eq(hidden, ".."))
        return err_new(ERR_CORRUPT, "a whiteout of nothing");
    return node_whiteout(x->tree, hidden);
}

/* docker's words, and its rule: neither a directory nor anything else gives way to the other. */
static struct err *check_place(const struct extract *x, const char *name, bool directory, const char *path) {
    struct stat st;
    if (fstatat(tree_fd(x->tree), name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) == directory)
        return NULL;
    return err_new(ERR_CONFLICT, "cannot overwrite %s \"%s\" with %s \"%s\"", directory ? "non-directory" : "directory",
                   path, directory ? "directory" : "non-directory", path);
}

static struct err *make_node(struct extract *x, struct archive_entry *e, const struct node *n, const char *path) {
    const char *link = archive_entry_hardlink(e);
    if (link)
        return make_link(x, n, path, link);
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
        return node_file(n);
    case AE_IFDIR:
        return node_dir(n);
    case AE_IFLNK:
        link = archive_entry_symlink(e);
        return node_symlink(n, link ? link : "");
    case AE_IFIFO:
        return node_fifo(n);
    case AE_IFCHR:
    case AE_IFBLK:
        if (x->place)
            return err_new(ERR_DENIED, "only root can make a device");
        return skip_device(x, path);
    case AE_IFSOCK:
        return skip_device(x, path);
    default:
        return err_new(ERR_CORRUPT, "an entry of an unknown type");
    }
}

static struct err *make_entry(struct extract *x, struct archive_entry *e, const char *path) {
    const char *name;
    bool directory = !archive_entry_hardlink(e) && archive_entry_filetype(e) == AE_IFDIR;
    TRY(tree_enter(x->tree, path, &name));
    if (!x->place && str_starts(name, WHITEOUT))
        return make_whiteout(x, name);
    if (name[0] == '\0' && !directory)
        return err_new(ERR_CORRUPT, "the root of the %s is not a directory", x->place ? "archive" : "layer");
    if (x->place) {
        if (name[0] == '\0')
            return NULL;
        TRY(check_place(x, name, directory, path));
    }
    struct node n;
    TRY(node_of(x, e, name, &n));
    return make_node(x, e, &n, path);
}

/* aufs's book-keeping, with all below it. The opaque marker has the same prefix, but is a last component. */
static bool is_meta(const char *path) {
    for (const char *p = strstr(path, WHITEOUT_META); p; p = strstr(p + 1, WHITEOUT_META))
        if ((p == path || p[-1] == '/') && !str_eq(p, OPAQUE))
            return true;
    return false;
}

/* A whiteout that has children. */
static bool is_below_whiteout(const char *path) {
    for (const char *p = strstr(path, WHITEOUT); p; p = strstr(p + 1, WHITEOUT)) {
        const char *slash = strchr(p, '/');
        if ((p == path || p[-1] == '/') && slash && slash[strspn(slash, "/.")])
            return true;
    }
    return false;
}

static struct err *one_entry(struct extract *x, struct archive_entry *e) {
    const char *path = archive_entry_pathname(e);
    if (!path)
        return err_new(ERR_CORRUPT, "an entry without a name");
    if (++x->result.entries > EXTRACT_ENTRIES_MAX)
        return err_new(ERR_CORRUPT, "the layer has more than %d entries", EXTRACT_ENTRIES_MAX);
    if (!x->place && is_meta(path))
        return NULL;
    struct err *bad = !x->place && is_below_whiteout(path) ? err_new(ERR_CORRUPT, "a whiteout is no directory")
                                                           : make_entry(x, e, path);
    if (x->feed_err) {
        err_free(bad);
        return archive_err(x);
    }
    if (bad && x->place && err_kind(bad) == ERR_CONFLICT) /* says it all */
        return bad;
    TRY_CTX(bad, x->place ? "copy \"%s\"" : "entry \"%s\"", path);
    return tree_settle(x->tree);
}

/*
 * libarchive goes on with a warning when it could not make sense of a header, and then the entry is not what its author
 * meant. The exceptions are names that the "C" locale cannot show, which are kept as they are, and ACLs.
 */
static bool warning_is_harmless(struct archive *a) {
    const char *text = archive_error_string(a);
    return text && (strstr(text, "be converted from") || strstr(text, "ACL"));
}

static struct err *all_entries(struct extract *x) {
    if (archive_read_support_format_tar(x->archive) < ARCHIVE_WARN ||
        archive_read_open(x->archive, x, NULL, feed_archive, NULL) != ARCHIVE_OK)
        return archive_err(x);
    struct archive_entry *e;
    int code;
    while ((code = archive_read_next_header(x->archive, &e)) != ARCHIVE_EOF) {
        if (code != ARCHIVE_OK && !(code == ARCHIVE_WARN && warning_is_harmless(x->archive)))
            return archive_err(x);
        TRY(one_entry(x, e));
    }
    return tree_finish(x->tree);
}

static struct err *extract_run(struct extract *x) {
    TRY(tree_root_changed(x->tree));
    TRY(x->feed->next(x->feed->ctx, &x->first, &x->first_n));
    if (x->first_n == 0) /* docker takes no bytes at all for an empty layer, too */
        return NULL;
    TRY(all_entries(x));
    do /* what follows the end of the archive is padding, and part of the digest */
        TRY(x->feed->next(x->feed->ctx, &x->first, &x->first_n));
    while (x->first_n > 0);
    return NULL;
}

/* What cannot be read from its beginning is something else than a broken archive. */
static struct err *no_archive(struct err *take_e) {
    autostr struct str text = STR_INIT;
    err_format(take_e, &text);
    err_free(take_e);
    return err_new(ERR_UNSUPPORTED, "%s", str_c(&text));
}

/* Frees what `x` owns. */
static struct err *extract_with(struct extract *x, struct extract_result *ret) {
    x->archive = archive_read_new();
    struct err *e = x->archive ? extract_run(x) : err_new(ERR_SYSTEM, "cannot set up libarchive");
    if (e && x->place && !x->result.entries && err_kind(e) == ERR_CORRUPT)
        e = no_archive(e);
    archive_read_free(x->archive);
    tree_free(x->tree);
    strv_done(&x->skipped);
    err_free(x->feed_err);
    if (!e)
        *ret = x->result;
    return e;
}

struct err *extract_layer(int rootfd, uint32_t ids, const struct extract_feed *feed, struct writer *writer,
                          struct extract_result *ret) {
    struct extract x = {.feed = feed, .ids = ids, .writer = writer, .tree = tree_new(rootfd)};
    return extract_with(&x, ret);
}

/* Without a writer: one more thread for a command that is short most often, and has a neighbour that feeds it. */
struct err *extract_place(int rootfd, uint32_t ids, const struct extract_place *how, const struct extract_feed *feed,
                          struct extract_result *ret) {
    struct extract x = {.feed = feed, .ids = ids, .place = how, .tree = tree_new(rootfd)};
    tree_set_shared(x.tree, how->follow, how->own);
    return extract_with(&x, ret);
}
