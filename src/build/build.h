/*
 * build: images from Dockerfiles, as BuildKit makes them.
 *
 * A build goes through four stages, each in files of its own. The Dockerfile becomes instructions (dockerfile*.c, pure:
 * every rule of its language, every error with its place). The plan (plan.c) finds the stages that the target needs;
 * others are never run. The executor (exec*.c) carries one configuration and one list of layers from instruction to
 * instruction: RUN is a container of our own runtime over the layers so far, COPY and ADD are a tar that is put into
 * such a container's root without starting it, and what either has changed becomes a layer; the other instructions
 * only change the configuration. The cache (cache.c) knows a layer by the digest of everything that it was made from:
 * the step before, the instruction with its variables replaced, the contents of what is copied; a step whose digest is
 * known is not done again. At the end layers and configuration are an image, and get their names at one moment: a build
 * that fails or is killed leaves layers in the cache and nothing else.
 *
 * Nothing of a Dockerfile or of a context is followed out of its root: paths are resolved by openat2(RESOLVE_IN_ROOT),
 * by a process that is root of the user namespace and nobody outside. What is not supported is an error with its place
 * and the reason, never skipped.
 *
 * Stages are built side by side, each by a process of its own, which ends with the build, however that ends; so do the
 * containers of its steps, which nobody else sees. Progress goes to a descriptor in one of four forms (board_int.h);
 * nothing else is printed here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct container_options;
struct engine;
struct err;
struct host;
struct json;

/* What is said about the images, beside them: none of it unless it is asked for. */
struct build_attest {
    bool provenance, sbom;
    bool reproducible; /* so says the user of his build */
    char *builder_id;
};
struct build_attest_flags {
    const struct strv *attest;     /* "type=provenance,mode=min", "type=sbom" */
    const char *provenance, *sbom; /* "true", "false", "mode=min"; or NULL */
};
/* Reads them. Done with build_attest_done(). */
struct err *build_attest_parse(const struct build_attest_flags *f, struct build_attest *ret)
    __attribute__((warn_unused_result));
void build_attest_done(struct build_attest *a);

enum build_form { BUILD_SILENT, BUILD_PLAIN, BUILD_TTY, BUILD_RAWJSON };
/* How a build is shown, and where. */
struct build_look {
    enum build_form form;
    int fd;
    bool colour; /* of BUILD_TTY */
};

struct build_options {
    const struct host *host;
    struct engine *engine;
    const char *context;            /* a directory; a URL of a tar, a Dockerfile or a git repository; "-": a tar or a
                                       Dockerfile on `in_fd` */
    int in_fd;                      /* for "-", and for file "-" */
    const char *file;               /* the Dockerfile, or NULL; "-": in_fd; a URL */
    const struct strv *tags;        /* as typed */
    const struct strv *args;        /* NAME=VALUE, or NAME: the caller's environment has it */
    const struct strv *labels;      /* KEY=VALUE */
    const struct strv *annotations; /* of the manifest: KEY=VALUE, perhaps with "manifest:" in front */
    const struct strv *no_cache_filter;  /* stages */
    const struct strv *secrets;          /* "id=x,src=path", "id=x,env=NAME" */
    const struct strv *ssh;              /* "default", "id", "id=socket" */
    const struct strv *contexts;         /* "name=directory", "name=docker-image://reference" */
    const struct strv *cache_from;       /* "reference", "type=local,src=directory" */
    const struct strv *cache_to;         /* "type=inline", "type=local,dest=directory,mode=max,mounts=true" */
    const struct container_options *run; /* what RUN gets: network, hosts, limits; the rest is filled in here */
    const char *target;                  /* or NULL */
    const struct strv *platforms;        /* "linux/arm64", "linux/amd64,linux/arm64"; none: this machine's */
    bool no_cache, pull;
    bool host_network; /* RUN may have --network=host */
    const struct build_attest *attest;
    bool squash;        /* the layers that the build makes become one */
    bool passing;       /* the image is only written somewhere else, by who calls: it does not stay in the store */
    bool want_each;     /* of several platforms each becomes an image of the store: result.members */
    bool debug_shell;   /* a shell where a RUN has failed; standard input and output are a terminal */
    bool rewrite_times; /* with SOURCE_DATE_EPOCH, no file of a layer that is made has a later time */
    bool explain;       /* warnings come with their reasons and lines */
    struct build_look look;
    const int *interrupted_fd;
};
struct build_member {
    char *platform; /* "linux/arm64" */
    char id[65];
};
struct build_result {
    char id[65];    /* of an index: of its image for this machine */
    char index[72]; /* digest of the index; "": it is one image */
    int64_t index_size;
    struct build_member *members; /* where they are wanted */
    size_t n_members;
    int passing;         /* for engine_passing_end(), when it is written; also of a build that failed */
    struct strv names;   /* as docker shows them */
    struct str warnings; /* of the build checks, as buildx prints them below a build, also one that failed */
};
/* Builds an image. `excerpt` gets what explains an error: the last lines of the command that failed, and the lines of
 * the Dockerfile around the place. Done with build_result_done(). */
struct err *build_run(const struct build_options *o, struct build_result *ret, struct str *excerpt)
    __attribute__((warn_unused_result));
void build_result_done(struct build_result *r);

/* The platforms whose programs RUN can start on this machine, its own first: "linux/amd64, linux/386". Appended. */
void build_platforms(const struct host *h, struct str *ret);

/* What buildx calls methods of evaluating a build: nothing is built, the Dockerfile is only looked at. */
enum build_call { BUILD_CALL_CHECK, BUILD_CALL_OUTLINE, BUILD_CALL_TARGETS };
struct build_description {
    struct json *json; /* as BuildKit's result.json; NULL where the Dockerfile cannot be read */
    struct str text;   /* the same for people */
    bool found;        /* a check has found something */
};
/* Also on failure there may be warnings. Done with build_description_done(). */
struct err *build_describe(const struct build_options *o, enum build_call call, struct build_description *ret,
                           struct str *excerpt) __attribute__((warn_unused_result));
void build_description_done(struct build_description *d);

/* The cache as an array of {"ID", "Type": "regular" or "exec.cachemount", "Step", "Size", "Created", "LastUsed" (ns),
 * "Shared": an image has the layer, too, "InUse": a build has the mount}. */
struct err *build_cache_list(struct engine *e, struct json **ret) __attribute__((warn_unused_result));
/* docker builder prune: forgets cached steps whose layer no image has and, where `types` or `ids` name them, cache
 * mounts that no build has; `all`: all of both. Appends their ids; *ret_bytes: what they held. */
struct build_prune {
    bool all;
    int64_t until;          /* only what was last used before that (ns); 0: whenever */
    struct strv types, ids; /* only these types; ids that begin so; empty: any */
    int64_t keep;           /* bytes that may stay, of what was used last; 0: nothing */
};
struct err *build_prune(struct engine *e, const struct build_prune *p, struct strv *ret_ids, int64_t *ret_bytes)
    __attribute__((warn_unused_result));
