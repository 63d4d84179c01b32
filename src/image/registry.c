/* registry: see registry_int.h. */
#include "image/registry_int.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "image/manifest_int.h"
#include "image/ref_int.h"

#define ACCEPT_MANIFEST                                                                                                \
    "Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST
#define ACCEPT_BLOB "Accept: */*"
#define SMALL_SECONDS 300 /* that anything but a blob may take */
#define MANIFEST_ATTEMPTS 6
#define ANSWER_MAX ((int64_t)64 << 10) /* of what a registry says to something written; nobody reads it */

void registry_free(struct registry *r) {
    if (!r)
        return;
    free(r->name);
    free(r->address);
    free(r->repo);
    free(r->authorization);
    free(r->refresh_token);
    strv_done(&r->mounts);
    tls_files_done(&r->tls);
    free(r);
}

/* What the configuration says of this one goes before what lies in certs.d. */
static void configured_tls(const struct config_registry *said, struct tls_files *tls) {
    if (!said)
        return;
    strv_extend(&tls->ca, &said->ca);
    if (said->cert) {
        mem_set(&tls->cert, said->cert);
        mem_set(&tls->key, said->key);
    }
}

static void choose_schemes(struct registry *r, const char *mirror) {
    const struct config_registry *said = config_registry(r->config, r->name);
    bool insecure = host_is_insecure(&r->config->insecure_registries, r->address) || (said && said->insecure);
    r->loopback = host_is_loopback(r->address);
    r->tls.insecure = insecure || (r->loopback && r->tls.ca.n == 0);
    if (mirror && strstr(mirror, "://")) {
        r->schemes[r->n_schemes++] = str_starts(mirror, "http://") ? "http" : "https";
        return;
    }
    /* Plain first where nobody can listen: it saves a failed handshake on the usual local registry. */
    if (r->loopback)
        r->schemes[r->n_schemes++] = "http";
    r->schemes[r->n_schemes++] = "https";
    if (insecure && !r->loopback)
        r->schemes[r->n_schemes++] = "http";
}

static struct err *check_mirror(const struct registry *r, const char *mirror) {
    if (!ref_domain_ok(r->address))
        return err_new(ERR_USAGE, "the configuration names an unusable mirror %s", mirror);
    if (str_starts(mirror, "http://") && !r->loopback && !r->tls.insecure)
        return err_hint(err_new(ERR_USAGE, "the registry mirror %s uses plain http", mirror),
                        "name it in \"insecure-registries\" too if that is meant");
    return NULL;
}

struct err *registry_new(const struct host *h, const struct config *config, struct fetch_client *client,
                         const char *domain, const char *repo, const char *mirror, struct registry **ret) {
    struct registry *r = mem_alloc(sizeof *r);
    *r = (struct registry){.host = h, .config = config, .client = client, .repo = mem_dup(repo)};
    r->name = mirror ? creds_hostname(mirror) : mem_dup(domain);
    r->address = mem_dup(str_eq(r->name, REF_DOCKER_DOMAIN) ? "registry-1.docker.io" : r->name);
    struct err *e = tls_find(h, r->address, &r->tls);
    configured_tls(config_registry(config, r->name), &r->tls);
    choose_schemes(r, mirror);
    if (!e && mirror)
        e = check_mirror(r, mirror);
    if (e) {
        registry_free(r);
        return e;
    }
    *ret = r;
    return NULL;
}

void registry_answer_done(struct registry_answer *a) {
    free(a->content_type);
    free(a->digest);
    free(a->link);
    str_done(&a->body);
    *a = (struct registry_answer){0};
}

/* ---- one request, over the right scheme, with the right header ---- */

struct ask {
    const char *method, *path; /* below /v2/<repo>/ */
    bool root;                 /* `path` is below / instead */
    const char *accept;
    int64_t max, size, offset, seconds;
    int file, bell;
    const char *content_type; /* `size` bytes of file are sent, of this type; or NULL */
};

/* Of every request to the registry itself: who we are, and what the configuration adds. Towards another origin the
 * download helper leaves all of them out. */
