/*
 * glob_int: the two pattern languages of a build, compiled to one machine. Text is read by code point; a byte that is
 * no UTF-8 is a character of its own. Matching walks all positions of the pattern at once, so its time is the product
 * of the two lengths whatever the pattern is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum glob_language {
    GLOB_SHELL, /* ${v#p}: '*' and '?' are any characters, '\' takes the next one as it is */
    GLOB_PATHS, /* .dockerignore, --exclude, COPY: Go's filepath.Match, and "**" is any number of directories */
};

struct glob {
    struct glob_token *token;
    size_t n, cap;
    uint32_t *range; /* pairs: the characters of all classes */
    size_t n_ranges;
};

/* Compiles a pattern; a usage error for one that filepath.Match would refuse. Done with glob_done(). */
struct err *glob_compile(const char *pattern, enum glob_language language, struct glob *ret)
    __attribute__((warn_unused_result));
void glob_done(struct glob *g);
#define autoglob __attribute__((cleanup(glob_done))) struct glob
/* Whether all of `text` is matched. */
bool glob_matches(const struct glob *g, const char *text);
/*
 * How many bytes at the start (`suffix`: at the end) of `text` the pattern matches: as few as it can, or as many. False
 * when it matches none of the lengths, 0 included.
 */
bool glob_extent(const struct glob *g, const char *text, bool suffix, bool longest, size_t *ret);
/* True when the text holds a character that a pattern may have in mind. */
bool glob_is_pattern(const char *text);
