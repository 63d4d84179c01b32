/* exec_int: what the files of the executor share. */
#pragma once

#include <errno.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "build/attest_int.h"
#include "build/build.h"
#include "build/caches_int.h"
#include "build/check_int.h"
#include "build/context_int.h"
#include "build/dockerfile_int.h"
#include "build/expand_int.h"
#include "build/export_int.h"
#include "build/plan_int.h"
#include "build/progress_int.h"
#include "engine/build.h"
#include "image/build.h"
#include "storage/store.h"

/* A stage as far as it has been built. */
struct state {
    struct json *config;            /* the OCI image config that it would have now */
    struct store_layer_ref *layers; /* bottom first */
    size_t n;
    struct {
        size_t layers, history; /* how much of both is the base image's */
        char id[65];            /* "": there is none */
    } base;
    char key[DIGEST_LEN + 1]; /* of everything that the layers were made from */
    struct strv args;         /* NAME=VALUE: the ARGs in effect */
    struct strv declared;     /* names of all, also of those without a value */
    bool cmd_set;             /* CMD stood in this stage: ENTRYPOINT leaves it */
    bool no_cache;
    struct strv records;  /* keys of the build cache that this stage has taken or made */
    struct json *pending; /* records, by key, whose layers are known and not here yet (caches_int.h); or NULL */
    struct json *mounts;  /* cache mounts that its commands have, as caches_int.h has them; NULL: none */
    int64_t when;         /* ns: when the uppermost layer was made, so that what is cached is the same image again */
};

struct exec {
    const struct build_options *o;
    struct store *store;
    struct dockerfile d;
    struct str text;  /* of the Dockerfile */
    const char *file; /* what it is called, for people */
    struct plan plan;
    struct state *state; /* one for each stage */
    size_t at;           /* index of the stage that is being built */
    size_t step;
    int64_t epoch;      /* SOURCE_DATE_EPOCH in ns, -1: not given */
    int64_t latest;     /* times of files in layers that are later become this one (s), INT64_MAX: none do */
    struct strv global; /* NAME=VALUE: ARGs before the first FROM */
    struct strv used;   /* names of --build-arg that an ARG took */
    struct export_annotations annotations;
    struct json *materials; /* what stages take from elsewhere, as provenance has it; NULL: nothing yet */
    int64_t started;        /* ns */
    struct strv platforms;  /* --platform; none: this machine's */
    const char *platform;   /* the one of them that is built for, or NULL */
    struct caches caches;   /* --cache-from, --cache-to */
    struct ignore *ignore;
    struct check_config checks;
    int context; /* directory, or -1; of context_files */
    struct context context_files;
    struct progress progress;
    struct board *board; /* of the process that shows what all say */
    size_t failed;       /* what failed: 0, or a stage, from 1, as the board numbers them */
    struct df_fault fault;
};

/* The stage that is being built. */
static inline struct state *exec_state(struct exec *x) { return &x->state[x->at]; }
/* Its image's "config" object. */
struct json *exec_config(struct exec *x);
/* Variables as they are now; borrowed. */
struct expand exec_expand(struct exec *x);
/* A word with its variables replaced, owned. */
struct err *exec_word(struct exec *x, const char *word, char **ret) __attribute__((warn_unused_result));
/* Begins a vertex "[build 2/5] RUN …". */
void exec_vertex(struct exec *x, const struct df_instruction *in);
/* When the image became what it is now, or what SOURCE_DATE_EPOCH says. */
void exec_time(const struct exec *x, struct str *out);
/* Adds an instruction, with its words (history_int.h), to the image's history; or a text; `layer`: it made one. */
void exec_history(struct exec *x, enum df_kind kind, const struct strv *words);
void exec_history_text(struct exec *x, const char *created_by, bool layer);
/* A work over the layers so far. `trees` of its image mounts (engine_base), or NULL. */
struct err *exec_work(struct exec *x, const struct container_options *options, const struct json *trees,
                      struct engine_work **ret) __attribute__((warn_unused_result));

/* The same without a command, for its root alone. */
struct err *exec_root(struct exec *x, const struct state *s, struct engine_work **ret)
    __attribute__((warn_unused_result));

/* What has changed in a work, as a layer on top of `below` (NULL: of none); owned: image_layer_done(). */
struct err *exec_layer(struct exec *x, struct engine_work *w, const struct state *below, struct store_layer_ref *ret)
    __attribute__((warn_unused_result));
