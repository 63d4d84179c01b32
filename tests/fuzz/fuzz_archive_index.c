/*
 * What `load` makes of an archive's index.json or manifest.json. The input is parts, separated by 0xff: the bits of the
 * first byte choose the kind of archive, and what of it is asked for; the first part is its index, the others are
 * blobs; "@3" in a part stands for the hex digest of the third, and "#3" for its length, so that an index can name a
 * manifest and a manifest a config. The store is a stub: nothing is unpacked or written. What would be published has
 * canonical references and full ids, and an index only with all that it consists of.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/archive_int.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "storage/archive.h"
#include "storage/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PARTS_MAX 16

static struct part {
    struct str text;
    char digest[DIGEST_LEN + 1];
} parts[PARTS_MAX];
static size_t n_parts;

static struct err *stub_read(const char *name, struct str *out) {
    for (size_t i = 0; i < n_parts; i++) {
        if (strcmp(digest_hex(parts[i].digest), name) != 0)
            continue;
        str_append_n(out, str_c(&parts[i].text), parts[i].text.len);
        return NULL;
    }
    return err_new(ERR_NOT_FOUND, "no file %s", name);
}

static bool stub_has(const char *digest) {
    if (!digest_ok(digest))
        abort();
    return false;
}

static void check_name(const char *ref) {
    struct image_ref r = {0};
    autoerr e = image_ref_parse(ref, &r);
    if (e)
        abort();
    autofree char *canonical = image_ref_canonical(&r);
    if (strcmp(canonical, ref) != 0)
        abort();
    image_ref_done(&r);
}

static struct err *stub_image(const struct store_image *img, const struct strv *names, bool *ret_changed) {
    if (!path_is_hex64(img->id) || !digest_ok(img->config) || !img->os || !img->arch)
        abort();
    if (img->index && !digest_ok(img->index))
        abort();
    for (size_t i = 0; i < img->extra.n; i++)
        if (!img->index || !digest_ok(img->extra.v[i]))
            abort();
    for (size_t i = 0; i < names->n; i++)
        check_name(names->v[i]);
    *ret_changed = true;
    return NULL;
}

static struct store_archive archive;

static struct err *stub_archive(struct store_archive **ret) {
    *ret = &archive;
    return NULL;
}

#define store_hold(s, fd) ((void)(s), (void)(fd), NULL)
#define store_archive_read(s, fd, ret) stub_archive(ret)
#define store_archive_free(s, a) ((void)(a))
#define store_blob_has(s, digest) stub_has(digest)
#define store_blob_read(s, digest, max, out) stub_read(digest_hex(digest), out)
#define io_read_file(dir, name, max, out) stub_read(name, out)
#define store_blob_adopt(s, digest, dir, name) ((void)(s), (void)(name), NULL)
#define store_blob_put(s, digest, data, n) ((void)(s), (void)(digest), (void)(data), NULL)
#define store_dirfd(s, which) (-1)
#define faccessat(dir, name, mode, flags) ((void)(dir), (void)(name), 0)
#define layer_type_of(dir, name, ret)                                                                                  \
    ((void)(dir), (void)(name), *(ret) = "application/vnd.oci.image.layer.v1.tar", NULL)
#define layers_bring_in(l, img, n) ((void)(l), (void)(n), NULL)
#define store_image_put_named(s, img, names, changed) stub_image(img, names, changed)
#include "image/load.c" /* NOLINT(bugprone-suspicious-include): over the stubs above */

static void expand(const uint8_t *from, size_t n, struct str *out) {
    for (size_t i = 0; i < n; i++) {
        bool digest = from[i] == '@', size = from[i] == '#';
        size_t k = (digest || size) && i + 1 < n ? (size_t)from[i + 1] - '0' : PARTS_MAX;
        if (k < n_parts && *parts[k].digest) {
            if (digest)
                str_append(out, digest_hex(parts[k].digest));
            else
                str_appendf(out, "%zu", parts[k].text.len);
            i++;
        } else {
            str_append_c(out, (char)from[i]);
        }
    }
}

static void add_member(size_t i, char *take_name) {
    struct store_member *m = &archive.m[archive.n++];
    m->name = take_name;
    m->size = (int64_t)parts[i].text.len;
    memcpy(m->digest, parts[i].digest, sizeof parts[i].digest);
}

/* The last part first: what is named is known by then. */
static void make_parts(const uint8_t *data, size_t size) {
    const uint8_t *begin[PARTS_MAX];
    size_t len[PARTS_MAX];
    for (n_parts = 0; n_parts < PARTS_MAX; n_parts++) {
        const uint8_t *end = size ? memchr(data, 0xff, size) : NULL;
        begin[n_parts] = data;
        len[n_parts] = end ? (size_t)(end - data) : size;
        data += len[n_parts] + (end != NULL);
        size -= len[n_parts] + (end != NULL);
        parts[n_parts].digest[0] = '\0';
        if (!end) {
            n_parts++;
            break;
        }
    }
    for (size_t i = n_parts; i-- > 0;) {
        parts[i].text = (struct str)STR_INIT;
        expand(begin[i], len[i], &parts[i].text);
        err_free(digest_of(str_c(&parts[i].text), parts[i].text.len, parts[i].digest));
    }
}

enum {
    LAYOUT = 1,
    ANY_PLATFORM = 2, /* an index stays one */
    DIRECTORY = 4,
    CHOSEN = 8 /* one of its images is asked for */
};

static void make_archive(uint8_t how) {
    static struct store_member members[PARTS_MAX + 3];
    archive = (struct store_archive){.tmp_fd = -1, .m = members};
    add_member(0, mem_dup(how & LAYOUT ? "index.json" : "manifest.json"));
    if (how & LAYOUT)
        add_member(0, mem_dup("oci-layout"));
    else if (how & DIRECTORY)
        add_member(0, mem_dup("version"));
    for (size_t i = 1; i < n_parts; i++)
        add_member(i, mem_printf("%s%s", how & DIRECTORY ? "" : "blobs/sha256/", digest_hex(parts[i].digest)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char path[] = "/a.tar", tag[] = "x:1";
    static const struct host host = {.config_dir = NULL}; /* whose rules for signatures are the machine's, if any */
    static const struct image_location location = {.transport = IMAGE_DOCKER_ARCHIVE, .path = path, .reference = tag};
    if (size < 1)
        return 0;
    make_parts(data + 1, size - 1);
    make_archive(data[0]);
    const struct image_load l = {.fd = -1,
                                 .platform = data[0] & ANY_PLATFORM ? NULL : "linux/amd64",
                                 .from = data[0] & CHOSEN ? &location : NULL,
                                 .host = &host};
    autostrv struct strv refs = {0}, ids = {0};
    err_free(image_load(&l, &refs, &ids));
    for (size_t i = 0; i < archive.n; i++)
        free(archive.m[i].name);
    for (size_t i = 0; i < n_parts; i++)
        str_done(&parts[i].text);
    return 0;
}
