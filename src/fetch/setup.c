/* setup: everything that libcurl is told about one attempt. Nothing is left to its defaults that touches trust. */
#include "fetch/fetch_int.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"

#define CA_MAX ((size_t)8 << 20)
#define BUFFER_BYTES (256L << 10)

static void add_header(struct transfer *t, const char *header) {
    struct curl_slist *list = curl_slist_append(t->header_list, header);
    if (!list)
        abort();
    t->header_list = list;
}

static void set_headers(struct transfer *t) {
    curl_slist_free_all(t->header_list);
    t->header_list = NULL;
    for (size_t i = 0; i < t->req.headers.n; i++)
        if (t->same_origin || redirect_keeps_header(t->req.headers.v[i]))
            add_header(t, t->req.headers.v[i]);
    add_header(t, "Accept-Encoding: identity"); /* a digest is of the bytes as stored, never of a decoded form */
    add_header(t, "Expect:");
    if (t->sink.pos > 0 && !t->whole && t->source.fd < 0) {
        autofree char *range = mem_printf("Range: bytes=%lld-", (long long)t->sink.pos);
        add_header(t, range);
    }
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->header_list);
}

static struct err *append_file(const char *path, struct str *out) {
    autofd int fd = -1;
    TRY(fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd));
    TRY(io_read_all(fd, CA_MAX, path, out));
    str_append_c(out, '\n');
    return NULL;
}

/* A registry's own authorities are trusted beside the system's, as docker does; libcurl only knows "instead". */
static struct err *set_authorities(struct transfer *t) {
    if (t->req.ca.n == 0)
        return NULL;
    autostr struct str all = STR_INIT_MAX(2 * CA_MAX);
    const char *system = curl_version_info(CURLVERSION_NOW)->cainfo;
    if (system)
        err_free(append_file(system, &all)); /* a machine without a bundle has only these */
    for (size_t i = 0; i < t->req.ca.n; i++)
        TRY_CTX(append_file(t->req.ca.v[i], &all), "read certificate authority");
    struct curl_blob blob = {.data = all.ptr, .len = all.len, .flags = CURL_BLOB_COPY};
    curl_easy_setopt(t->easy, CURLOPT_CAINFO_BLOB, &blob);
    return NULL;
}

static struct err *set_tls(struct transfer *t) {
    bool insecure = t->req.insecure && t->same_origin;
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L);
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L);
    curl_easy_setopt(t->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!t->same_origin)
        return NULL;
    if (t->req.cert && t->req.key) {
        curl_easy_setopt(t->easy, CURLOPT_SSLCERT, t->req.cert);
        curl_easy_setopt(t->easy, CURLOPT_SSLKEY, t->req.key);
    }
    return insecure ? NULL : set_authorities(t);
}

/* The body of an upload comes from its file; one that has none says so, as servers want to know. */
static void set_upload(struct transfer *t) {
    bool file = t->source.fd >= 0;
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, t->req.method);
    curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(file ? t->source.length : 0));
    curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, source_on_read);
    curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, source_on_seek);
    curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, FETCH_DIGEST_SECONDS);
}

static void set_method(struct transfer *t) {
    if (str_eq(t->req.method, "HEAD")) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else if (t->source.fd >= 0 || str_eq(t->req.method, "PUT") || str_eq(t->req.method, "PATCH")) {
        set_upload(t);
    } else if (str_eq(t->req.method, "POST")) {
        const char *body = t->req.body ? t->req.body : "";
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, body);
    } else {
        curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    }
}

struct err *setup_easy(struct transfer *t) {
    curl_easy_reset(t->easy);
    CURL *c = t->easy;
    if (curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https"))
        return err_new(ERR_UNSUPPORTED, "this libcurl cannot limit protocols");
    if (curl_easy_setopt(c, CURLOPT_URL, t->url))
        return err_new(ERR_USAGE, "malformed URL");
    curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error_text);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(c, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, FETCH_CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, FETCH_STALL_BYTES);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, FETCH_STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)t->req.seconds);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "coracle/" CORACLE_VERSION);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, transfer_on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, transfer_on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    set_method(t);
    set_headers(t);
    return set_tls(t);
}
