/*
 * creds: the user's stored credentials, exactly where docker keeps them: config.json's "auths", "credHelpers" and
 * "credsStore". Secrets stay in memory: never in argv, never in a log line.
 */
#include "image/auth_int.h"

#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"

#define DOCKER_HUB_KEY "https://index.docker.io/v1/"

void creds_done(struct creds *c) {
    free(c->user);
    free(c->password);
    free(c->identity_token);
    *c = (struct creds){0};
}

bool creds_have(const struct creds *c) { return (c->user && c->password) || c->identity_token; }

char *creds_hostname(const char *address) {
    if (str_starts(address, "https://"))
        address += strlen("https://");
    else if (str_starts(address, "http://"))
        address += strlen("http://");
    return mem_dupn(address, strcspn(address, "/"));
}

const char *creds_key(const char *registry) { return str_eq(registry, "docker.io") ? DOCKER_HUB_KEY : registry; }

static const struct json *auth_entry(const struct json *auths, const char *registry) {
    const struct json *exact = json_get(auths, creds_key(registry));
    if (exact)
        return exact;
    autofree char *want = creds_hostname(creds_key(registry));
    JSON_EACH(entry, auths) {
        autofree char *have = creds_hostname(json_key(entry));
        if (str_eq(have, want))
            return entry;
    }
    return NULL;
}

/* "user:password" in base64, or the two as members of their own. */
static struct err *entry_creds(const struct json *entry, const char *registry, struct creds *c) {
    const char *auth = NULL, *user = NULL, *password = NULL, *token = NULL;
    TRY(json_get_str_opt(entry, "auth", "", &auth));
    TRY(json_get_str_opt(entry, "username", "", &user));
    TRY(json_get_str_opt(entry, "password", "", &password));
    TRY(json_get_str_opt(entry, "identitytoken", "", &token));
    if (*token)
        c->identity_token = mem_dup(token);
    if (*auth) {
        autostr struct str plain = STR_INIT_MAX(CREDS_HELPER_MAX);
        bool good = base64_decode(auth, &plain) && str_ok(&plain) && strlen(str_c(&plain)) == plain.len;
        const char *colon = good ? strchr(str_c(&plain), ':') : NULL;
        if (!colon)
            return err_hint(err_new(ERR_AUTH, "the stored credentials for %s are damaged", registry),
                            "store them again with 'coracle login %s'", registry);
        c->user = mem_dupn(plain.ptr, (size_t)(colon - plain.ptr));
        c->password = mem_dup(colon + 1);
    } else if (*user) {
        c->user = mem_dup(user);
        c->password = mem_dup(password);
    }
    return NULL;
}

struct err *creds_from_auths(const struct json *auths, const char *registry, struct creds *ret) {
    const struct json *entry = auth_entry(auths, registry);
    struct creds c = {0};
    struct err *e = entry ? entry_creds(entry, registry, &c) : NULL;
    if (e) {
        creds_done(&c);
        return e;
    }
    *ret = c;
    return NULL;
}

/* ---- credential helpers ---- */

static struct err *helper_creds(const struct host *h, const char *helper, const char *registry, struct creds *c) {
    autostr struct str out = STR_INIT_MAX(CREDS_HELPER_MAX);
    bool found = false;
    TRY(creds_helper_run(h, helper, "get", creds_key(registry), &out, &found));
    if (!found)
        return NULL;
    autojson j = NULL;
    const char *user = NULL, *secret = NULL;
    TRY(json_parse(str_c(&out), out.len, helper, 0, &j));
    TRY(json_get_str(j, "Username", &user));
    TRY(json_get_str(j, "Secret", &secret));
    if (str_eq(user, "<token>")) {
        c->identity_token = mem_dup(secret);
    } else {
        c->user = mem_dup(user);
        c->password = mem_dup(secret);
    }
    return NULL;
}

struct err *creds_read_config(const struct host *h, struct json **ret) {
    autofd int dir = -1, fd = -1;
    *ret = NULL;
    if (!h->docker_config_dir)
        return NULL;
    autoerr e = fd_open_dir(AT_FDCWD, h->docker_config_dir, &dir);
    if (!e)
        e = fd_open_at(dir, "config.json", O_RDONLY | O_NONBLOCK, 0, &fd); /* people link it from their dotfiles */
    if (e)
        return err_kind(e) == ERR_NOT_FOUND ? NULL : err_wrap(take_ptr(&e), "docker's config.json");
    autostr struct str text = STR_INIT_MAX(JSON_SIZE_MAX);
    TRY(io_read_all(fd, JSON_SIZE_MAX, "docker's config.json", &text));
    return json_parse(str_c(&text), text.len, "docker's config.json", 0, ret);
}

const char *creds_helper(const struct json *config, const char *registry) {
    const char *helper = json_str_value(json_get(json_get(config, "credHelpers"), creds_key(registry)));
    if (!helper)
        helper = json_str_value(json_get(json_get(config, "credHelpers"), registry));
    if (!helper)
        helper = json_str_value(json_get(config, "credsStore"));
    return helper && *helper ? helper : NULL;
}

struct err *creds_find(const struct host *h, const char *registry, struct creds *ret) {
    autojson j = NULL;
    TRY(creds_read_config(h, &j));
    struct creds c = {0};
    const char *helper = creds_helper(j, registry);
    struct err *e = helper ? helper_creds(h, helper, registry, &c) : NULL;
    if (!e && !creds_have(&c))
        e = creds_from_auths(json_get(j, "auths"), registry, &c);
    if (e) {
        creds_done(&c);
        return e;
    }
    *ret = c;
    return NULL;
}
