/*
 * store_fixture: a store in a fresh directory, with what the store tests need to fill it. The store's root is made
 * below TMPDIR or /tmp and removed at the end.
 */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "storage/store.h"
#include "unit.h"

struct fixture {
    char *dir; /* holds root and run */
    struct host host;
    struct store *s;
};

static void fixture_open(struct fixture *f) {
    *f = (struct fixture){0};
    const char *tmp = getenv("TMPDIR");
#ifdef FIXTURE_IN_MEMORY
    if (!tmp && access("/dev/shm", W_OK) == 0)
        tmp = "/dev/shm";
#endif
    f->dir = mem_printf("%s/coracle-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(f->dir)) {
        perror(f->dir);
        exit(1);
    }
    f->host.data_root = mem_printf("%s/root", f->dir);
    f->host.run_root = mem_printf("%s/run", f->dir);
    f->host.boot_id = mem_dup("00000000-1111-2222-3333-444444444444");
    f->host.uid = getuid();
    f->host.gid = getgid();
    CHECK_OK(store_open(&f->host, &f->s));
}

static void fixture_close(struct fixture *f) {
    store_free(f->s);
    CHECK_OK(io_remove_tree(AT_FDCWD, f->dir));
    free(f->host.data_root);
    free(f->host.run_root);
    free(f->host.boot_id);
    free(f->dir);
}

/* Digest of a text, into ret. */
static inline void digest_text(const char *text, char ret[DIGEST_LEN + 1]) {
    CHECK_OK(digest_of(text, strlen(text), ret));
}

/* Stores a text as a blob. */
static inline void put_blob(struct store *s, const char *text, char ret[DIGEST_LEN + 1]) {
    digest_text(text, ret);
    CHECK_OK(store_blob_put(s, ret, text, strlen(text)));
}

/* An empty layer whose diff id is the digest of a text, on top of `parent` (NULL: the first). Returns its diff
 * directory. */
static inline int put_layer(struct store *s, const char *parent, const char *text, char ret_diff[72],
                            char ret_chain[72]) {
    int dir = -1;
    digest_text(text, ret_diff);
    CHECK_OK(store_chain_id(parent, ret_diff, ret_chain));
    autofree char *path = mem_printf("%s/diff", digest_hex(ret_chain));
    CHECK_OK(io_mkdirs(store_dirfd(s, "layers"), path, 0755));
    CHECK_OK(fd_open_dir(store_dirfd(s, "layers"), path, &dir));
    return dir;
}

/* An image of two layers and a config made from `text`; its id into ret. */
static inline void put_image(struct store *s, const char *text, char ret_id[ID_LEN + 1], char ret_top[72]) {
    char config[72], manifest[72], blob[2][72], diff[2][72], chain[2][72];
    struct store_layer_ref refs[2] = {0};
    for (int i = 0; i < 2; i++) {
        autofree char *layer = mem_printf("%s layer %d", text, i), *raw = mem_printf("%s blob %d", text, i);
        close(put_layer(s, i ? chain[0] : NULL, layer, diff[i], chain[i]));
        put_blob(s, raw, blob[i]);
        refs[i] = (struct store_layer_ref){
            .blob = blob[i], .diff_id = diff[i], .chain_id = chain[i], .size = 1, .diff_size = 2};
    }
    autofree char *c = mem_printf("%s config", text), *m = mem_printf("%s manifest", text);
    put_blob(s, c, config);
    put_blob(s, m, manifest);
    char id[ID_LEN + 1];
    memcpy(id, digest_hex(config), sizeof id);
    const struct store_image img = {
        .id = id, .manifest = manifest, .config = config, .created = 5, .size = 4, .layers = refs, .n_layers = 2};
    CHECK_OK(store_image_put(s, &img));
    memcpy(ret_id, id, sizeof id);
    memcpy(ret_top, chain[1], 72);
}

/* Creates a container over an image (both may be NULL) and gives its id. */
static inline struct err *make_container(struct store *s, const char *name, const char *image, const char *layer,
                                         char ret_id[ID_LEN + 1]) {
    autojson summary = json_object();
    autojson state = json_object();
    autojson config = json_object();
    autojson options = json_object();
    id_random(ret_id);
    json_set_str(summary, "Id", ret_id);
    json_set_str(summary, "Name", name);
    if (image)
        json_set_str(summary, "Image", image);
    struct json *layers = json_array();
    if (layer)
        json_push_str(layers, layer);
    json_set(summary, "Layers", layers);
    json_set_str(state, "Status", "created");
    const struct store_container_new c = {
        .id = ret_id, .name = name, .config = config, .options = options, .summary = summary, .state = state};
    return store_container_create(s, &c, NULL, NULL);
}

/* Points a name at an image as its record has it. */
static inline struct err *store_ref_set(struct store *s, const char *ref, const char *image_id) {
    const struct store_target to = {.image = image_id};
    return store_ref_set_to(s, ref, &to);
}
