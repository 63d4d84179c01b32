/* download: one URL of the user's, for import. By coracle-fetch, with its retries and its rules about TLS and
 * redirects. */
#include "image/image.h"

#include "base/err.h"
#include "image/client_int.h"

#define DOWNLOAD_MAX (INT64_C(1) << 42)

struct err *image_download(const struct host *h, const char *url, const int *interrupted_fd, int file) {
    autoclient client = NULL;
    struct fetch_xfer x = {.done = false};
    if (!str_starts(url, "http://") && !str_starts(url, "https://"))
        return err_new(ERR_USAGE, "cannot import from %s: only http and https are fetched", url);
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
    fetch_xfer_done(client, &x);
    return e;
}
