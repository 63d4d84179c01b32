/*
 * context_int: where a build's files come from: a directory of the user's; or a tar on standard input or at a URL, or a
 * git repository, which are unpacked or checked out into a directory of the store that goes with the build. A text that
 * comes on such a way and is no archive is a Dockerfile alone, and there are no files.
 *
 * What was unpacked belongs to the user and is read like any other context: no link leads out of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "build/git_int.h"

struct err;
struct build_options;
struct store;

struct context {
    int dir;                     /* -1: there are no files */
    bool remote;                 /* it is none of the user's directories: the Dockerfile is looked for in it */
    bool is_dockerfile;          /* `dockerfile` is all there is */
    struct str dockerfile;       /* its text */
    char commit[GIT_COMMIT_MAX]; /* of a repository; "": it is none */
    char *tmp;                   /* tmp/<name> of the store, or NULL */
    int tmp_fd;
};
#define CONTEXT_INIT                                                                                                   \
    { .dir = -1, .tmp_fd = -1 }

/* Opens what the user named as the context, or, with `name`, as the build context of that name. */
struct err *context_open(const struct build_options *o, struct store *s, const char *text, struct context *ret)
    __attribute__((warn_unused_result));
void context_done(struct store *s, struct context *c);
/* Whether a text is a URL that is fetched. */
bool context_is_remote(const char *text);
/* A new directory of the store, empty, that goes with context_done(). */
struct err *context_new_directory(struct store *s, struct context *ret) __attribute__((warn_unused_result));
struct context_git {
    const char *url;
    bool keep_git_dir;
    char commit[GIT_COMMIT_MAX]; /* that was checked out */
};
/* The same with a repository's files; subdirectories of the URL are gone into. */
struct err *context_git(const struct build_options *o, struct store *s, struct context_git *g, struct context *ret)
    __attribute__((warn_unused_result));
/* The text of a Dockerfile at a URL. */
struct err *context_fetch_text(const struct build_options *o, struct store *s, const char *url, struct str *out)
    __attribute__((warn_unused_result));
/* Whether the first bytes of a file (at least 512 of them where there are as many) are a tar's, or a compressed file's.
 * Pure. */
bool context_is_archive(const void *start, size_t n);
