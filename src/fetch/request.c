/* request: what the parent asks for. The parent is trusted, but a header with a line break is a bug worth catching
 * here. */
#include "fetch/fetch_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define DELAY_MAX_MS INT64_C(120000)

void request_done(struct request *r) {
    free(r->url);
    free(r->method);
    free(r->body);
    free(r->cert);
    free(r->key);
    strv_done(&r->headers);
    strv_done(&r->ca);
    *r = (struct request){0};
}

static bool printable(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static struct err *opt_text(const struct json *j, const char *key, char **ret) {
    const char *v = NULL;
    TRY(json_get_str_opt(j, key, NULL, &v));
    *ret = mem_dup(v);
    return NULL;
}

static struct err *parse_numbers(const struct json *j, struct request *r) {
    TRY(json_get_i64(j, "id", &r->id));
    TRY(json_get_i64(j, "max", &r->max));
    TRY(json_get_i64_opt(j, "size", -1, &r->size));
    TRY(json_get_i64_opt(j, "offset", 0, &r->offset));
    TRY(json_get_i64_opt(j, "length", -1, &r->length));
    TRY(json_get_i64_opt(j, "attempts", r->length >= 0 ? 1 : FETCH_ATTEMPTS, &r->attempts));
    TRY(json_get_i64_opt(j, "seconds", 0, &r->seconds));
    TRY(json_get_i64_opt(j, "delay", 0, &r->delay));
    bool sends = r->length >= 0;
    if (r->max < 0 || r->offset < 0 || (!sends && r->offset > r->max) || r->size > r->max || r->delay < 0 ||
        r->delay > DELAY_MAX_MS || r->seconds < 0)
        return err_new(ERR_USAGE, "request %lld: sizes contradict each other", (long long)r->id);
    r->delay *= NSEC_PER_MSEC;
    return NULL;
}

static bool method_ok(const struct request *r) {
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(r->method, known[i]))
            return r->length < 0 || i >= 2;
    return false;
}

static struct err *parse_into(const struct json *j, struct request *r) {
    const char *url = NULL, *method = NULL;
    TRY(parse_numbers(j, r));
    TRY(json_get_str(j, "url", &url));
    TRY(json_get_str_opt(j, "method", "GET", &method));
    r->url = mem_dup(url);
    r->method = mem_dup(method);
    TRY(opt_text(j, "body", &r->body));
    TRY(opt_text(j, "cert", &r->cert));
    TRY(opt_text(j, "key", &r->key));
    TRY(json_get_bool_opt(j, "insecure", false, &r->insecure));
    TRY(json_get_strv_opt(j, "headers", &r->headers));
    TRY(json_get_strv_opt(j, "ca", &r->ca));
    for (size_t i = 0; i < r->headers.n; i++)
        if (!printable(r->headers.v[i]) || !strchr(r->headers.v[i], ':'))
            return err_new(ERR_USAGE, "request %lld: header %zu is malformed", (long long)r->id, i);
    if (!method_ok(r))
        return err_new(ERR_UNSUPPORTED, "request %lld: method %s", (long long)r->id, method);
    return NULL;
}

struct err *request_parse(const struct json *j, struct request *ret) {
    struct request r = {0};
    struct err *e = parse_into(j, &r);
    if (e) {
        request_done(&r);
        return e;
    }
    *ret = r;
    return NULL;
}
