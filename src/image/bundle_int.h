/* bundle_int: an index as those see it that send or write all of it. */
#pragma once

#include "base/str.h"

struct err;
struct store;
struct store_image;

/* What a manifest consists of, whatever it is of: `ret` has its digest and media type, its config, and its layers,
 * which are called by the digests of their blobs. Nothing is there to be run. */
struct err *manifest_content(const struct str *text, const char *digest, struct store_image **ret)
    __attribute__((warn_unused_result));
/* Calls fn for each manifest of an index whose blobs are in the store. not_found where one of them is missing. */
struct err *bundle_each(const struct store *s, const char *index,
                        struct err *(*fn)(void *ctx, struct store_image *content), void *ctx)
    __attribute__((warn_unused_result));
/* The digests of its blobs, the index itself first. Appended, each once. */
struct err *bundle_blobs(const struct store *s, const char *index, struct strv *out)
    __attribute__((warn_unused_result));
