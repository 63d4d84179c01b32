/*
 * location: where an image is, in the words of podman and skopeo: a registry, or a file or directory that holds images.
 *
 *     docker://REFERENCE           a registry: the same as REFERENCE alone
 *     docker-archive:FILE[:REF]    what `docker save` writes; REF or @N picks one of its images
 *     oci-archive:FILE[:TAG]       an OCI layout in a tar
 *     oci:DIR[:TAG]                an OCI layout in a directory
 *     dir:DIR                      skopeo's directory of one image
 *
 * A path ends at the first ':' behind it. docker has no such words: where one of them may as well be the name of a
 * repository with a tag ("oci:1.0") it is that, unless there is a file of that name. What only a daemon or another
 * engine's store could give (docker-daemon:, containers-storage:) is refused with the way to have it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

struct err;
struct host;
struct store;
struct store_image;
struct strv;

enum image_transport { IMAGE_REGISTRY, IMAGE_DOCKER_ARCHIVE, IMAGE_OCI_ARCHIVE, IMAGE_OCI, IMAGE_DIR };

struct image_location {
    enum image_transport transport;
    char *path;      /* NULL of a registry */
    char *reference; /* of a registry; else the image's name, tag or "@N" within it, or NULL */
};
/* Parses what a user typed where an image is wanted. */
struct err *image_location_parse(const char *text, struct image_location *ret) __attribute__((warn_unused_result));
void image_location_done(struct image_location *l);
#define autolocation __attribute__((cleanup(image_location_done))) struct image_location

/* The word before ':' ("oci-archive"), static. */
const char *image_transport_name(enum image_transport transport);
/* The name that an image gets which has none of its own there: localhost/<last part of the path>:<tag>, canonical,
 * owned; NULL where that is no reference. */
char *image_location_name(const struct image_location *l);

/* ---- save and load ---- */

enum image_format {
    IMAGE_SAVE_DOCKER,  /* an archive as docker ≥ 25 writes it: an OCI layout with manifest.json beside it */
    IMAGE_SAVE_OCI,     /* an OCI layout, in an archive */
    IMAGE_SAVE_OCI_DIR, /* an OCI layout, in a directory */
    IMAGE_SAVE_DIR      /* skopeo's directory of one image */
};
struct image_save {
    struct store *store;
    const struct strv *names;    /* as typed by the user, resolved here; or NULL: */
    struct store_image *content; /* what is no image: its blobs and its manifest are in the store; in layouts alone */
    enum image_format format;
    const char *index; /* digest of the index that is meant, where the one image is named by its id; or NULL */
    const char *as; /* what the one image is called there: a reference in docker's archive, a tag in a layout; NULL: its
                       own names */
    bool add;       /* a directory may be a layout already, which gets the image beside what it has */
    int fd;         /* a file, or an empty directory */
};
/* Writes images. */
struct err *image_save(const struct image_save *s) __attribute__((warn_unused_result));

struct image_load {
    const struct host *host;
    struct store *store;
    int fd;                            /* an archive, or a directory (location.h) */
    const struct image_location *from; /* what the user named it by, and which image of it; NULL: all that is there */
    const char *platform;
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
    struct image_progress_fn progress;
};
/* Loads a docker or OCI archive, or a directory in OCI's or skopeo's form. Appends canonical references ("Loaded image:
 * …") and bare ids of unnamed images. */
struct err *image_load(const struct image_load *l, struct strv *ret_references, struct strv *ret_ids)
    __attribute__((warn_unused_result));
