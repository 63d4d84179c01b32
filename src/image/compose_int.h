/* compose_int: images made here: what import and commit share. */
#pragma once

#include "base/str.h"
#include "image/archive_int.h"
#include "image/pull_int.h"
#include "storage/store.h"

struct err;
struct image_ref;

struct new_layer {
    struct store *store;
    struct unpack_ns ns;
    char *tmp;
    int tmp_fd; /* -1 */
    struct store_unpacked unpacked;
    struct made_layer made;
};
/* Reads a tar into a layer on top of `parent` (a chain_id, or NULL), and its bytes into a blob. Done with
 * new_layer_done(), also after a failure. */
struct err *new_layer_read(struct new_layer *l, int fd, const char *parent) __attribute__((warn_unused_result));
void new_layer_done(struct new_layer *l);

struct new_image {
    struct store *store;
    const struct str *config;        /* its text */
    const struct made_layer *layers; /* all of them, bottom first, with diff_size */
    size_t n_layers;
    const struct image_ref *ref;    /* its name, or NULL */
    const struct strv *names;       /* or several, canonical; or NULL */
    const struct json *annotations; /* of the manifest, or NULL */
};
/* Stores config and manifest as blobs; *ret is what would be recorded (store_image_free()). `ref` and `names` do not
 * matter. */
struct err *new_image_write(const struct new_image *n, struct store_image **ret) __attribute__((warn_unused_result));
/* The same, and makes the image visible with its name. */
struct err *new_image_record(const struct new_image *n, char ret_id[65]) __attribute__((warn_unused_result));
