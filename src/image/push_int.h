/*
 * push_int: the parts of a push. push.c finds out what the reference means and what the registry must have, and writes
 * the manifest when it has it all; upload.c brings one blob there; compress.c makes plain layers of our own into what
 * registries like.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/client_int.h"

struct err;
struct registry;
struct store;
struct store_image;

enum upload_state { UPLOAD_WAITING, UPLOAD_RUNNING, UPLOAD_DONE };
enum upload_step {
    UPLOAD_CHECK,  /* HEAD: is it there? */
    UPLOAD_OPEN,   /* POST: where may it go, or can it be taken over from another repository? */
    UPLOAD_SEND,   /* PUT of all, or PATCH of a chunk, and a PUT in the end */
    UPLOAD_STATUS, /* GET: how much did arrive? */
};

/* One blob on its way. Zero-initialise, set what is above the line, and `file` to -1. */
struct upload {
    const char *digest; /* borrowed */
    int64_t size;
    const char *mount_from; /* a repository of the same registry that has it, or NULL; borrowed */
    int64_t chunk;          /* bytes a request, 0: all of them */
    /* ---- */
    enum upload_state state;
    enum upload_step step;
    struct fetch_xfer xfer; /* of this step */
    int file;
    char *place; /* that the registry has named for it */
    bool elsewhere;
    int64_t taken; /* bytes that the registry has */
    int64_t until; /* where the request under way ends */
    int tries;     /* failures since there was progress */
    int64_t best;  /* `taken` at the last of them */
    bool authorized, mounting, closing;
    const char *outcome; /* "Pushed", "Layer already exists", "Mounted"; static */
};
/* Begins. The registry has answered before (registry_int.h). */
struct err *upload_start(struct registry *r, struct store *s, struct upload *u) __attribute__((warn_unused_result));
/* xfer.done: goes on, to UPLOAD_DONE in the end. */
struct err *upload_advance(struct registry *r, struct store *s, struct upload *u) __attribute__((warn_unused_result));
/* Stops what runs and frees what it holds. */
void upload_done(struct registry *r, struct upload *u);
/* The last byte's number + 1 of "0-99" or "bytes=0-99"; -1 when it is nothing like that. Pure. */
int64_t upload_range_end(const char *range);

/*
 * Compresses the plain layers of an image that no registry has given us, to "gzip" or "zstd", and records what became
 * of them: the image's id stays (it is of the config), its manifest is another one. What another image has compressed
 * is taken over. Nothing to do is no error.
 */
struct err *push_compress(struct store *s, struct store_image *img, const char *format)
    __attribute__((warn_unused_result));
/* The same, and nothing is recorded: img->layers say what became of them. */
struct err *push_compress_layers(struct store *s, struct store_image *img, const char *format)
    __attribute__((warn_unused_result));