/* Adds to a recipe of a key that times of files are clamped, where they are. */
void exec_add_latest(const struct exec *x, char **recipe);
/* The chain id of a state, borrowed; NULL: it has no layer. */
const char *state_top(const struct state *s);
/* Chain ids of a state's layers, appended. */
void state_layers(const struct state *s, struct strv *out);
/* Puts a layer on top; takes what *take_layer has. */
void state_push(struct state *s, const struct store_layer_ref *take_layer);
/* Notes that the stage has to do with a record of the cache. */
void state_used(struct state *s, const char *key);
void state_done(struct state *s);
/* Makes *ret a copy of what a stage has become. */
void state_copy(const struct state *s, struct state *ret);

/* What a stage has become, in a memory file, and back; with it comes which --build-arg it has used. */
struct err *state_pack(const struct exec *x, int *ret_fd) __attribute__((warn_unused_result));
struct err *state_unpack(struct exec *x, int fd, struct state *ret) __attribute__((warn_unused_result));
struct json *layer_to_json(const struct store_layer_ref *l) __attribute__((returns_nonnull, warn_unused_result));
void layer_from_json(const struct json *j, struct store_layer_ref *ret);

/* ---- exec.c, exec_stages.c ---- */

/* Calls fn with a build that has a store and a board, and nothing else yet. `excerpt` gets what explains its error. */
struct err *exec_do(const struct build_options *o, struct err *(*fn)(struct exec *x, void *ctx), void *ctx,
                    struct str *excerpt) __attribute__((warn_unused_result));
/* Reads the context's .dockerignore and the Dockerfile, and plans the stages. */
struct err *exec_load(struct exec *x) __attribute__((warn_unused_result));
/* The last part of that: for x->platform, after exec_forget_stages(). */
struct err *exec_plan(struct exec *x) __attribute__((warn_unused_result));
void exec_forget_stages(struct exec *x);
/* Variables that are there before the first ARG, appended: NAME=VALUE. */
struct err *exec_predefined(const struct exec *x, struct strv *out) __attribute__((warn_unused_result));
/* Builds one stage; those that it takes from are there. */
struct err *exec_stage(struct exec *x, size_t index) __attribute__((warn_unused_result));
/* Builds all that the target needs: x->at is it then, and its layers are here. */
struct err *exec_stages(struct exec *x) __attribute__((warn_unused_result));

/* ---- exec_check.c ---- */

/* Finds out which checks are wanted. */
struct err *exec_check_config(struct exec *x) __attribute__((warn_unused_result));
/* Makes them, of the stages that a plan needs (NULL: of all); `ret` may be NULL. Where warnings are errors, the error,
 * and its place in x->fault. */
struct err *exec_check(struct exec *x, const struct plan *plan, struct check_warnings *ret)
    __attribute__((warn_unused_result));
/* Warnings in buildx's three forms: after a build, of --check, and as an object. */
void exec_check_summary(const struct exec *x, const struct check_warnings *w, struct str *out);
void exec_check_text(const struct exec *x, const struct check_warnings *w, struct str *out);
struct json *exec_check_json(const struct exec *x, const struct check_warnings *w)
    __attribute__((returns_nonnull, warn_unused_result));
/* Lines as BuildKit's "location". */
struct json *exec_location(unsigned first, unsigned last) __attribute__((returns_nonnull, warn_unused_result));
/* --build-arg as NAME=VALUE, those of the caller's environment with its values. Appended. */
void exec_given_args(const struct exec *x, struct strv *out);

/* ---- exec_config.c ---- */

/* An instruction that only changes the configuration. */
struct err *exec_configure(struct exec *x, const struct df_instruction *in) __attribute__((warn_unused_result));
/* ARG; `global`: before the first FROM. */
struct err *exec_arg(struct exec *x, const struct df_instruction *in, bool global) __attribute__((warn_unused_result));
/* Puts the shell before a command that is not an array. */
void exec_command(struct exec *x, const struct df_instruction *in, const char *text, struct strv *out);

/* ---- exec_from.c ---- */

/* Makes the state that a stage begins with. */
struct err *exec_from(struct exec *x) __attribute__((warn_unused_result));
/* The layers and config of an image that is named, pulled where it is missing. */
struct err *exec_image(struct exec *x, const char *reference, const char *platform, struct state *ret)
    __attribute__((warn_unused_result));

/* ---- exec_source.c ---- */

