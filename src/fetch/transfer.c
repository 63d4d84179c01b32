/*
 * transfer: one request through its life. An attempt starts at the request's own URL (signed redirect targets expire),
 * follows redirects, and ends in one of four ways: an answer for the parent, another attempt after a pause, the rest of
 * the pipe to be drained, or an error. Bytes that have arrived stay; the next attempt asks for what is missing.
 */
#include "fetch/fetch_int.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define BACKOFF_FIRST (200 * NSEC_PER_MSEC)
#define BACKOFF_LAST (10 * NSEC_PER_SEC)
#define PROGRESS_EVERY (100 * NSEC_PER_MSEC)
#define PROGRESS_WORTH (256 << 10) /* an attempt that brought this much starts the count of attempts anew */

struct transfer *transfer_new(struct fetcher *f, struct request *take_req, struct sink *take_sink, int take_source) {
    struct transfer *t = mem_alloc(sizeof *t);
    *t = (struct transfer){.fetcher = f, .req = *take_req, .sink = *take_sink, .same_origin = true};
    t->source = (struct upload_source){.fd = take_source, .from = t->req.offset, .length = t->req.length};
    t->due = t->req.delay ? clock_boot() + t->req.delay : 0;
    *take_req = (struct request){0};
    *take_sink = (struct sink){.file = -1, .bell = -1};
    t->attempt_pos = t->sink.pos;
    t->url = mem_dup(t->req.url);
    t->body.max = FETCH_BODY_MAX;
    t->easy = curl_easy_init();
    if (!t->easy)
        abort();
    return t;
}

void transfer_free(struct transfer *t) {
    if (!t)
        return;
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->header_list);
    request_done(&t->req);
    sink_done(&t->sink);
    source_done(&t->source);
    free(t->url);
    strmap_done(&t->headers);
    str_done(&t->body);
    err_free(t->err);
    free(t);
}

static void over(struct transfer *t, struct err *take_err) {
    t->state = TRANSFER_OVER;
    if (t->err)
        err_free(take_err);
    else
        t->err = take_err;
}

void transfer_start(struct transfer *t) {
    t->status = 0;
    t->header_bytes = 0;
    strmap_done(&t->headers);
    str_clear(&t->body);
    t->sink.skip = 0;
    t->source.sent = 0;
    t->misplaced = t->enough = false;
    t->error_text[0] = 0;
    struct err *e = setup_easy(t);
    if (!e && curl_multi_add_handle(fetcher_multi(t->fetcher), t->easy))
        e = err_new(ERR_SYSTEM, "libcurl takes no more transfers");
    t->state = TRANSFER_RUNNING;
    if (e)
        over(t, e);
}

/* ---- libcurl's callbacks ---- */

static bool header_wanted(const char *name) {
    static const char *const wanted[] = {
        "content-type",         "content-length",
        "content-range",        "docker-content-digest",
        "www-authenticate",     "location",
        "retry-after",          "link",
        "docker-upload-uuid",   "docker-distribution-api-version",
        "content-encoding",     "range",
        "oci-chunk-min-length", "last-modified",
    };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (str_eq(name, wanted[i]))
            return true;
    return false;
}

