/*
 * What coracle-fetch takes of an answer: lines of its header, one after the other, with the first of them the address
 * that was asked for. A place to go on is one of http, and never a step down from TLS; what is kept of a header can be
 * sent on as JSON.
 */
#include "fetch/redirect.c"
#include "fetch/request.c"
#include "fetch/setup.c"
#include "fetch/sink.c"
#include "fetch/source.c"
#include "fetch/transfer.c"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* main.c's: nothing is transferred here. */
CURLM *fetcher_multi(const struct fetcher *f) {
    (void)f;
    return NULL;
}
void fetcher_send(struct fetcher *f, const struct json *j) { (void)f, (void)j; }

static void go_on(const char *from, const char *location) {
    autofree char *url = NULL;
    bool same = false;
    autoerr e = redirect_resolve(from, from, location, &url, &same);
    if (e)
        return;
    bool tls = !strncasecmp(url, "https://", 8);
    if ((!tls && strncasecmp(url, "http://", 7) != 0) || (!tls && !strncasecmp(from, "https:", 6)) || strchr(url, '#'))
        abort();
    autofree char *plain = redirect_plain_url(url);
    if (strpbrk(plain, "?# \r\n"))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autostrv struct strv lines = {.n = 0};
    struct transfer t = {.status = 206};
    strv_split(&lines, text, '\n');
    for (size_t i = 1; i < lines.n; i++) {
        size_t n = strlen(lines.v[i]);
        autofree char *exact = mem_alloc(n); /* no NUL behind it, as libcurl has it */
        memcpy(exact, lines.v[i], n);
        if (transfer_on_header(exact, 1, n, &t) != n)
            break;
    }
    for (size_t i = 0; i < t.headers.n; i++)
        if (!str_utf8_ok(t.headers.e[i].value, strlen(t.headers.e[i].value)))
            abort();
    (void)range_is_right(&t);
    const char *location = strmap_get(&t.headers, "location");
    if (lines.n && location)
        go_on(lines.v[0], location);
    strmap_done(&t.headers);
    err_free(t.sink.err);
    return 0;
}
