/*
 * auth_int: who we are towards a registry. challenge.c parses what the registry asks for, creds.c finds what the user
 * has stored, auth.c turns both into the one Authorization header of a run.
 */
#pragma once

#include <stdbool.h>

#include "base/base64.h"
#include "base/str.h"

struct err;
struct host;
struct json;

/* ---- WWW-Authenticate (RFC 9110 11.6.1) ---- */

enum auth_scheme { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };
struct challenge {
    enum auth_scheme scheme;
    char *realm, *service, *scope; /* NULL where absent */
};
/* Picks the strongest challenge that we can answer (Bearer, then Basic) of a header that may list several; AUTH_NONE
 * when there is none. */
struct err *challenge_parse(const char *header, struct challenge *ret) __attribute__((warn_unused_result));
void challenge_done(struct challenge *c);

/* ---- stored credentials (docker's config.json and credential helpers) ---- */

struct creds {
    char *user, *password; /* both or neither */
    char *identity_token;  /* an OAuth2 refresh token instead */
};
/* The credentials for a registry ("docker.io", "localhost:5000"); all NULL when there are none. */
struct err *creds_find(const struct host *h, const char *registry, struct creds *ret)
    __attribute__((warn_unused_result));
void creds_done(struct creds *c);
/* What docker calls a registry in its config.json ("https://index.docker.io/v1/" for docker.io). Borrowed or static. */
const char *creds_key(const char *registry) __attribute__((returns_nonnull));
/* docker's config.json; *ret is NULL where there is none. */
struct err *creds_read_config(const struct host *h, struct json **ret) __attribute__((warn_unused_result));
/* The credential helper that it names for a registry, borrowed; NULL for none. */
const char *creds_helper(const struct json *config, const char *registry);
/* Runs one with "get", "store" or "erase"; `out` gets what it says, at most CREDS_HELPER_MAX. *ret_found is false where
 * it has no such credentials; every other failure is an error. */
#define CREDS_HELPER_MAX ((size_t)64 << 10)
#define CREDS_INPUT_MAX ((size_t)32 << 10) /* fits into a pipe */
struct err *creds_helper_run(const struct host *h, const char *helper, const char *verb, const char *input,
                             struct str *out, bool *ret_found) __attribute__((warn_unused_result));
/* Stores credentials as docker does: with the helper, or in config.json, which stays as it is else. *ret_plain: the
 * file's path where a password is readable in it, NULL else; owned. */
struct err *creds_store(const struct host *h, const char *registry, const struct creds *c, char **ret_plain)
    __attribute__((warn_unused_result));
/* Forgets what is stored for a registry, under every spelling of it. */
struct err *creds_erase(const struct host *h, const char *registry) __attribute__((warn_unused_result));
/* True when there is something to show. */
bool creds_have(const struct creds *c);
/* The entry of a parsed config.json's "auths" for a registry; pure. */
struct err *creds_from_auths(const struct json *auths, const char *registry, struct creds *ret)
    __attribute__((warn_unused_result));
/* What an entry of config.json's "proxies" says, added to an environment (accounts.h). Pure. */
void proxies_add(const struct json *proxies, struct strv *env);
/* "host[:port]" of any spelling of a registry's address ("https://index.docker.io/v1/"). Owned. */
char *creds_hostname(const char *address) __attribute__((returns_nonnull, warn_unused_result));
