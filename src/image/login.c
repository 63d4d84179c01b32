/*
 * login: credentials tried and stored. They are shown to the registry (or to the token service that it names) for /v2/,
 * which every registry has; one that needs nobody's takes any. A token service that gives a refresh token gets the
 * password never again: the token is stored in its place.
 */
#include "image/accounts.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/auth_int.h"
#include "image/ref_int.h"
#include "image/registry_int.h"

struct err *image_login_server(const char *typed, char **ret_registry, char **ret_key) {
    autofree char *host = creds_hostname(typed && *typed ? typed : REF_DOCKER_DOMAIN);
    if (str_eq(host, "index.docker.io") || str_eq(host, "registry-1.docker.io"))
        mem_set(&host, REF_DOCKER_DOMAIN);
    if (!ref_domain_ok(host))
        return err_new(ERR_USAGE, "invalid registry address \"%s\"", typed);
    *ret_key = mem_dup(creds_key(host));
    *ret_registry = take_ptr(&host);
    return NULL;
}

static struct err *verify(const struct image_login *l, struct creds *c) {
    autoclient client = NULL;
    struct registry *r = NULL;
    struct registry_answer a = {0};
    TRY(fetch_client_new(l->host, l->interrupted_fd, &client));
    TRY(registry_new(l->host, l->config, client, l->registry, "", NULL, &r));
    r->login = c;
    struct err *e = registry_get(r, "v2/", "login", &a);
    if (!e && r->refresh_token) {
        c->identity_token = take_ptr(&r->refresh_token);
        mem_set(&c->password, NULL);
    }
    registry_answer_done(&a);
    registry_free(r);
    return e;
}

struct err *image_login(const struct image_login *l, char **ret_plain) {
    struct creds c = {.user = mem_dup(l->user), .password = mem_dup(l->password)};
    struct err *e = NULL;
    *ret_plain = NULL;
    if (l->user && strchr(l->user, ':'))
        e = err_new(ERR_USAGE, "a user name has no colon");
    bool stored = !l->user;
    if (!e && stored)
        e = creds_find(l->host, l->registry, &c);
    if (!e)
        e = verify(l, &c);
    if (!e && !stored)
        e = creds_store(l->host, l->registry, &c, ret_plain);
    creds_done(&c);
    return e;
}

struct err *image_login_user(const struct host *h, const char *registry, char **ret_user) {
    struct creds c = {0};
    TRY(creds_find(h, registry, &c));
    if (creds_have(&c))
        *ret_user = mem_dup(c.user ? c.user : "<token>");
    creds_done(&c);
    return NULL;
}

struct err *image_logout(const struct host *h, const char *registry) {
    return creds_erase(h, registry);
}
