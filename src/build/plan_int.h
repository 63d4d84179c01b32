/* plan_int: the stages of a Dockerfile, and which of them a target needs. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "build/dockerfile_int.h"

struct expand;

#define PLAN_NONE ((size_t)-1)

struct plan_stage {
    const struct df_instruction *from;
    const struct df_instruction *first; /* what follows FROM */
    size_t n;
    char *base;     /* image reference, variables replaced; "scratch" */
    char *platform; /* of FROM, or NULL */
    char *name;     /* as given, or "stage-N" */
    bool named;
    size_t base_stage;   /* index of the stage that it starts from, PLAN_NONE: an image */
    size_t *from_stages; /* those that it takes from: its base, --from; each once */
    size_t n_from;
    bool needed;
    size_t steps; /* instructions that make layers, and FROM */
};
struct plan {
    struct plan_stage *stage;
    size_t n;
    size_t target;
    const struct strv *contexts; /* borrowed */
};

struct plan_wish {
    const char *target;          /* a name or number; NULL: the last stage */
    const struct strv *contexts; /* "name=value": what stands for images and stages of that name */
};
/* `global` replaces variables of FROM: the ARGs before the first one. `fault` is set on failure. Done with plan_done().
 */
struct err *plan_make(const struct dockerfile *d, const struct expand *global, const struct plan_wish *wish,
                      struct plan *ret, struct df_fault *fault) __attribute__((warn_unused_result));
/* The value of the context that an image or stage of that name is replaced by, borrowed; NULL: none. ":latest" and the
 * case of letters do not matter. */
const char *plan_context(const struct strv *contexts, const char *name);
void plan_done(struct plan *p);
/* The stage before `before` that a --from means, PLAN_NONE: none is called so. */
size_t plan_find(const struct plan *p, const char *name, size_t before);
/* Whether an instruction makes a layer. */
bool plan_is_step(enum df_kind kind);
