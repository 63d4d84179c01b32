/*
 * auth: from a 401 to an Authorization header. Basic credentials go to the registry itself; with Bearer they go to the
 * token service that the registry names, and only over TLS (or loopback): a hostile answer must not make us say a
 * password in clear.
 */
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "image/manifest_int.h"
#include "image/registry_int.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define TOKEN_MAX ((size_t)256 << 10)
#define TOKEN_SECONDS 120
/* RFC 6750, and what some services think of beside it: nothing that ends a header. */
#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=:|!@#$%&*"

struct err *realm_check(const char *realm, const char *registry_address, bool registry_is_http) {
    if (str_starts(realm, "https://"))
        return NULL;
    if (!str_starts(realm, "http://"))
        return err_new(ERR_NETWORK, "the registry names an unusable token service \"%.100s\"", realm);
    autofree char *host = creds_hostname(realm);
    if (strchr(host, '@'))
        return err_new(ERR_NETWORK, "the registry names an unusable token service \"%.100s\"", realm);
    if (host_is_loopback(host) || (registry_is_http && str_eq(host, registry_address)))
        return NULL;
    return err_hint(err_new(ERR_AUTH, "the registry wants credentials to be sent in clear to %.100s", host),
                    "refused: its token service must use https");
}

static void add_param(struct str *out, const char *name, const char *value) {
    if (!value)
        return;
    if (out->len && !strchr("?&", out->ptr[out->len - 1]))
        str_append_c(out, '&');
    str_appendf(out, "%s=", name);
    str_append_escaped(out, value);
}

static char *basic_header(const struct creds *c) {
    autostr struct str pair = STR_INIT, out = STR_INIT;
    str_appendf(&pair, "%s:%s", c->user, c->password);
    str_append(&out, "Authorization: Basic ");
    base64_encode(str_c(&pair), pair.len, &out);
    return str_take(&out);
}

/* A form has one scope parameter with blanks in it (RFC 6749), a URL one for each. A login asks for none. */
static void add_scopes(const struct registry *r, bool form, struct str *out) {
    autostr struct str all = STR_INIT_MAX(16384);
    if (!*r->repo)
        return;
    str_appendf(&all, "repository:%s:pull%s", r->repo, r->push ? ",push" : "");
    for (size_t i = 0; i < r->mounts.n; i++) {
        if (!form) {
            add_param(out, "scope", str_c(&all));
            str_clear(&all);
        } else {
            str_append_c(&all, ' ');
        }
        str_appendf(&all, "repository:%s:pull", r->mounts.v[i]);
    }
    add_param(out, "scope", str_c(&all));
}

/* GET with Basic credentials or none, POST with a refresh token. What is asked for is what we need, whatever the
 * registry suggests. */
static void token_request(const struct registry *r, const struct challenge *ch, const struct creds *c, struct str *url,
                          struct str *form) {
    struct str *params = c->identity_token ? form : url;
    str_append(url, ch->realm);
    if (c->identity_token) {
        add_param(form, "grant_type", "refresh_token");
        add_param(form, "client_id", "coracle");
        add_param(form, "refresh_token", c->identity_token);
    } else {
        str_append_c(url, strchr(ch->realm, '?') ? '&' : '?');
        add_param(url, "account", c->user);
        add_param(url, "client_id", r->login ? "coracle" : NULL);
        add_param(url, "offline_token", r->login ? "true" : NULL);
    }
    add_param(params, "service", ch->service);
    add_scopes(r, c->identity_token != NULL, params);
}

