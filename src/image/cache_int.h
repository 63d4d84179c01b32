/* cache_int: what cache.c and cache_write.c share: the type of a cache's config, and layout directories. */
#pragma once

#include <stddef.h>

struct descriptor;
struct err;
struct image_cache;
struct str;

#define MEDIA_CACHE_CONFIG "application/vnd.coracle.build.cache.v1+json"

/* Appends a small blob of a layout; corrupt where it is not what its name says. */
struct err *cache_layout_blob(int layout, const char *digest, struct str *out) __attribute__((warn_unused_result));
/* What a layout's index has by that tag or digest, and how many entries it has; descriptor_done(). */
struct err *cache_layout_find(int layout, const char *name, struct descriptor *ret, size_t *ret_entries)
    __attribute__((warn_unused_result));
/* A cache as a manifest and its config describe it, with no place to take anything from: the reading alone. */
struct err *cache_of_texts(const char *manifest, size_t n, const struct str *config, struct image_cache **ret)
    __attribute__((warn_unused_result));
