/*
 * ignore_int: which files a pattern list leaves out: .dockerignore, and --exclude of COPY and ADD.
 *
 * The rules are those of docker's pattern matcher: patterns are taken in order and the last one that matches a path, or
 * a directory above it, decides; "!" takes a path in again; "**" is any number of directories; '#' at the start of a
 * line begins a comment; patterns and paths are relative to the context's root. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;
struct ignore;
struct strv;

#define IGNORE_MAX ((size_t)4 << 20)

/* Reads the text of a .dockerignore. Usage errors name the line. */
struct err *ignore_parse(const char *text, struct ignore **ret) __attribute__((warn_unused_result));
/* Reads the file of that name in a directory, which no link leads out of; *ret is NULL where there is none. */
struct err *ignore_read(int dir, const char *name, struct ignore **ret) __attribute__((warn_unused_result));
/* The same from a list of patterns (may be empty). */
struct err *ignore_new(const struct strv *patterns, struct ignore **ret) __attribute__((warn_unused_result));
void ignore_free(struct ignore *ig);
static inline void ignore_freep(struct ignore **ig) { ignore_free(*ig); }
#define autoignore __attribute__((cleanup(ignore_freep))) struct ignore *
/* Whether a path ("dir/file", clean and relative) is left out. NULL leaves out nothing. */
bool ignore_path(const struct ignore *ig, const char *path);
/* Whether there are "!" patterns. */
bool ignore_has_exceptions(const struct ignore *ig);
/* Whether something below a directory that is left out may be taken in again, so that it must be looked into. */
bool ignore_may_keep_below(const struct ignore *ig, const char *directory);
