/* jsonlog: see jsonlog_int.h. Entries are built in one buffer and written with one call a batch. */
#include "monitor/jsonlog_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/pages_int.h"

typedef unsigned char byte;

enum {
    TIME_LEN = 30,                               /* 2026-01-02T03:04:05.123456789Z */
    ENTRY_MAX = 6 * (int)JSONLOG_LINE_MAX + 256, /* an entry of nothing but control characters */
    BUFFER = (512 << 10) + ENTRY_MAX,
    FULL = 512 << 10, /* written out from here on */
    TAIL_MAX = 80
};

struct stream {
    struct pages rest; /* an unfinished line, not escaped */
    size_t rest_len;
    char tail[TAIL_MAX]; /* what follows the text: \n","stream":"stdout","time":"…"} and a newline */
    size_t tail_len;
};

struct jsonlog {
    struct jsonlog_config c;
    int fd;
    int64_t size;     /* of the file, all of it whole entries */
    struct pages out; /* entries not written yet */
    size_t len;
    int64_t last, last_second; /* newest time used; the second that `tail`s show */
    uint64_t dropped;          /* entries lost since the disk is full */
    size_t entries;            /* in `out` */
    struct stream s[2];
};

static const char head[] = "{\"log\":\"";
#define HEAD_LEN (sizeof head - 1)

/* ---- file ---- */

static struct err *open_file(int dir_fd, const char *name, int flags, int *ret_fd, int64_t *ret_size) {
    autofd int fd = -1;
    TRY(fd_open_at(dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | flags, 0600, &fd));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "look at %s", name);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_CORRUPT, "%s is not a regular file", name);
    *ret_size = st.st_size;
    *ret_fd = take_fd(&fd);
    return NULL;
}

/* A monitor that was killed in the middle of a write leaves half an entry: it goes. */
static void trim_half_entry(struct jsonlog *l) {
    autofd int fd = openat(l->c.dir_fd, JSONLOG_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char end[4096];
    int64_t at = l->size;
    while (fd >= 0 && at > 0) {
        size_t n = at < (int64_t)sizeof end ? (size_t)at : sizeof end;
        if (pread(fd, end, n, at - (int64_t)n) != (ssize_t)n)
            return;
        const char *newline = memrchr(end, '\n', n);
        at -= (int64_t)n;
        if (newline) {
            at += newline - end + 1;
            break;
        }
    }
    if (fd >= 0 && at < l->size && ftruncate(l->fd, at) == 0)
        l->size = at;
}

struct err *jsonlog_open(const struct jsonlog_config *c, struct jsonlog **ret) {
    int fd;
    int64_t size;
    TRY_CTX(open_file(c->dir_fd, JSONLOG_NAME, 0, &fd, &size), "open the container's log");
    struct jsonlog *l = mem_alloc(sizeof *l);
    l->c = *c;
    l->fd = fd;
    l->size = size;
    l->last_second = -1;
    if (size)
        trim_half_entry(l);
    *ret = l;
    return NULL;
}

static void name_of(int n, char ret[24]) { snprintf(ret, 24, n ? JSONLOG_NAME ".%d" : JSONLOG_NAME, n); }

/* The new file is there before the old one moves: where it cannot be made, the log goes on in the old one. */
static void rotate(struct jsonlog *l) {
    int fd = -1;
    int64_t size = 0;
    autoerr e = open_file(l->c.dir_fd, JSONLOG_NAME ".new", O_TRUNC, &fd, &size);
    if (e)
        return;
    char from[24], to[24];
    for (int i = l->c.max_file - 1; i > 0; i--) {
        name_of(i - 1, from);
        name_of(i, to);
        renameat(l->c.dir_fd, from, l->c.dir_fd, to);
    }
    if (renameat(l->c.dir_fd, JSONLOG_NAME ".new", l->c.dir_fd, JSONLOG_NAME) < 0) {
        fd_close(fd);
        return;
    }
    fd_replace(&l->fd, fd);
    l->size = size;
}

/* ---- writing ---- */

static size_t write_some(int fd, const byte *data, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t k = write(fd, data + done, n - done);
        if (k > 0)
            done += (size_t)k;
        else if (k == 0 || errno != EINTR)
            break;
    }
    return done;
}

