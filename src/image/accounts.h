/*
 * accounts: the part of image.h that is about registries themselves: who we are there (login, logout), and what they
 * have (search). Credentials live where docker keeps them, in its config.json or with the credential helpers that this
 * names, so that every tool that reads that file is logged in, too; nothing of them is in our own store.
 */
#pragma once

#include <stdint.h>

struct config;
struct err;
struct host;
struct json;
struct strv;

/* What a user typed ("https://quay.io/v2/", NULL for docker's own) as the registry's name, and as docker's config.json
 * and its messages call it ("https://index.docker.io/v1/"). Both owned. */
struct err *image_login_server(const char *typed, char **ret_registry, char **ret_key)
    __attribute__((warn_unused_result));
struct image_login {
    const struct host *host;
    const struct config *config;
    const char *registry;        /* of image_login_server() */
    const char *user, *password; /* both, or neither: what is stored is tried */
    const int *interrupted_fd;   /* or NULL */
};
/* Shows them to the registry; when it takes them they are stored where docker keeps such. *ret_plain: the path of the
 * file in which the password can be read now, owned, or NULL. auth errors when the registry refuses them. */
struct err *image_login(const struct image_login *l, char **ret_plain) __attribute__((warn_unused_result));
/* The user whose credentials are stored for a registry, owned; *ret_user is left alone where there are none. */
struct err *image_login_user(const struct host *h, const char *registry, char **ret_user)
    __attribute__((warn_unused_result));
/* Forgets what is stored for a registry. */
struct err *image_logout(const struct host *h, const char *registry) __attribute__((warn_unused_result));

/* The proxies for containers and builds that docker's config.json names ("proxies", "default"), as NAME=VALUE in both
 * spellings; what `env` says already, with a value or bare, stays. Appended. */
struct err *image_proxies(const struct host *h, struct strv *env) __attribute__((warn_unused_result));

struct image_search {
    const struct host *host;
    const struct config *config;
    const char *term; /* "nginx", or "registry.example/nginx" */
    int64_t limit;
    const int *interrupted_fd; /* or NULL */
};
/* Asks docker's index, or the registry that the term names, for repositories; one that knows no search is asked for
 * all its names. Adds objects of docker's API: name, description, star_count, is_official, is_automated. */
struct err *image_search(const struct image_search *s, struct json *out) __attribute__((warn_unused_result));
