/* events: telling. See events.h for the journal's contract. */
#include "engine/events.h"

#include "engine/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- records ---- */

static void add_member(struct str *out, const char *key, const char *value) {
    if (str_c(out)[out->len - 1] != '{')
        str_append_c(out, ',');
    json_quote(key, strlen(key), out);
    str_append_c(out, ':');
    json_quote(value, strlen(value), out);
}

static bool has_attribute(const struct event *ev, const char *key) {
    for (const char *const *a = ev->attributes; a && *a; a += 2)
        if (!strcmp(*a, key))
            return true;
    return false;
}

/* What is an event of its own (image, name, exitCode) goes before a label of that name, as docker has it. */
static void add_labels(struct str *out, const struct event *ev, size_t room) {
    JSON_EACH(l, ev->labels) {
        const char *value = json_str_value(l);
        size_t before = out->len;
        if (!value || has_attribute(ev, json_key(l)))
            continue;
        add_member(out, json_key(l), value);
        if (out->len > room) {
            out->len = before;
            out->ptr[before] = '\0';
        }
    }
}

/* An action carries a command line of the user's ("exec_start: sh -c …"), which may be of any length. */
static void add_text(struct str *out, const char *text, size_t max) {
    size_t n = strnlen(text, max);
    while (n && ((unsigned char)text[n] & 0xc0) == 0x80) /* inside a character */
        n--;
    json_quote(text, n, out);
}

void events_add(struct str *batch, const struct event *ev) {
    enum { TAIL = 128, ACTION_MAX = 1024 };
    size_t begin = batch->len;
    int64_t now = clock_now();
    str_append(batch, "\n{\"Type\":");
    add_text(batch, ev->type, ACTION_MAX);
    str_append(batch, ",\"Action\":");
    add_text(batch, ev->action, ACTION_MAX);
    str_append(batch, ",\"Actor\":{\"ID\":");
    add_text(batch, ev->id, ACTION_MAX);
    str_append(batch, ",\"Attributes\":{");
    for (const char *const *a = ev->attributes; a && *a; a += 2)
        add_member(batch, a[0], a[1] ? a[1] : "");
    add_labels(batch, ev, begin + EVENT_MAX - TAIL);
    str_appendf(batch, "}},\"scope\":\"local\",\"time\":%lld,\"timeNano\":%lld}\n", (long long)(now / NSEC_PER_SEC),
                (long long)now);
}

void events_add_container(struct str *batch, const struct json *summary, const char *action, const char *const *extra) {
    enum { EXTRA_MAX = 12 };
    if (json_get(summary, ENGINE_UNSEEN))
        return;
    const char *name = json_text(summary, "Name");
    const char *attributes[4 + EXTRA_MAX + 1] = {"image", json_text(summary, "ImageName"), "name",
                                                 name + (*name == '/')};
    for (size_t i = 0; extra && extra[i] && i < EXTRA_MAX; i++)
        attributes[4 + i] = extra[i];
    const struct event ev = {.type = "container",
                             .action = action,
                             .id = json_text(summary, "Id"),
                             .attributes = attributes,
                             .labels = json_get(summary, "Labels")};
    events_add(batch, &ev);
}

/* ---- the file ---- */

/* Only whoever has the lock of the file that still has the name renames it; others have been overtaken. */
static void rotate(int dirfd, int fd) {
    struct stat mine, named;
    bool got = false;
    autoerr bad = io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got);
    if (bad || !got || fstat(fd, &mine) < 0 || fstatat(dirfd, EVENTS_FILE, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        mine.st_ino != named.st_ino)
        return;
    if (renameat(dirfd, EVENTS_FILE, dirfd, EVENTS_FILE ".1") < 0)
        log_debug("rotating the journal of events: %s", strerror(errno));
}

static struct err *append(const struct host *h, const struct str *batch) {
    struct stat st;
    autofd int fd = -1, dirfd = -1;
    autofree char *path = mem_printf("%s/" EVENTS_FILE, h->data_root);
    TRY(fd_open_at(AT_FDCWD, path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600, &fd));
    TRY(io_write_all(fd, str_c(batch), batch->len));
    if (fstat(fd, &st) < 0 || st.st_size < EVENTS_FILE_MAX)
        return NULL;
    TRY(fd_open_dir(AT_FDCWD, h->data_root, &dirfd));
    rotate(dirfd, fd);
    return NULL;
}

void events_write(const struct host *h, const struct str *batch) {
    autoerr bad = batch->len ? append(h, batch) : NULL;
    if (bad) {
        autostr struct str why = STR_INIT;
        err_format(bad, &why);
        log_debug("an event could not be recorded: %s", str_c(&why));
    }
}

void events_tell(const struct host *h, const struct event *ev) {
    autostr struct str batch = STR_INIT;
    events_add(&batch, ev);
    events_write(h, &batch);
}

void events_tell_container(const struct host *h, const struct json *summary, const char *action,
                           const char *const *extra) {
    autostr struct str batch = STR_INIT;
    events_add_container(&batch, summary, action, extra);
    events_write(h, &batch);
}