static size_t count_lines(const byte *data, size_t n) {
    size_t lines = 0;
    for (const byte *end = data + n; (data = memchr(data, '\n', (size_t)(end - data))); data++)
        lines++;
    return lines;
}

/* Says how much is missing; false while there is still no space. */
static bool write_note(struct jsonlog *l) {
    char when[TIME_LEN + 1], note[192];
    memcpy(when, l->s[1].tail + l->s[1].tail_len - 3 - TIME_LEN, TIME_LEN);
    when[TIME_LEN] = '\0';
    int n = snprintf(note, sizeof note,
                     "{\"log\":\"coracle: %llu lines of output were lost, the log could not be written\\n\","
                     "\"stream\":\"stderr\",\"time\":\"%s\"}\n",
                     (unsigned long long)l->dropped, when);
    size_t done = write_some(l->fd, (const byte *)note, (size_t)n);
    if (done < (size_t)n) {
        if (ftruncate(l->fd, l->size) < 0)
            l->size += (int64_t)done;
        return false;
    }
    l->size += n;
    l->dropped = 0;
    return true;
}

/* Writes what was built. What does not fit on the disk is cut at a line border and dropped. */
static void flush(struct jsonlog *l) {
    if (!l->len)
        return;
    const byte *data = (const byte *)l->out.p;
    if (l->dropped && !write_note(l)) {
        l->dropped += l->entries;
    } else {
        size_t done = write_some(l->fd, data, l->len);
        l->size += (int64_t)done;
        if (done < l->len) {
            const byte *border = memrchr(data, '\n', done);
            size_t whole = border ? (size_t)(border - data) + 1 : 0;
            if (ftruncate(l->fd, l->size - (int64_t)(done - whole)) == 0)
                l->size -= (int64_t)(done - whole);
            l->dropped += count_lines(data + whole, l->len - whole);
        }
    }
    l->len = l->entries = 0;
}

/* ---- time ---- */

static void make_tail(struct stream *s, const char *name, const char *when) {
    int n = snprintf(s->tail, sizeof s->tail, "\\n\",\"stream\":\"%s\",\"time\":\"%s\"}\n", name, when);
    s->tail_len = (size_t)n;
}

/* Puts the time of this batch into the tails: text only for a new second, nine digits otherwise. */
static void stamp(struct jsonlog *l) {
    int64_t now = clock_now();
    if (now <= l->last)
        now = l->last;
    l->last = now;
    int64_t second = now / NSEC_PER_SEC;
    if (second != l->last_second) {
        autostr struct str when = STR_INIT;
        clock_format_log(now, &when);
        make_tail(&l->s[0], "stdout", str_c(&when));
        make_tail(&l->s[1], "stderr", str_c(&when));
        l->last_second = second;
        return;
    }
    char digits[9];
    int64_t v = now % NSEC_PER_SEC;
    for (int i = 8; i >= 0; i--, v /= 10)
        digits[i] = (char)('0' + v % 10);
    for (int i = 0; i < 2; i++)
        memcpy(l->s[i].tail + l->s[i].tail_len - 4 - sizeof digits, digits, sizeof digits);
}

/* ---- entries ---- */

/* Where the next entry goes, with room for the largest one; rotates and writes first where that is due. */
static byte *entry_begin(struct jsonlog *l) {
    if (l->c.max_size > 0 && l->size + (int64_t)l->len >= l->c.max_size) {
        flush(l);
        if (l->size >= l->c.max_size)
            rotate(l);
    }
    if (l->len >= FULL)
        flush(l);
    byte *at = (byte *)l->out.p + l->len;
    memcpy(at, head, HEAD_LEN);
    return at + HEAD_LEN;
}