struct pack;
struct source {
    struct exec *x;
    int root;                    /* of the tree; -1 until source_open() */
    const struct ignore *ignore; /* what it leaves out, or NULL */
    int64_t uid, gid;            /* whose everything in it is; -1: as it is */
    const struct state *layers;  /* what it is made of; NULL: a directory of the user's */
    struct state image;          /* behind `layers`, where it is an image */
    struct engine_work *work;    /* that `root` is of */
    struct ignore *own_ignore;
    struct context files; /* behind `root`, where it is a build context of its own */
    bool lasting;         /* `root` is a directory of the user's, in which files are the same the next time */
};
#define SOURCE_INIT                                                                                                    \
    { .root = -1, .uid = -1, .gid = -1, .files = CONTEXT_INIT }
/* What a --from means; NULL: the context. Done with source_done(), also on failure. */
struct err *source_find(struct exec *x, const char *from, struct source *ret) __attribute__((warn_unused_result));
/* Puts its root together, where that was not done. A usage error where there is no context. */
struct err *source_open(struct source *s) __attribute__((warn_unused_result));
/* What a path in it is (NULL: all), as the content of "/"; the caller frees ret->sources. */
void source_pack(const struct source *s, const char *path, struct pack *ret);
/* The value of the --build-context that has an image's or stage's name, borrowed; NULL: there is none. */
const char *source_named(const struct exec *x, const char *name);
/* Whether such a value means an image; then *ret_reference is what exec_image() takes, owned. */
bool source_is_image(const char *value, char **ret_reference);
/* The digest of what `p` (its root is this one) takes of it; `recipe` says all that `p` says, as text. */
struct err *source_digest(struct source *s, const struct pack *p, const char *recipe, char ret[DIGEST_LEN + 1])
    __attribute__((warn_unused_result));
/* What `p` takes of it, as a layer that lies on none, made once; owned: image_layer_done(). */
struct err *source_snapshot(struct source *s, const struct pack *p, const char *content, struct store_layer_ref *ret)
    __attribute__((warn_unused_result));
/* Puts what a pack takes into the root of a work. */
struct err *source_place(struct exec *x, struct engine_work *w, int root, const struct pack *p)
    __attribute__((warn_unused_result));
void source_done(struct source *s);
#define autosource __attribute__((cleanup(source_done))) struct source

/* ---- exec_run.c, exec_copy.c ---- */

struct err *exec_run(struct exec *x, const struct df_instruction *in) __attribute__((warn_unused_result));
struct err *exec_copy(struct exec *x, const struct df_instruction *in) __attribute__((warn_unused_result));
struct err *exec_workdir(struct exec *x, const struct df_instruction *in) __attribute__((warn_unused_result));

/* ---- cache.c ---- */

/* A step that may be in the cache. */
struct cache_step {
    char key[DIGEST_LEN + 1];
    const char *text; /* the instruction, borrowed */
    bool link;        /* its layer does not depend on what it lies on, and neither does its key */
};
/* Fills in the key: the digest of what the step is made of and, but for `link`, of the step before. */
struct err *cache_key(const struct exec *x, const char *recipe, struct cache_step *step)
    __attribute__((warn_unused_result));
/* The layer of a key, where it is here and lies on those of `below`; owned: image_layer_done(). */
struct err *cache_layer_get(struct exec *x, const char *key, const struct state *below, struct store_layer_ref *ret,
                            bool *ret_hit) __attribute__((warn_unused_result));
struct err *cache_layer_put(struct exec *x, const char *key, const char *step, const struct store_layer_ref *layer)
    __attribute__((warn_unused_result));
/* A record as the store has it. */
struct json *cache_record(const char *step, const struct store_layer_ref *layer, int64_t when, bool link)
    __attribute__((returns_nonnull, warn_unused_result));
/* A digest that was computed once and stays true: of a part of layers. */
struct err *cache_note_get(struct exec *x, const char *key, char ret[DIGEST_LEN + 1], bool *ret_known)
    __attribute__((warn_unused_result));
struct err *cache_note_put(struct exec *x, const char *key, const char *digest) __attribute__((warn_unused_result));
/* Takes the step from the cache: *ret_hit. The state has its layer and key then. */
struct err *cache_take(struct exec *x, const struct cache_step *step, bool *ret_hit)
    __attribute__((warn_unused_result));
/* Puts a new layer on the state, and into the cache. */
struct err *cache_put(struct exec *x, const struct cache_step *step, struct store_layer_ref *take_layer)
    __attribute__((warn_unused_result));