static void add_own_headers(const struct registry *r, struct strv *headers) {
    const struct config_registry *said = config_registry(r->config, r->name);
    for (size_t i = 0; said && i < said->headers.n; i++)
        strv_push(headers, said->headers.v[i]);
    if (r->authorization)
        strv_push(headers, r->authorization);
}

static struct err *start(struct registry *r, const struct ask *a, struct fetch_xfer *x) {
    const char *scheme = r->schemes[r->scheme];
    autofree char *url = a->root ? mem_printf("%s://%s/%s", scheme, r->address, a->path)
                                 : mem_printf("%s://%s/v2/%s/%s", scheme, r->address, r->repo, a->path);
    autostrv struct strv headers = {0};
    strv_push(&headers, a->accept);
    if (a->content_type)
        strv_pushf(&headers, "Content-Type: %s", a->content_type);
    add_own_headers(r, &headers);
    const struct fetch_req req = {
        .url = url,
        .method = a->method,
        .headers = &headers,
        .tls = &r->tls,
        .max = a->max,
        .size = a->content_type ? -1 : a->size,
        .offset = a->offset,
        /* A wrong guess should show at once; a manifest may be sent as often as one likes. */
        .attempts = !r->settled && r->scheme + 1 < r->n_schemes ? 1
                    : a->content_type                           ? MANIFEST_ATTEMPTS
                                                                : 0,
        .file = a->file,
        .bell = a->bell,
        .send = a->content_type != NULL,
        .length = a->size,
        .seconds = a->seconds,
    };
    return fetch_start(r->client, &req, x);
}

static bool has_port(const char *address) {
    const char *end = strrchr(address, ']');
    return strchr(end ? end : address, ':');
}

/* Was the scheme a wrong guess? TLS servers answer plain requests with a 400 that says so (but not to a HEAD), or hang
 * up. */
static bool wrong_scheme(const struct registry *r, const struct ask *a, const struct fetch_xfer *x) {
    if (r->settled || r->scheme + 1 >= r->n_schemes)
        return false;
    if (x->status == 400 && str_eq(a->method, "HEAD"))
        return true;
    if (x->status == 400 && x->body)
        return strstr(x->body, "HTTPS") || strstr(x->body, "TLS");
    if (!x->err || x->status != 0 || err_kind(x->err) == ERR_TIMEOUT)
        return false;
    return x->curl != FETCH_CURL_UNRESOLVED && !(x->curl == FETCH_CURL_UNCONNECTED && has_port(r->address));
}

static struct err *rewind_file(int fd) {
    if (fd >= 0 && (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0))
        return err_sys(errno, "rewind a memory file");
    return NULL;
}

static bool worth_asking_again(int64_t status) { return status == 408 || status == 429 || status >= 500; }

/*
 * After the first guess failed and the other one too: the first was right and only unlucky (a lost connection, a busy
 * server), unless the other one says something definite. The request is made once more with all its attempts.
 */
static bool settle_on_first(struct registry *r, struct fetch_xfer *x, bool guessed) {
    if (r->settled)
        return guessed && worth_asking_again(x->status); /* just settled: it had one attempt only */
    bool definite = x->curl == FETCH_CURL_UNRESOLVED || x->curl == FETCH_CURL_UNCONNECTED || err_hint_text(x->err);
    if (r->scheme == 0 || definite)
        return false;
    r->scheme = 0;
    r->settled = true;
    return true;
}

/* Asks and waits; other schemes and the answer to a 401 included. `x` holds the last answer. */
static struct err *ask_and_wait(struct registry *r, const struct ask *a, struct fetch_xfer *x) {
    bool authorized = false;
    for (;;) {
        fetch_xfer_done(r->client, x);
        if (!a->content_type)
            TRY(rewind_file(a->file));
        TRY(start(r, a, x));
        TRY(fetch_wait(r->client, x));
        if (wrong_scheme(r, a, x)) {
            r->scheme++;
            continue;
        }
        bool guessed = !r->settled;
        r->settled = r->settled || !x->err;
        if (guessed && settle_on_first(r, x, r->n_schemes > 1))
            continue;
        if (x->err)
            return take_ptr(&x->err);
        if (x->status != 401 || authorized)
            return NULL;
        TRY(registry_authorize(r, x));
        authorized = true;
    }
}

