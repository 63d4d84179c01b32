/*
 * top_int: what the files of top share.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "engine/procs_int.h"

struct err;
struct json;
struct strv;

/*
 * Whether the options ask for columns that are made here: none at all (as "-ef": UID, PID, PPID …), or podman's
 * descriptors; *ret_columns: their names.
 */
bool top_words(const struct strv *options, struct strv *ret_columns);
/* Fills docker's Titles and Processes with these columns. `init`: the container's first process. */
void top_columns(pid_t init, const struct procs *procs, const struct strv *columns, struct json *titles,
                 struct json *rows);
/* The same from what ps printed, of these processes only. system when it has no column PID. */
struct err *top_parse_ps(const char *text, const struct procs *procs, struct json *titles, struct json *rows)
    __attribute__((warn_unused_result));
