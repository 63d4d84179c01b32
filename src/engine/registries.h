/*
 * registries: the part of engine.h that speaks to registries beside pulling: push, login, logout, search.
 */
#pragma once

#include "image/image.h"

struct engine;
struct err;
struct json;
struct strv;

struct engine_push {
    const char *reference;             /* name[:tag] */
    const char *image;                 /* what is pushed under that name; NULL: what has it */
    const char *index;                 /* digest of the index that is meant, where `image` is an id; or NULL */
    const char *platform;              /* that the image must be for, or NULL */
    const char *compression;           /* "gzip" or "zstd" for layers that are not compressed yet; NULL: gzip */
    struct image_progress_fn progress; /* its line without an id: "The push refers to repository […]" */
    const int *interrupted_fd;         /* readable: stop; NULL: none */
};
/* Pushes one image under one tag ("latest" where the reference has none), which *ret_tag tells (owned). The image gets
 * the name that the registry has given it (name@digest). */
struct err *engine_image_push(struct engine *e, const struct engine_push *p, struct image_pushed *ret, char **ret_tag)
    __attribute__((warn_unused_result));
struct engine_login {
    const char *server;          /* as typed, NULL for docker's own */
    const char *user, *password; /* both; or neither, to try what is stored */
    const int *interrupted_fd;   /* readable: stop; NULL: none */
};
/* Tries credentials and stores them where docker does. *ret_plain: the path of the file where the password can be read
 * now, owned, or NULL. */
struct err *engine_login(struct engine *e, const struct engine_login *l, char **ret_plain)
    __attribute__((warn_unused_result));
/* The user whose credentials are stored for a server; *ret_user stays NULL where there are none. Owned. */
struct err *engine_login_user(struct engine *e, const char *server, char **ret_user)
    __attribute__((warn_unused_result));
/* The server as docker's messages call it ("https://index.docker.io/v1/"). Owned. */
struct err *engine_login_server(const char *server, char **ret_name) __attribute__((warn_unused_result));
/* Forgets the credentials for a server. */
struct err *engine_logout(struct engine *e, const char *server) __attribute__((warn_unused_result));

/* The proxies that docker's config.json has for containers and builds, as NAME=VALUE; what `env` says already stays. */
struct err *engine_proxies(struct engine *e, struct strv *env) __attribute__((warn_unused_result));

/* Repositories whose names have a word in them: docker's API objects (name, description, star_count, is_official,
 * is_automated), at most `limit`. */
struct err *engine_search(struct engine *e, const char *term, int64_t limit, const int *interrupted_fd,
                          struct json **ret) __attribute__((warn_unused_result));

/* Every tagged reference of a repository (canonical, sorted), for push --all-tags. usage for a name with a tag,
 * not_found for one without any. */
struct err *engine_push_tags(struct engine *e, const char *name, struct strv *out) __attribute__((warn_unused_result));
