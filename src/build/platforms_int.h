/*
 * platforms_int: builds for other platforms than this machine's, and for several. A Dockerfile is evaluated once for
 * each: TARGETPLATFORM and what is derived from it differ, so may the base images, and every stage is looked up in the
 * cache again, where those that do not depend on the platform (FROM --platform=$BUILDPLATFORM) are found as the first
 * platform has left them. Context and Dockerfile are read once.
 *
 * COPY and the configuration need nothing of a platform. RUN starts its programs: the kernel can do that for another
 * architecture where binfmt_misc has an interpreter for them that is opened when it is registered (flag F), for in the
 * container's root it is not to be found.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct build_result;
struct df_instruction;
struct err;
struct exec;
struct host;

/* Reads --platform: each "os/arch[/variant]", several divided by commas, "local" for this machine. Appended to `out` in
 * their normal spelling; a usage error for what is none, is not known, or stands there twice. */
struct err *platforms_parse(const struct host *h, const struct strv *typed, struct strv *out)
    __attribute__((warn_unused_result));
/* Builds for each, and makes the image, or the index of them, with its names. */
struct err *platforms_build(struct exec *x, const struct strv *names, struct build_result *ret)
    __attribute__((warn_unused_result));

/* ---- binfmt.c ---- */

/* Whether an entry of binfmt_misc, as its file says it, runs static programs of an architecture (Go's name) in a
 * container's root. Pure. */
bool binfmt_entry_runs(const char *text, const char *arch);
/* unsupported where this machine cannot run programs of the image's architecture; the way out is with it. */
struct err *binfmt_check(const struct host *h, const char *arch) __attribute__((warn_unused_result));
/* Whether an architecture by that name is known. */
bool binfmt_known(const char *arch);