static struct err *take_answer(const struct fetch_xfer *x, int fd, struct registry_answer *ret) {
    if (fd >= 0) {
        if (lseek(fd, 0, SEEK_SET) < 0)
            return err_sys(errno, "read an answer");
        ret->body.max = MANIFEST_MAX;
        TRY(io_read_all(fd, MANIFEST_MAX, "answer", &ret->body));
    }
    const char *type = strmap_get(&x->headers, "content-type");
    const char *digest = strmap_get(&x->headers, "docker-content-digest");
    ret->content_type = type ? mem_dupn(type, strcspn(type, "; ")) : NULL;
    const char *next = strmap_get(&x->headers, "link");
    ret->digest = digest && digest_ok(digest) ? mem_dup(digest) : NULL;
    ret->link = next ? mem_dup(next) : NULL;
    return NULL;
}

static struct err *small(struct registry *r, struct ask *a, const char *what, struct registry_answer *ret) {
    autofd int fd = -1;
    if (str_eq(a->method, "GET") && (fd = sys_memfd("answer", MFD_CLOEXEC)) < 0)
        return err_sys(errno, "make a memory file");
    a->file = fd;
    a->bell = -1;
    a->seconds = SMALL_SECONDS;
    struct fetch_xfer x = {0};
    struct registry_answer answer = {0};
    struct err *e = ask_and_wait(r, a, &x);
    if (!e)
        e = x.status == 200 ? take_answer(&x, fd, &answer) : registry_failure(r, &x, what);
    fetch_xfer_done(r->client, &x);
    if (e) {
        registry_answer_done(&answer);
        return e;
    }
    *ret = answer;
    return NULL;
}

struct err *registry_manifest(struct registry *r, const char *ref, bool head, struct registry_answer *ret) {
    autofree char *path = mem_printf("manifests/%s", ref);
    autofree char *what =
        mem_printf("manifest for %s/%s%s%s", r->name, r->repo, str_starts(ref, "sha256:") ? "@" : ":", ref);
    struct ask a = {
        .method = head ? "HEAD" : "GET", .path = path, .accept = ACCEPT_MANIFEST, .max = MANIFEST_MAX, .size = -1};
    return small(r, &a, what, ret);
}

struct err *registry_small_blob(struct registry *r, const char *digest, int64_t size, struct registry_answer *ret) {
    if (size > (int64_t)MANIFEST_MAX)
        return err_new(ERR_UNSUPPORTED, "blob %s is larger than %zu bytes", digest, MANIFEST_MAX);
    autofree char *path = mem_printf("blobs/%s", digest);
    autofree char *what = mem_printf("blob %s of %s/%s", digest, r->name, r->repo);
    struct ask a = {.method = "GET", .path = path, .accept = ACCEPT_BLOB, .max = size, .size = size};
    return small(r, &a, what, ret);
}

struct err *registry_tags(struct registry *r, const char *query, struct registry_answer *ret) {
    autofree char *path = mem_printf("tags/list%s", query);
    autofree char *what = mem_printf("tags of %s/%s", r->name, r->repo);
    struct ask a = {
        .method = "GET", .path = path, .accept = "Accept: application/json", .max = MANIFEST_MAX, .size = -1};
    return small(r, &a, what, ret);
}

struct err *registry_get(struct registry *r, const char *path, const char *what, struct registry_answer *ret) {
    struct ask a = {.method = "GET",
                    .path = path,
                    .root = true,
                    .accept = "Accept: application/json",
                    .max = MANIFEST_MAX,
                    .size = -1};
    return small(r, &a, what, ret);
}

struct err *registry_blob_start(struct registry *r, const struct registry_blob *b, struct fetch_xfer *x) {
    autofree char *path = mem_printf("blobs/%s", b->digest);
    const struct ask a = {.method = "GET",
                          .path = path,
                          .accept = ACCEPT_BLOB,
                          .max = b->size,
                          .size = b->size,
                          .offset = b->offset,
                          .file = b->file,
                          .bell = b->bell};
    return start(r, &a, x);
}

