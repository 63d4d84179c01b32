/* download: one URL of the user's, for import and builds. By coracle-fetch, with its retries and its rules about TLS
 * and redirects. */
#include "image/image.h"

#include <time.h>

#include "base/err.h"
#include "image/client_int.h"

#define DOWNLOAD_MAX (INT64_C(1) << 42)

/* "Sun, 06 Nov 1994 08:49:37 GMT", the form that RFC 9110 has servers send. */
static int64_t http_date(const char *text) {
    struct tm tm = {.tm_year = 0};
    const char *end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;
    return end && !*end ? (int64_t)timegm(&tm) : 0;
}

struct err *image_download(const struct host *h, const char *url, const int *interrupted_fd, int file,
                           int64_t *ret_modified) {
    autoclient client = NULL;
    struct fetch_xfer x = {.done = false};
    if (!str_starts(url, "http://") && !str_starts(url, "https://"))
        return err_new(ERR_USAGE, "%s: only http and https are fetched", url);
    TRY(fetch_client_new(h, interrupted_fd, &client));
    const struct fetch_req req = {.url = url, .max = DOWNLOAD_MAX, .size = -1, .file = file, .bell = -1};
    TRY(fetch_start(client, &req, &x));
    struct err *e = fetch_wait(client, &x);
    if (!e && x.err) {
        e = x.err;
        x.err = NULL;
    }
    if (!e && x.status / 100 != 2)
        e = err_new(x.status == 404 ? ERR_NOT_FOUND : ERR_NETWORK, "%s: the server answers with status %lld", url,
                    (long long)x.status);
    if (ret_modified)
        *ret_modified = http_date(strmap_get(&x.headers, "last-modified"));
    fetch_xfer_done(client, &x);
    return e;
}