static void entry_end(struct jsonlog *l, const struct stream *s, byte *at, bool newline) {
    size_t skip = newline ? 0 : 2;
    memcpy(at, s->tail + skip, TAIL_MAX - 2); /* a constant size is copied without a call; there is room */
    l->len = (size_t)(at - (byte *)l->out.p) + s->tail_len - skip;
    l->entries++;
}

static void put_entry(struct jsonlog *l, const struct stream *s, const byte *text, size_t n) {
    bool newline = n && text[n - 1] == '\n';
    byte *at = entry_begin(l);
    jsonlog_escape(text, text + n - newline, at, &at);
    entry_end(l, s, at, newline);
}

/* Length of the first part of a line that is too long: 16 KiB, less the bytes of a character that would be cut. */
static size_t split_at(const byte *text) {
    size_t n = JSONLOG_LINE_MAX, back = 0;
    while (back < 3 && (text[n - 1 - back] & 0xc0) == 0x80)
        back++;
    byte lead = text[n - 1 - back];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return need > back + 1 ? n - back - 1 : n;
}

/* Continues the unfinished line with [p, end); returns how far it took. */
static const byte *continue_rest(struct jsonlog *l, struct stream *s, const byte *p, const byte *end) {
    size_t room = JSONLOG_LINE_MAX - s->rest_len, n = (size_t)(end - p);
    if (n > room)
        n = room;
    const byte *newline = memchr(p, '\n', n);
    if (newline)
        n = (size_t)(newline - p) + 1;
    byte *rest = (byte *)pages_get(&s->rest, JSONLOG_LINE_MAX);
    memcpy(rest + s->rest_len, p, n);
    s->rest_len += n;
    if (newline) {
        put_entry(l, s, rest, s->rest_len);
        s->rest_len = 0;
    } else if (s->rest_len == JSONLOG_LINE_MAX) {
        size_t first = split_at(rest);
        put_entry(l, s, rest, first);
        s->rest_len -= first;
        memmove(rest, rest + first, s->rest_len);
    }
    return p + n;
}

/* Takes one line (or 16 KiB of one) that begins at p; returns how far it took. */
static const byte *take_line(struct jsonlog *l, struct stream *s, const byte *p, const byte *end) {
    const byte *limit = (size_t)(end - p) > JSONLOG_LINE_MAX ? p + JSONLOG_LINE_MAX : end;
    byte *at = entry_begin(l);
    const byte *stop = jsonlog_escape(p, limit, at, &at);
    if (stop < limit) {
        entry_end(l, s, at, true);
        return stop + 1;
    }
    return continue_rest(l, s, p, end); /* no newline: what was built is overwritten by the next entry */
}

void jsonlog_write(struct jsonlog *l, int stream, const char *data, size_t n) {
    struct stream *s = &l->s[stream == 2];
    const byte *p = (const byte *)data, *end = p + n;
    pages_get(&l->out, BUFFER);
    stamp(l);
    while (p < end)
        p = s->rest_len ? continue_rest(l, s, p, end) : take_line(l, s, p, end);
    flush(l);
}

void jsonlog_idle(struct jsonlog *l) {
    pages_release(&l->out);
    for (int i = 0; i < 2; i++)
        if (!l->s[i].rest_len)
            pages_release(&l->s[i].rest);
}

void jsonlog_flush(struct jsonlog *l) {
    if (!l || !(l->s[0].rest_len || l->s[1].rest_len))
        return;
    pages_get(&l->out, BUFFER);
    stamp(l);
    for (int i = 0; i < 2; i++) {
        if (l->s[i].rest_len)
            put_entry(l, &l->s[i], (const byte *)l->s[i].rest.p, l->s[i].rest_len);
        l->s[i].rest_len = 0;
    }
    flush(l);
}

void jsonlog_close(struct jsonlog *l) {
    if (!l)
        return;
    jsonlog_flush(l);
    for (int i = 0; i < 2; i++)
        pages_done(&l->s[i].rest);
    pages_done(&l->out);
    fd_close(l->fd);
    free(l);
}