struct err *registry_blob_done(struct registry *r, const char *digest, const struct fetch_xfer *x, bool *ret_again) {
    *ret_again = false;
    if (x->status == 401) {
        TRY(registry_authorize(r, x));
        *ret_again = true;
        return NULL;
    }
    if (x->status / 100 == 2)
        return NULL;
    autofree char *what = mem_printf("blob %s of %s/%s", digest, r->name, r->repo);
    return registry_failure(r, x, what);
}

/* ---- writing ---- */

struct err *registry_blob_there(struct registry *r, const char *digest, bool *ret) {
    autofree char *path = mem_printf("blobs/%s", digest);
    autofree char *what = mem_printf("blob %s of %s/%s", digest, r->name, r->repo);
    const struct ask a = {.method = "HEAD",
                          .path = path,
                          .accept = ACCEPT_BLOB,
                          .max = ANSWER_MAX,
                          .size = -1,
                          .seconds = SMALL_SECONDS,
                          .file = -1,
                          .bell = -1};
    struct fetch_xfer x = {0};
    struct err *e = ask_and_wait(r, &a, &x);
    *ret = !e && x.status == 200;
    if (!e && x.status != 200 && x.status != 404 && x.status != 405)
        e = registry_failure(r, &x, what);
    fetch_xfer_done(r->client, &x);
    return e;
}

struct err *registry_step_start(struct registry *r, const struct registry_step *s, struct fetch_xfer *x) {
    autofree char *url =
        s->url ? mem_dup(s->url) : mem_printf("%s://%s/v2/%s/%s", r->schemes[r->scheme], r->address, r->repo, s->path);
    autostrv struct strv headers = {0};
    if (s->file >= 0)
        strv_push(&headers, "Content-Type: application/octet-stream");
    if (s->range)
        strv_pushf(&headers, "Content-Range: %s", s->range);
    if (!s->elsewhere)
        add_own_headers(r, &headers);
    const struct fetch_req req = {
        .url = url,
        .method = s->method,
        .headers = &headers,
        .tls = s->elsewhere ? NULL : &r->tls,
        .max = ANSWER_MAX,
        .size = -1,
        .offset = s->file >= 0 ? s->from : 0,
        .file = s->file,
        .bell = -1,
        .send = s->file >= 0,
        .length = s->length,
        .delay = s->delay,
        .seconds = s->file >= 0 ? 0 : SMALL_SECONDS,
    };
    return fetch_start(r->client, &req, x);
}

static struct err *send_manifest(struct registry *r, const struct registry_manifest *m, int fd, struct fetch_xfer *x) {
    autofree char *path = mem_printf("manifests/%s", m->tag);
    autofree char *what = mem_printf("manifest for %s/%s:%s", r->name, r->repo, m->tag);
    const struct ask a = {.method = "PUT",
                          .path = path,
                          .accept = ACCEPT_BLOB,
                          .max = ANSWER_MAX,
                          .size = (int64_t)m->text->len,
                          .seconds = SMALL_SECONDS,
                          .file = fd,
                          .bell = -1,
                          .content_type = m->media_type};
    TRY(ask_and_wait(r, &a, x));
    if (x->status / 100 != 2)
        return registry_failure(r, x, what);
    const char *got = strmap_get(&x->headers, "docker-content-digest");
    if (got && !str_eq(got, m->digest))
        return err_new(ERR_CORRUPT, "%s: sent with the digest %s, %s has stored %.100s", what, m->digest, r->name, got);
    return NULL;
}

struct err *registry_manifest_put(struct registry *r, const struct registry_manifest *m) {
    autofd int fd = sys_memfd("manifest", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    TRY(io_write_all(fd, m->text->ptr, m->text->len));
    struct fetch_xfer x = {0};
    struct err *e = send_manifest(r, m, fd, &x);
    fetch_xfer_done(r->client, &x);
    return e;
}
