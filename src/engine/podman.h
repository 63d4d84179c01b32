/*
 * podman: the part of engine.h that docker has no word for, and podman's users have: waiting for more than an end,
 * names of images that go without the image.
 */
#pragma once

#include <stddef.h>

struct engine;
struct err;
struct strv;

/* Takes names from an image, all of them where `names` is empty; the image stays. not_found for a name that it has not.
 */
struct err *engine_image_untag(struct engine *e, const char *image, const struct strv *names)
    __attribute__((warn_unused_result));
/*
 * Blocks until the container fulfils one of the conditions: created, running, paused, exited, stopped (it does not
 * run), healthy, unhealthy, removed. *ret_code: of one that has ended, else -1. A usage error for another word.
 */
struct err *engine_container_await(struct engine *e, const char *name, const struct strv *conditions, int *ret_code)
    __attribute__((warn_unused_result));