static struct err *read_token(struct registry *r, int fd, char **ret_header) {
    autostr struct str text = STR_INIT_MAX(TOKEN_MAX);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "read token");
    TRY(io_read_all(fd, TOKEN_MAX, "token", &text));
    autojson j = NULL;
    TRY_CTX(json_parse(str_c(&text), text.len, "token", 0, &j), "token service of %s", r->name);
    const char *token = json_str_value(json_get(j, "token"));
    if (!token || !*token)
        token = json_str_value(json_get(j, "access_token"));
    if (!token || !*token)
        return err_new(ERR_AUTH, "the token service of %s gives no token", r->name);
    if (strspn(token, TOKEN_CHARS) != strlen(token))
        return err_new(ERR_CORRUPT, "the token service of %s gives a token that is none", r->name);
    *ret_header = mem_printf("Authorization: Bearer %s", token);
    const char *refresh = json_str_value(json_get(j, "refresh_token"));
    if (r->login && !r->login->identity_token && refresh && *refresh)
        mem_set(&r->refresh_token, refresh);
    return NULL;
}

/* The token service may be another host, with certificates of its own. */
static struct err *token_tls(const struct registry *r, const char *realm, struct tls_files *ret) {
    autofree char *host = creds_hostname(realm);
    TRY(tls_find(r->host, host, ret));
    if (str_eq(host, r->address))
        ret->insecure = r->tls.insecure;
    return NULL;
}

static struct err *fetch_token(struct registry *r, const struct fetch_req *req, struct fetch_xfer *x,
                               char **ret_header) {
    TRY(fetch_start(r->client, req, x));
    TRY(fetch_wait(r->client, x));
    if (x->err)
        return err_wrap(take_ptr(&x->err), "token service of %s", r->name);
    if (x->status != 200)
        return registry_failure(r, x, "token");
    return read_token(r, req->file, ret_header);
}

static struct err *bearer(struct registry *r, const struct challenge *ch, const struct creds *c, char **ret_header) {
    autostr struct str url = STR_INIT_MAX(16384), form = STR_INIT_MAX(65536);
    autostrv struct strv headers = {0};
    struct tls_files tls = {0};
    TRY(realm_check(ch->realm, r->address, str_eq(r->schemes[r->scheme], "http")));
    token_request(r, ch, c, &url, &form);
    strv_push(&headers, "Accept: application/json");
    if (!c->identity_token && c->user)
        strv_push_take(&headers, basic_header(c));
    TRY(token_tls(r, ch->realm, &tls));
    autofd int fd = sys_memfd("token", MFD_CLOEXEC);
    const struct fetch_req req = {.url = str_c(&url),
                                  .method = c->identity_token ? "POST" : "GET",
                                  .body = c->identity_token ? str_c(&form) : NULL,
                                  .headers = &headers,
                                  .tls = &tls,
                                  .max = TOKEN_MAX,
                                  .size = -1,
                                  .seconds = TOKEN_SECONDS,
                                  .file = fd,
                                  .bell = -1};
    struct fetch_xfer x = {0};
    struct err *e = fd < 0 ? err_sys(errno, "make a memory file") : fetch_token(r, &req, &x, ret_header);
    fetch_xfer_done(r->client, &x);
    tls_files_done(&tls);
    return e;
}

static struct err *answer_challenge(struct registry *r, const struct challenge *ch, const struct fetch_xfer *x,
                                    const struct creds *c) {
    char *header = NULL;
    r->had_creds = creds_have(c);
    if (ch->scheme == AUTH_BEARER) {
        TRY(bearer(r, ch, c, &header));
    } else {
        if (ch->scheme == AUTH_NONE || !c->user)
            return registry_failure(r, x, r->repo);
        header = basic_header(c);
    }
    free(r->authorization);
    r->authorization = header;
    return NULL;
}

struct err *registry_authorize(struct registry *r, const struct fetch_xfer *x) {
    const char *text = strmap_get(&x->headers, "www-authenticate");
    struct challenge ch = {0};
    struct creds c = {0};
    if (!text)
        return registry_failure(r, x, r->repo);
    TRY_CTX(challenge_parse(text, &ch), "%s", r->name);
    struct err *e = r->login ? NULL : creds_find(r->host, r->name, &c);
    if (!e)
        e = answer_challenge(r, &ch, x, r->login ? r->login : &c);
    creds_done(&c);
    challenge_done(&ch);
    return e;
}