/* Cuts blanks and the line's end off both sides of [*ret, *ret + n); the new length. */
static size_t trim(const char **ret, size_t n) {
    const char *p = *ret;
    while (n > 0 && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    while (n > 0 && strchr(" \t\r\n", p[n - 1]))
        n--;
    *ret = p;
    return n;
}

static char *lower_case(const char *s, size_t n) {
    char *out = mem_dupn(s, n);
    for (char *p = out; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    return out;
}

static void keep_header(struct transfer *t, const char *data, size_t n) {
    const char *colon = memchr(data, ':', n);
    if (!colon || colon == data)
        return;
    autofree char *name = lower_case(data, (size_t)(colon - data));
    const char *value = colon + 1;
    size_t len = trim(&value, n - (size_t)(value - data));
    if (!header_wanted(name) || !str_utf8_ok(value, len))
        return;
    autofree char *text = mem_dupn(value, len);
    const char *old = strmap_get(&t->headers, name);
    /* Several challenges of one name are a list by RFC 9110; for every other header the last one stands. */
    autofree char *joined = old && str_eq(name, "www-authenticate") ? mem_printf("%s, %s", old, text) : NULL;
    strmap_set(&t->headers, name, joined ? joined : text);
}

size_t transfer_on_header(char *data, size_t one, size_t n, void *ctx) {
    struct transfer *t = ctx;
    size_t len = one * n;
    t->header_bytes += len;
    if (t->header_bytes > FETCH_HEADER_BYTES) {
        if (!t->sink.err)
            t->sink.err = err_new(ERR_CORRUPT, "the server sends more than %zu bytes of headers", FETCH_HEADER_BYTES);
        return 0;
    }
    if (len >= 5 && !memcmp(data, "HTTP/", 5))
        strmap_done(&t->headers); /* of an interim answer (100, 103) or a proxy's CONNECT */
    else
        keep_header(t, data, len);
    return len;
}

/* The first body byte of an object: does this answer begin where we stopped? */
static bool range_is_right(struct transfer *t) {
    if (t->status == 200) {
        t->sink.skip = t->sink.pos;
        return true;
    }
    const char *range = strmap_get(&t->headers, "content-range");
    autofree char *want = mem_printf("bytes %lld-", (long long)t->sink.pos);
    return t->status == 206 && range && !strncasecmp(range, want, strlen(want));
}

size_t transfer_on_body(char *data, size_t one, size_t n, void *ctx) {
    struct transfer *t = ctx;
    size_t len = one * n;
    if (t->status == 0) {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
        bool ranged = t->status / 100 == 2 && (t->sink.pos > 0 || t->status == 206);
        t->misplaced = ranged && !range_is_right(t);
    }
    if (t->status / 100 != 2) {
        size_t room = FETCH_BODY_MAX - t->body.len;
        str_append_n(&t->body, data, len < room ? len : room);
        t->enough = len > room; /* nobody reads more of an error, however long it goes on */
        return t->enough ? 0 : len;
    }
    if (t->sink.err || t->misplaced)
        return 0;
    if (!sink_write(&t->sink, data, len))
        return 0;
    transfer_say_progress(t);
    return len;
}

/* ---- the end of an attempt ---- */

static enum err_kind kind_of(CURLcode code, int os_errno) {
    if (code == CURLE_OPERATION_TIMEDOUT || os_errno == ETIMEDOUT)
        return ERR_TIMEOUT;
    return code == CURLE_OUT_OF_MEMORY ? ERR_SYSTEM : ERR_NETWORK;
}

static bool is_tls(CURLcode code) {
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR;
}

static struct err *attempt_error(struct transfer *t) {
    long os_errno = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_errno);
    autofree char *where = redirect_plain_url(t->url);
    const char *why = t->error_text[0] ? t->error_text : curl_easy_strerror(t->code);
    struct err *e = err_new(kind_of(t->code, (int)os_errno), "%s %s: %s", t->req.method, where, why);
    if (t->code == CURLE_SSL_CONNECT_ERROR && strstr(why, "wrong version number"))
        return err_hint(e,
                        "it does not speak TLS: a registry with plain http must be named in \"insecure-registries\" of "
                        "~/.config/coracle/config.json");
    if (is_tls(t->code))
        return err_hint(e,
                        "put the registry's authority into ~/.config/containers/certs.d/HOST:PORT/ca.crt, or name the "
                        "registry in \"insecure-registries\" of ~/.config/coracle/config.json");
    return e;
}

static bool code_is_passing(struct transfer *t) {
    long connects = 0;
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    switch ((int)t->code) {
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    case CURLE_OPERATION_TIMEDOUT: /* a host that does not answer at all is tried twice, not for three minutes */
        return t->status != 0 || t->sink.pos > t->req.offset || t->attempt == 0;
    default:
        return false;
    }
}

static bool status_is_passing(long status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static int64_t backoff(int attempt) {
    int64_t pause = BACKOFF_FIRST;
    for (int i = 0; i < attempt && pause < BACKOFF_LAST; i++)
        pause *= 2;
    uint16_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r)
        r = 0;
    return pause / 2 + pause / 2 * r / UINT16_MAX; /* half to full, so that many clients do not return together */
}

/* Schedules another attempt; false when there have been enough, or the server wants too long a pause. */
static bool again(struct transfer *t) {
    if (t->sink.pos - t->attempt_pos >= PROGRESS_WORTH)
        t->attempt = 0;
    t->attempt_pos = t->sink.pos;
    if (t->attempt + 1 >= t->req.attempts)
        return false;
    curl_off_t after = 0;
    if (status_is_passing(t->status))
        curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after);
    if (after > FETCH_RETRY_AFTER_MAX)
        return false;
    int64_t pause = after > 0 ? after * NSEC_PER_SEC : backoff(t->attempt);
    t->attempt++;
    t->redirects = 0;
    t->same_origin = true;
    mem_set(&t->url, t->req.url);
    t->due = clock_boot() + pause;
    t->state = TRANSFER_WAITING;
    return true;
}

/*
 * What changes something is only sent on where the server says that it is the same request (307, 308), and a form
 * never: it holds a secret.
 */
