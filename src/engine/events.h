/*
 * events: the journal of what happened to containers, images, networks and volumes, in docker's words.
 *
 * There is no daemon that could tell, so each process that does something says so itself: it appends a line of JSON to
 * <store>/events.jsonl, which `coracle events` reads back and follows. A monitor tells what happens while nobody else
 * looks (start, die, kill, oom, health_status, a --rm container's destroy), commands tell the rest.
 *
 * Writing: no lock. A batch of lines is one write(2) with O_APPEND, which the kernel keeps together. A record is at
 * most EVENT_MAX bytes; labels that do not fit are left out. It begins with a newline and ends with one, so that what a
 * power cut or a full disk tore spoils no line but itself. Telling is best effort: no command fails because its event
 * could not be written, and nothing is synced. Rotation: whoever finds the file larger than EVENTS_FILE_MAX renames it,
 * under its lock, to events.jsonl.1, in place of the one before; so there are at most two, and some thousands of events
 * (docker remembers 256). Reading: from the older file to the younger one, then inotify on the directory. A line that
 * is no event is skipped. A writer that opened the file just before its rename is still heard: a follower reads both.
 *
 * An event as the journal and engine_events() have it, keys of the attributes sorted:
 *     {"Type":"container","Action":"die","Actor":{"ID":"<id>","Attributes":{"exitCode":"0","image":"busybox",…}},
 *      "scope":"local","time":1767323045,"timeNano":1767323045123456789}
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct err;
struct host;
struct json;
struct str;

#define EVENTS_FILE "events.jsonl"
#define EVENT_MAX ((size_t)4096)
#define ENGINE_UNSEEN "Unseen" /* in a container's summary: a step of a build, of which nothing is told */
#define EVENTS_FILE_MAX ((int64_t)1 << 20)

/* ---- telling ---- */

struct event {
    const char *type, *action, *id;
    const char *const *attributes; /* key, value, key, value, …, NULL; or NULL */
    const struct json *labels;     /* an object of strings that are attributes too, or NULL */
};
/* Appends an event, of now, to a batch. */
void events_add(struct str *batch, const struct event *ev);
/* Appends a batch to the journal; an empty one is nothing. */
void events_write(const struct host *h, const struct str *batch);
/* Both, for one event. */
void events_tell(const struct host *h, const struct event *ev);
/* One of a container: `summary` (container.json) gives its image, name and labels. `extra`: further attributes as
 * above, at most six pairs; or NULL. */
void events_add_container(struct str *batch, const struct json *summary, const char *action, const char *const *extra);
void events_tell_container(const struct host *h, const struct json *summary, const char *action,
                           const char *const *extra);

/* ---- listening ---- */

/* Called for each event, oldest first; an error ends the reading and is its result. */
typedef struct err *events_fn(void *ctx, const struct json *event);

struct events_query {
    int64_t since, until; /* ns, 0: unset. Neither: what happens from now on; `since`: the journal first, from there on;
                             `until` alone: all of the journal first */
    int interrupt_fd;     /* readable: stop; -1 */
};
/* Reads the journal, and follows it until `until`; for ever when that is unset. */
struct err *engine_events(struct engine *e, const struct events_query *q, events_fn *each, void *ctx)
    __attribute__((warn_unused_result));

/* A line of the journal; NULL for what is none. Owned. */
struct json *events_parse(const char *line, size_t n) __attribute__((warn_unused_result));
