/* events: listening. The pure part takes lines apart and is fuzzed; the other follows the files. See events.h. */
#include "engine/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* ---- a line ---- */

static int by_key(const void *a, const void *b) {
    return strcmp(json_key(*(struct json *const *)a), json_key(*(struct json *const *)b));
}

/* The attributes in the order of their keys, as Go writes maps; NULL when one of them is no text. Owned. */
static struct json *sorted(const struct json *attributes) {
    size_t n = 0, count = json_count(attributes);
    autofree struct json **v = mem_array(count + 1, sizeof *v);
    JSON_EACH(a, attributes) {
        if (!json_str_value(a))
            return NULL;
        v[n++] = a;
    }
    qsort(v, n, sizeof(struct json *), by_key);
    struct json *out = json_object();
    for (size_t i = 0; i < n; i++)
        json_set_str(out, json_key(v[i]), json_str_value(v[i]));
    return out;
}

struct json *events_parse(const char *line, size_t n) {
    autojson j = NULL;
    const char *type, *action, *id;
    struct json *actor, *attributes;
    int64_t at;
    if (n < 2 || line[0] != '{' || n > 8 * EVENT_MAX)
        return NULL;
    autoerr bad = json_parse(line, n, EVENTS_FILE, JSON_REFUSE_DUPLICATES, &j);
    if (!bad)
        bad = json_get_str(j, "Type", &type);
    if (!bad)
        bad = json_get_str(j, "Action", &action);
    if (!bad)
        bad = json_get_object(j, "Actor", &actor);
    if (!bad)
        bad = json_get_str(actor, "ID", &id);
    if (!bad)
        bad = json_get_object(actor, "Attributes", &attributes);
    if (!bad)
        bad = json_get_i64(j, "timeNano", &at);
    struct json *in_order = bad ? NULL : sorted(attributes);
    if (!in_order)
        return NULL;
    struct json *out = json_object(), *who = json_object();
    json_set_str(out, "Type", type);
    json_set_str(out, "Action", action);
    json_set_str(who, "ID", id);
    json_set(who, "Attributes", in_order);
    json_set(out, "Actor", who);
    json_set_str(out, "scope", "local");
    json_set_int(out, "time", at / NSEC_PER_SEC);
    json_set_int(out, "timeNano", at);
    return out;
}

/* ---- the files ---- */

struct journal {
    const struct events_query *q;
    events_fn *each;
    void *ctx;
    int dirfd;  /* the store's root, borrowed */
    int notify; /* of the directory */
    struct journal_file {
        int fd;
        struct str rest; /* a line that has no end yet */
    } old, now;
};

static void file_close(struct journal_file *f) {
    fd_replace(&f->fd, -1);
    str_done(&f->rest);
}

static struct err *take_line(struct journal *j, const char *line, size_t n) {
    autojson event = events_parse(line, n);
    int64_t at = json_int_value(json_get(event, "timeNano"), 0);
    if (!event || at < j->q->since || (j->q->until && at > j->q->until))
        return NULL;
    return j->each(j->ctx, event);
}

/* What has been read of a file: whole lines are taken, the rest waits. A line without an end is no event of ours. */
static struct err *take_lines(struct journal *j, struct journal_file *f, const char *text, size_t n) {
    while (n) {
        const char *end = memchr(text, '\n', n);
        size_t part = end ? (size_t)(end - text) : n;
        if (f->rest.len + part <= 8 * EVENT_MAX)
            str_append_n(&f->rest, text, part);
        if (!end)
            return NULL;
        TRY(take_line(j, str_c(&f->rest), f->rest.len));
        str_clear(&f->rest);
        text += part + 1;
        n -= part + 1;
    }
    return NULL;
}

static struct err *drain(struct journal *j, struct journal_file *f) {
    char buffer[16384];
    while (f->fd >= 0) {
        ssize_t n = read(f->fd, buffer, sizeof buffer);
        if (n < 0 && errno != EINTR)
            return err_sys(errno, "read " EVENTS_FILE);
        if (n == 0)
            break;
        if (n > 0)
            TRY(take_lines(j, f, buffer, (size_t)n));
    }
    return NULL;
}

