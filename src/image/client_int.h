/*
 * client_int: our end of coracle-fetch (src/fetch/fetch_int.h describes the messages). Transfers run side by side in
 * the helper; each has a struct fetch_xfer here that answers are written into as they come. Waiting for one of them
 * keeps the others up to date, so callers can mix waiting calls with their own poll loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct fetch_client;
struct host;

/* Those of libcurl's codes that decide something here (they are part of its ABI). */
enum { FETCH_CURL_UNRESOLVED = 6, FETCH_CURL_UNCONNECTED = 7 };

/* How to talk TLS to one host. */
struct tls_files {
    bool insecure;    /* the user has said that this host need not prove who it is */
    struct strv ca;   /* authorities to trust beside the system's */
    char *cert, *key; /* client certificate, or NULL */
};

struct fetch_req {
    const char *url, *method /* NULL: GET */, *body;
    const struct strv *headers;  /* may be NULL */
    const struct tls_files *tls; /* may be NULL */
    int64_t max;                 /* bytes that the object may have */
    int64_t size;                /* exact size, -1: unknown */
    int64_t offset;              /* bytes that `file` has already */
    int64_t attempts;            /* 0: the usual number */
    int file, bell;              /* -1: none; borrowed */
    bool send;                   /* `length` bytes of `file` from `offset` are sent; there is one attempt */
    int64_t length;
    int64_t delay;   /* nanoseconds to wait before */
    int64_t seconds; /* that an attempt may take, 0: as long as something comes */
};

/* Zero-initialise; must stay where it is while its transfer runs. */
struct fetch_xfer {
    int64_t id; /* 0: none running */
    bool done;
    int64_t bytes;  /* of the object so far, offset included */
    int64_t status; /* HTTP status, 0: there was no answer */
    int64_t curl;   /* libcurl's code of the last attempt */
    struct strmap headers;
    char *body;      /* text of an answer that is an error, or NULL */
    char *location;  /* of a 2xx answer, absolute; or NULL */
    bool elsewhere;  /* it is of another origin than the request */
    char *misled;    /* why there is none although the server named one, or NULL */
    struct err *err; /* the transfer failed; a status of 400 and more is not a failure here */
};

/* Starts the helper. interrupted_fd (may be NULL) ends every wait with ERR_INTERRUPTED. */
struct err *fetch_client_new(const struct host *h, const int *interrupted_fd, struct fetch_client **ret)
    __attribute__((warn_unused_result));
/* Ends it; transfers that run are cut. */
void fetch_client_free(struct fetch_client *c);
static inline void fetch_client_freep(struct fetch_client **c) { fetch_client_free(*c); }
#define autoclient __attribute__((cleanup(fetch_client_freep))) struct fetch_client *

/* Starts a transfer. */
struct err *fetch_start(struct fetch_client *c, const struct fetch_req *req, struct fetch_xfer *x)
    __attribute__((warn_unused_result));
/* Waits until it is done. The result is in `x`; the error returned is one of the channel or an interruption. */
struct err *fetch_wait(struct fetch_client *c, struct fetch_xfer *x) __attribute__((warn_unused_result));
/* Stops a running transfer and frees what `x` holds. */
void fetch_xfer_done(struct fetch_client *c, struct fetch_xfer *x);

/* For poll loops: the descriptor, whether answers are buffered already, and taking in one answer (blocks when none is
 * there). */
int fetch_client_fd(const struct fetch_client *c);
bool fetch_client_pending(const struct fetch_client *c);
struct err *fetch_client_receive(struct fetch_client *c) __attribute__((warn_unused_result));
