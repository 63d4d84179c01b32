/*
 * build_output: what `coracle build` does with an image that it has made: --output, --push, --load. Images are always
 * made in the local store, where their layers are anyway; one that was wanted elsewhere only gets no name there, and is
 * forgotten again when it was written, unless it was there before.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct build_result;
struct cli_ctx;
struct err;

enum build_output_type { OUTPUT_IMAGE, OUTPUT_DOCKER, OUTPUT_OCI, OUTPUT_LOCAL, OUTPUT_TAR, OUTPUT_NONE };
struct build_output {
    enum build_output_type type;
    char *dest;        /* file or directory; "-": standard output; NULL: none */
    struct strv names; /* as typed */
    bool push;
    bool directory;     /* of type oci: no archive */
    bool rewrite_times; /* rewrite-timestamp */
};
struct build_outputs {
    struct build_output *v; /* none: an image in the store */
    size_t n;
};
struct build_output_flags {
    const struct strv *output; /* "type=oci,dest=x"; "DIR"; "-" */
    bool push, load;
};
/* Reads and checks the flags. Usage errors in buildx's words. Done with build_outputs_done(). */
struct err *build_outputs_parse(const struct build_output_flags *f, struct build_outputs *ret)
    __attribute__((warn_unused_result));
void build_outputs_done(struct build_outputs *o);
/* Whether the image stays in the local store, with its names. */
bool build_outputs_keep(const struct build_outputs *o);
/* Whether one of them wants the times of files rewritten: layers are the same for all. */
bool build_outputs_rewrite_times(const struct build_outputs *o);
/* Whether one of them is the image's files. */
bool build_outputs_files(const struct build_outputs *o);
/* The names of the image: those of -t, and of the outputs. */
void build_outputs_names(const struct build_outputs *o, const struct strv *tags, struct strv *ret);
/* What would only be found wrong when everything is built: a push without a name, a terminal as a file, docker's
 * archive of an `index`, files alone of what is `attested`. */
struct err *build_outputs_check(const struct cli_ctx *c, const struct build_outputs *o, const struct strv *tags,
                                bool index, bool attested) __attribute__((warn_unused_result));
/* Writes and pushes. */
struct err *build_outputs_make(struct cli_ctx *c, const struct build_outputs *o, const struct build_result *r,
                               const struct strv *tags) __attribute__((warn_unused_result));
