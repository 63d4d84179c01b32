/*
 * fetch_int: the parts of coracle-fetch.
 *
 *     main.c      channel and event loop: requests in, answers out, one curl_multi_poll for sockets and the channel
 *     transfer.c  one request through its life: attempts, redirects, back-off, the final answer
 *     setup.c     a transfer's options for libcurl: protocols, TLS, headers
 *     sink.c      where the bytes go: a file, with a bell for who reads it, or nowhere
 *     source.c    where the bytes of an upload come from
 *     redirect.c  which redirects are followed, and what of the request goes along
 *     request.c   a request from its JSON
 *
 * Request  {"id":N, "url":"…", "method":"GET|HEAD|POST|PUT|PATCH", "headers":["Name: value"…], "body":"…", "max":N,
 *           "size":N, "offset":N, "file":true, "bell":true, "attempts":N, "length":N, "delay":ms, "seconds":N,
 *           "insecure":true, "ca":["file"…], "cert":"file", "key":"file"}
 *          with the descriptors of file and bell, in this order. `size` is the exact size of the whole object where it
 *          is known; `offset` bytes of it are there already and are not fetched (or not written) again.
 *          With `length` the file is what is sent, so many bytes from `offset`; such a request has one attempt
 *          where nothing else is said: what a server has kept of it is the parent's to find out. It begins after
 * `delay` and each attempt is over after `seconds`, where that is not 0.
 *          {"cancel":N} ends a transfer without an answer.
 * Answers  {"id":N, "progress":bytes}  at most ten a second, counted from the object's first byte, and one
 *          {"id":N, "done":true, "status":N, "headers":{lower-case…}, "size":bytes, "body":"an error's text", "curl":N,
 *           "location":"absolute URL", "elsewhere":true, "misled":"why not", "error":{…}}
 *          `location` is that of a 2xx answer: the place of an upload. `elsewhere`: it is of another origin than the
 *          request, so that no credential may be sent there. `misled`: why the Location that there was is not usable.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct json;

#define FETCH_ATTEMPTS 6
#define FETCH_REDIRECTS 10
#define FETCH_CONNECT_SECONDS 30L
#define FETCH_STALL_SECONDS 60L
#define FETCH_STALL_BYTES 64L     /* a second; what is slower for that long has stalled */
#define FETCH_DIGEST_SECONDS 300L /* a server may be silent for so long while it checks what it was sent */
#define FETCH_RETRY_AFTER_MAX 60
#define FETCH_HEADER_BYTES ((size_t)128 << 10)
#define FETCH_BODY_MAX ((size_t)16 << 10)

struct request {
    int64_t id;
    char *url, *method, *body;
    struct strv headers;
    int64_t max;  /* bytes of the whole object */
    int64_t size; /* exact size, or -1 */
    int64_t offset;
    int64_t attempts;
    int64_t length; /* bytes to send from `offset` of a file, -1: nothing is sent */
    int64_t delay;  /* nanoseconds */
    int64_t seconds;
    bool insecure;
    struct strv ca;
    char *cert, *key;
};
struct err *request_parse(const struct json *j, struct request *ret) __attribute__((warn_unused_result));
void request_done(struct request *r);

/* Where the bytes of a 2xx answer go. */
struct sink {
    int file, bell; /* owned, -1: none */
    int64_t pos;    /* bytes of the object that have been taken so far, `offset` included */
    int64_t max;
    int64_t skip;    /* bytes of this answer to throw away: the server ignored Range */
    int64_t rung_at; /* pos when the bell last rang */
    struct err *err; /* what broke; ends the transfer for good */
};
/* Takes the descriptors and makes the bell non-blocking. */
struct err *sink_init(struct sink *s, int take_file, int take_bell, int64_t offset, int64_t max)
    __attribute__((warn_unused_result));
void sink_done(struct sink *s);
/* Takes bytes; false when it failed (s->err says why). */
bool sink_write(struct sink *s, const char *data, size_t n);

/* The bytes of an upload: `length` bytes of a file, beginning at `from`. */
struct upload_source {
    int fd; /* owned, -1: nothing is sent */
    int64_t from, length, sent;
};
void source_done(struct upload_source *s);
/* libcurl's callbacks: struct transfer. */
size_t source_on_read(char *buf, size_t one, size_t n, void *ctx);
int source_on_seek(void *ctx, curl_off_t offset, int origin);

enum transfer_state { TRANSFER_WAITING, TRANSFER_RUNNING, TRANSFER_OVER };
struct fetcher;
struct transfer {
    struct request req;
    struct fetcher *fetcher;
    enum transfer_state state;
    CURL *easy;
    struct curl_slist *header_list;
    char error_text[CURL_ERROR_SIZE];
    struct sink sink;
    struct upload_source source;
    char *url;        /* where this attempt has got to by redirects */
    bool same_origin; /* no redirect has left the first scheme, host and port: credentials may go along */
    bool misplaced;   /* this answer is another part of the object than was asked for */
    bool enough;      /* of an error's text has come */
    bool whole;       /* the server's ranges are wrong: ask for everything and skip what is there */
    int redirects, attempt;
    int64_t attempt_pos; /* sink.pos when the last failed attempt ended */
    int64_t due;         /* clock_boot() when a waiting one starts */
    int64_t said;        /* when progress was last told */
    /* the answer so far */
    long status;
    struct strmap headers;
    size_t header_bytes;
    struct str body;
    CURLcode code;
    struct err *err; /* what the answer will report */
};
/* Makes a transfer that is due after the request's delay. Takes request, sink and, where something is sent, the file.
 */
struct transfer *transfer_new(struct fetcher *f, struct request *take_req, struct sink *take_sink, int take_source)
    __attribute__((returns_nonnull, warn_unused_result));
void transfer_free(struct transfer *t);
/* Starts a waiting transfer's next attempt. */
void transfer_start(struct transfer *t);
/* libcurl is done with this attempt: decides between over, another attempt and a redirect. */
void transfer_ended(struct transfer *t, CURLcode code);
/* Tells how far it is, at most ten times a second; the final answer. */
void transfer_say_progress(struct transfer *t);
void transfer_say_done(struct transfer *t);

/* Sets every option of t->easy for the next attempt. */
struct err *setup_easy(struct transfer *t) __attribute__((warn_unused_result));
/* libcurl's callbacks. */
size_t transfer_on_header(char *data, size_t one, size_t n, void *ctx);
size_t transfer_on_body(char *data, size_t one, size_t n, void *ctx);

/* True for a status that sends the client elsewhere. */
bool redirect_is(long status);
/*
 * Resolves a Location against the current URL. Refused: anything but http and https, https → http, user names in URLs.
 * *ret_same_origin: scheme, host and port of `first` have been kept.
 */
struct err *redirect_resolve(const char *first, const char *current, const char *location, char **ret_url,
                             bool *ret_same_origin) __attribute__((warn_unused_result));
/* True when a header of the request may be sent to another origin. */
bool redirect_keeps_header(const char *header);
/* "scheme://host[:port]/path" without query, for messages: signed URLs carry secrets there. Owned. */
char *redirect_plain_url(const char *url) __attribute__((returns_nonnull, warn_unused_result));

/* What transfers need of the loop. */
CURLM *fetcher_multi(const struct fetcher *f);
void fetcher_send(struct fetcher *f, const struct json *j);