static bool may_follow(const struct transfer *t) {
    if (str_eq(t->req.method, "GET") || str_eq(t->req.method, "HEAD"))
        return true;
    return !t->req.body && (t->status == 307 || t->status == 308);
}

static void follow(struct transfer *t) {
    const char *location = strmap_get(&t->headers, "location");
    if (!location)
        return over(t, err_new(ERR_NETWORK, "the server redirects to nowhere"));
    if (++t->redirects > FETCH_REDIRECTS)
        return over(t, err_new(ERR_NETWORK, "more than %d redirects", FETCH_REDIRECTS));
    autofree char *url = NULL;
    bool same = false;
    struct err *e = redirect_resolve(t->req.url, t->url, location, &url, &same);
    if (e)
        return over(t, e);
    t->same_origin = t->same_origin && same; /* once left, never back: the way in between may be hostile */
    mem_set(&t->url, url);
    t->due = 0;
    t->state = TRANSFER_WAITING;
}

/* An answer with another part of the object than was asked for is not believed; all of it is asked for, once. */
static void ask_for_whole(struct transfer *t) {
    if (t->whole)
        return over(t, err_new(ERR_NETWORK, "the server answers another range than was asked for"));
    t->whole = true;
    t->due = 0;
    t->state = TRANSFER_WAITING;
}

/* A 2xx body has ended: is it all of it? */
static void body_ended(struct transfer *t) {
    bool head = str_eq(t->req.method, "HEAD");
    if (!head && t->req.size >= 0 && t->sink.pos < t->req.size) {
        if (again(t))
            return;
        return over(t, err_new(ERR_NETWORK, "the server sent %lld of %lld bytes", (long long)t->sink.pos,
                               (long long)t->req.size));
    }
    t->state = TRANSFER_OVER;
}

void transfer_ended(struct transfer *t, CURLcode code) {
    curl_multi_remove_handle(fetcher_multi(t->fetcher), t->easy);
    t->code = code = t->enough ? CURLE_OK : code;
    if (t->status == 0)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
    if (t->sink.err)
        return over(t, take_ptr(&t->sink.err));
    if (t->misplaced)
        return ask_for_whole(t);
    if (code != CURLE_OK) {
        if (!code_is_passing(t) || !again(t))
            over(t, attempt_error(t));
        return;
    }
    if (redirect_is(t->status) && may_follow(t))
        return follow(t);
    if (status_is_passing(t->status) && again(t))
        return;
    if (t->status / 100 == 2)
        return body_ended(t);
    t->state = TRANSFER_OVER;
}

/* ---- what the parent hears ---- */

static int64_t position(const struct transfer *t) {
    return t->source.fd >= 0 ? t->source.from + t->source.sent : t->sink.pos;
}

void transfer_say_progress(struct transfer *t) {
    int64_t now = clock_boot();
    if ((t->sink.file < 0 && t->source.fd < 0) || now - t->said < PROGRESS_EVERY)
        return;
    t->said = now;
    autojson j = json_object();
    json_set_int(j, "id", t->req.id);
    json_set_int(j, "progress", position(t));
    fetcher_send(t->fetcher, j);
}

static struct json *error_json(const struct err *e) {
    autostr struct str text = STR_INIT;
    err_encode(e, &text);
    struct json *j = NULL;
    err_free(json_parse(str_c(&text), text.len, "error", 0, &j));
    return j ? j : json_null();
}

/* Where the server says that an upload goes on. */
static void set_location(const struct transfer *t, struct json *j) {
    const char *location = strmap_get(&t->headers, "location");
    if (!location || t->status / 100 != 2)
        return;
    autofree char *url = NULL;
    bool same = false;
    autoerr e = redirect_resolve(t->req.url, t->url, location, &url, &same);
    if (e) {
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        json_set_str(j, "misled", str_c(&why));
        return;
    }
    json_set_str(j, "location", url);
    json_set_bool(j, "elsewhere", !(same && t->same_origin));
}

void transfer_say_done(struct transfer *t) {
    autojson j = json_object();
    json_set_int(j, "id", t->req.id);
    json_set_bool(j, "done", true);
    json_set_int(j, "status", t->status);
    json_set_strmap(j, "headers", &t->headers);
    json_set_int(j, "size", position(t));
    set_location(t, j);
    json_set_int(j, "curl", (int64_t)t->code);
    if (t->body.len && str_utf8_ok(t->body.ptr, t->body.len))
        json_set_str(j, "body", str_c(&t->body));
    if (t->err)
        json_set(j, "error", error_json(t->err));
    fetcher_send(t->fetcher, j);
}