/* There may be none yet: *ret_fd is -1 then. */
static struct err *open_file(const struct journal *j, const char *name, int *ret_fd) {
    int fd = openat(j->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT)
        return err_sys(errno, "open %s", name);
    *ret_fd = fd;
    return NULL;
}

static bool is_current(const struct journal *j, int fd) {
    return fd_is_at(fd, j->dirfd, EVENTS_FILE, AT_SYMLINK_NOFOLLOW);
}

/* Reads what has come. After a rotation the file at hand becomes the old one, which late writers may still have open.
 */
static struct err *advance(struct journal *j) {
    TRY(drain(j, &j->old));
    TRY(drain(j, &j->now));
    while (!is_current(j, j->now.fd)) {
        int fd = -1;
        TRY(open_file(j, EVENTS_FILE, &fd));
        if (fd < 0)
            break;
        if (j->now.fd >= 0) {
            TRY(drain(j, &j->now));
            file_close(&j->old);
            j->old = j->now;
        }
        j->now = (struct journal_file){.fd = fd};
        TRY(drain(j, &j->now));
    }
    return NULL;
}

/* Opens the files: both at their beginnings for a replay, else the younger one at its end. */
static struct err *open_files(struct journal *j) {
    TRY(open_file(j, EVENTS_FILE, &j->now.fd));
    if (!j->q->since && !j->q->until)
        return j->now.fd >= 0 && lseek(j->now.fd, 0, SEEK_END) < 0 ? err_sys(errno, "read " EVENTS_FILE) : NULL;
    TRY(open_file(j, EVENTS_FILE ".1", &j->old.fd));
    if (fd_same_file(j->now.fd, j->old.fd)) /* rotated in between: advance() goes on to the new one */
        fd_replace(&j->old.fd, -1);
    return NULL;
}

/* The place first: whoever sees the watch knows that what happens from now on is heard. advance() comes before the
 * first wait and finds what happened in between. */
static struct err *open_journal(struct journal *j) {
    TRY(open_files(j));
    return engine_watch_dir(j->dirfd, "the journal of events", IN_MODIFY | IN_CREATE | IN_MOVED_TO, &j->notify);
}

/* Waits for news. *ret_over: the time is up, or the caller's descriptor says so. */
static struct err *await_news(const struct journal *j, bool *ret_over) {
    char events[4096];
    struct pollfd p[] = {{.fd = j->notify, .events = POLLIN}, {.fd = j->q->interrupt_fd, .events = POLLIN}};
    int64_t left = j->q->until ? j->q->until - clock_now() : 0, ms = left / NSEC_PER_MSEC + 1;
    if (j->q->until && left <= 0) {
        *ret_over = true;
        return NULL;
    }
    int n = poll(p, ARRAY_LEN(p), !j->q->until ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms);
    if (n < 0 && errno != EINTR)
        return err_sys(errno, "wait for events");
    if (n > 0 && p[0].revents && read(j->notify, events, sizeof events) < 0 && errno != EAGAIN)
        return err_sys(errno, "wait for events");
    *ret_over = n > 0 && p[1].revents;
    return NULL;
}

static struct err *follow(struct journal *j) {
    bool over = false;
    TRY(open_journal(j));
    while (!over) {
        TRY(advance(j));
        TRY(await_news(j, &over));
    }
    return advance(j);
}

struct err *engine_events(struct engine *e, const struct events_query *q, events_fn *each, void *ctx) {
    struct store *s;
    TRY(engine_store(e, &s));
    struct journal j = {
        .q = q, .each = each, .ctx = ctx, .dirfd = store_dirfd(s, ""), .notify = -1, .old.fd = -1, .now.fd = -1};
    struct err *r = follow(&j);
    file_close(&j.old);
    file_close(&j.now);
    fd_close(j.notify);
    return r;
}
