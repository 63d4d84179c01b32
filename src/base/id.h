/*
 * id: object ids, docker's random names, and sha256 digests.
 *
 * An id is 64 lower-case hex digits. A digest is "sha256:" and 64 lower-case hex digits; nothing else is accepted
 * anywhere, so a digest is always safe as a file name after digest_hex(). libcrypto is loaded with dlopen when the
 * first digest is computed, so that commands that compute none do not pay for it. dlopen finds it by path: never
 * call these after a change of root (the same holds for host_id_map()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define ID_LEN 64
#define ID_SHORT_LEN 12
#define DIGEST_LEN 71 /* "sha256:" + 64 */

/* 32 random bytes in hex from getrandom(2). */
void id_random(char ret[ID_LEN + 1]);
/* 64 random bits from getrandom(2), for temporary names. */
uint64_t id_random_u64(void);
/* docker's adjective_surname, `attempt` > 0 appends a digit. Our own word lists. Owned. */
char *id_random_name(int attempt) __attribute__((returns_nonnull, warn_unused_result));
/* True for [a-zA-Z0-9][a-zA-Z0-9_.-]+ (docker's container names). */
bool id_name_ok(const char *name);
/* True for a canonical sha256 digest. */
bool digest_ok(const char *digest);
/* The 64 hex digits of a digest that digest_ok() accepted; borrowed. */
const char *digest_hex(const char *digest);

struct digest_ctx;
/* Starts a sha256; unsupported when libcrypto is missing. */
struct err *digest_new(struct digest_ctx **ret) __attribute__((warn_unused_result));
void digest_update(struct digest_ctx *c, const void *data, size_t n);
/* Writes "sha256:…" and frees the context. */
void digest_final(struct digest_ctx *take_c, char ret[DIGEST_LEN + 1]);
void digest_free(struct digest_ctx *c);
/* Digest of a buffer. */
struct err *digest_of(const void *data, size_t n, char ret[DIGEST_LEN + 1]) __attribute__((warn_unused_result));
/* Digest of the rest of a file descriptor; ret_size may be NULL. */
struct err *digest_of_fd(int fd, char ret[DIGEST_LEN + 1], long long *ret_size) __attribute__((warn_unused_result));
