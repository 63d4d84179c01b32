/*
 * lognames_int: the files of a log in a container's directory, for who writes them and who reads them.
 *
 *     log          the current one
 *     log.N        one that was rotated away: N counts up from 1, so a file never changes its name again
 *     log.N.gz     the same, compressed
 *
 * Numbers that are there are a range without gaps. A file is compressed into another name which then becomes log.N.gz,
 * and only after that does log.N go: who looks for the one first and the other then finds one of them. A name that
 * never moves is what lets several readers follow while files are rotated and compressed under them; docker's numbers,
 * which all shift up at each rotation, would not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;

/* The current file. */
#define LOG_NAME "log"
/* What becomes it, and what becomes a compressed file. */
#define LOG_NAME_NEXT "log.new"
#define LOG_NAME_PACKED "log.gz.new"

enum { LOG_NAME_SIZE = 32 };
/* "log.N" or "log.N.gz". */
void logname(int64_t number, bool packed, char ret[LOG_NAME_SIZE]);

struct logrange {
    int64_t oldest, newest; /* newest < oldest: there is none */
};
/* Which numbers are there. */
struct err *logrange_find(int dirfd, struct logrange *ret) __attribute__((warn_unused_result));
/* Removes a rotated file in either form. */
void logname_remove(int dirfd, int64_t number);
