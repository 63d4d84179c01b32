/*
 * shared: the part of engine.h that is about images that several users have in common (storage/shared.h): putting them
 * into a directory for others, and having containers of what others have put there.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct engine;
struct err;
struct store_image;

/*
 * Puts images, or with no names all that have one, into a directory for others, which is made of an empty one. `prune`:
 * takes away what is there besides. *ret_names, owned: what has been put there, as docker writes it.
 */
struct err *engine_share(struct engine *e, const char *dir, const struct strv *names, bool prune,
                         struct strv *ret_names) __attribute__((warn_unused_result));
/* Makes an image's layers that the store lacks of what others share. Fast where there is nothing to do. */
struct err *engine_layers_make(struct engine *e, const struct store_image *img) __attribute__((warn_unused_result));
