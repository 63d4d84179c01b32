/* jsonlog: see jsonlog_int.h. The text of a line is escaped right into the batch, in one pass over it. */
#include "monitor/jsonlog_int.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/logclock_int.h"
#include "monitor/logdriver_int.h"
#include "spec/log.h"

typedef unsigned char byte;

enum {
    ENTRY_MAX = 6 * (int)LOG_LINE_MAX + 256, /* an entry of nothing but control characters */
    TAIL_MAX = 80                            /* of one without attributes */
};

struct stream {
    struct logsplit split;
    char *tail; /* what follows the text: \n","stream":"stdout","time":"…"} and a newline */
    size_t tail_len, tail_cap;
};

struct jsonlog {
    struct logdriver driver;
    struct logwriter w;
    char *attrs;               /* ,"attrs":{…}, or "" */
    int64_t last, last_second; /* newest time used; the second that `tail`s show */
    struct stream s[2];
};

static const char head[] = "{\"log\":\"";
#define HEAD_LEN (sizeof head - 1)

/* ---- records, for the writer ---- */

static size_t whole(const char *data, size_t n, size_t *ret_count) {
    const char *border = memrchr(data, '\n', n), *p = data;
    size_t lines = 0;
    for (; border && p <= border; p = (const char *)memchr(p, '\n', (size_t)(border - p) + 1) + 1)
        lines++;
    *ret_count = lines;
    return border ? (size_t)(border - data) + 1 : 0;
}

static int64_t whole_file(int fd, int64_t size) {
    char end[4096];
    for (int64_t at = size; at > 0;) {
        size_t n = at < (int64_t)sizeof end ? (size_t)at : sizeof end;
        if (pread(fd, end, n, at - (int64_t)n) != (ssize_t)n)
            return size;
        const char *newline = memrchr(end, '\n', n);
        at -= (int64_t)n;
        if (newline)
            return at + (newline - end) + 1;
    }
    return 0;
}

static size_t note(const struct logwriter *w, const char *text, size_t n, char *to) {
    const struct jsonlog *l = (const struct jsonlog *)(const void *)((const char *)w - offsetof(struct jsonlog, w));
    char *at = to;
    memcpy(at, head, HEAD_LEN);
    memcpy(at += HEAD_LEN, text, n);
    memcpy(at += n, l->s[1].tail, l->s[1].tail_len);
    return (size_t)(at - to) + l->s[1].tail_len;
}

static const struct logwriter_format format = {
    .record_max = ENTRY_MAX, .whole = whole, .whole_file = whole_file, .note = note};

/* ---- time ---- */

static void make_tail(struct stream *s, const char *name, const char *attrs, const char *when) {
    int n = snprintf(s->tail, s->tail_cap, "\\n\",\"stream\":\"%s\"%s,\"time\":\"%s\"}\n", name, attrs, when);
    s->tail_len = (size_t)n;
}

/* Puts the time of this batch into the tails: text only for a new second, nine digits otherwise. */
static void stamp(struct jsonlog *l) {
    int64_t now = logclock_next(&l->last), second = now / NSEC_PER_SEC;
    if (second != l->last_second) {
        autostr struct str when = STR_INIT;
        clock_format_log(now, &when);
        make_tail(&l->s[0], "stdout", l->attrs, str_c(&when));
        make_tail(&l->s[1], "stderr", l->attrs, str_c(&when));
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

static byte *entry_begin(struct jsonlog *l) {
    byte *at = (byte *)logwriter_begin(&l->w);
    memcpy(at, head, HEAD_LEN);
    return at + HEAD_LEN;
}

static void entry_end(struct jsonlog *l, const struct stream *s, byte *at, bool newline) {
    size_t skip = newline ? 0 : 2;
    if (s->tail_len <= TAIL_MAX)
        memcpy(at, s->tail + skip, TAIL_MAX - 2); /* a constant size is copied without a call; there is room */
    else
        memcpy(at, s->tail + skip, s->tail_len - skip);
    logwriter_end(&l->w, (char *)at + s->tail_len - skip);
}

static void put_part(struct jsonlog *l, const struct stream *s, const struct logpart *part) {
    const byte *text = (const byte *)part->text;
    byte *at = entry_begin(l);
    jsonlog_escape(text, text + part->n, at, &at);
    entry_end(l, s, at, part->newline);
}

static const char *continue_rest(struct jsonlog *l, struct stream *s, const char *p, const char *end) {
    struct logpart part;
    bool is_whole;
    p = logsplit_take(&s->split, p, end, &part, &is_whole);
    if (is_whole)
        put_part(l, s, &part);
    return p;
}

/* Takes one line (or 16 KiB of one) that begins at p; returns how far it took. */
static const char *take_line(struct jsonlog *l, struct stream *s, const char *p, const char *end) {
    const char *limit = (size_t)(end - p) > LOG_LINE_MAX ? p + LOG_LINE_MAX : end;
    byte *at = entry_begin(l);
    const char *stop = (const char *)jsonlog_escape((const byte *)p, (const byte *)limit, at, &at);
    if (stop < limit) {
        entry_end(l, s, at, true);
        return stop + 1;
    }
    return continue_rest(l, s, p, end); /* no newline: what was built is overwritten by the next entry */
}

/* ---- life ---- */

static char *attrs_text(const struct json *attrs) {
    autostr struct str s = STR_INIT;
    if (json_count(attrs)) {
        str_append(&s, ",\"attrs\":");
        json_render(attrs, JSON_COMPACT, &s);
    }
    return str_take(&s);
}

struct err *jsonlog_open(const struct logwriter_config *c, const struct json *attrs, struct jsonlog **ret) {
    autofree char *text = attrs_text(attrs);
    struct logwriter w;
    TRY(logwriter_open(&w, c, &format, strlen(text)));
    struct jsonlog *l = mem_alloc(sizeof *l);
    *l = (struct jsonlog){.driver.ops = &jsonlog_driver, .w = w, .last_second = -1};
    for (int i = 0; i < 2; i++) {
        l->s[i].tail_cap = TAIL_MAX + strlen(text);
        l->s[i].tail = mem_alloc(l->s[i].tail_cap);
    }
    l->attrs = take_ptr(&text);
    *ret = l;
    return NULL;
}

void jsonlog_write(struct jsonlog *l, int stream, const char *data, size_t n) {
    struct stream *s = &l->s[stream == 2];
    const char *end = data + n;
    logwriter_batch(&l->w);
    stamp(l);
    while (data < end)
        data = s->split.len ? continue_rest(l, s, data, end) : take_line(l, s, data, end);
    logwriter_flush(&l->w);
}

void jsonlog_idle(struct jsonlog *l) {
    logwriter_idle(&l->w);
    for (int i = 0; i < 2; i++)
        logsplit_idle(&l->s[i].split);
}

void jsonlog_end(struct jsonlog *l) {
    struct logpart part;
    if (!(l->s[0].split.len || l->s[1].split.len))
        return;
    logwriter_batch(&l->w);
    stamp(l);
    for (int i = 0; i < 2; i++)
        if (logsplit_end(&l->s[i].split, &part))
            put_part(l, &l->s[i], &part);
    logwriter_flush(&l->w);
}

void jsonlog_close(struct jsonlog *l) {
    if (!l)
        return;
    jsonlog_end(l);
    logwriter_close(&l->w);
    for (int i = 0; i < 2; i++) {
        logsplit_done(&l->s[i].split);
        free(l->s[i].tail);
    }
    free(l->attrs);
    free(l);
}

/* ---- as a driver ---- */

static struct err *driver_open(const struct logdriver_config *c, struct logdriver **ret) {
    const struct logwriter_config w = logwriter_config_of(c);
    struct jsonlog *l;
    TRY(jsonlog_open(&w, c->attrs, &l));
    *ret = &l->driver;
    return NULL;
}
static struct jsonlog *of(struct logdriver *d) { return (struct jsonlog *)(void *)d; }
static void driver_write(struct logdriver *d, int stream, const char *data, size_t n) {
    jsonlog_write(of(d), stream, data, n);
}
static void driver_idle(struct logdriver *d) { jsonlog_idle(of(d)); }
static void driver_end(struct logdriver *d) { jsonlog_end(of(d)); }
static void driver_close(struct logdriver *d) { jsonlog_close(of(d)); }

const struct logdriver_ops jsonlog_driver = {
    .name = "json-file",
    .open = driver_open,
    .write = driver_write,
    .idle = driver_idle,
    .end = driver_end,
    .close = driver_close,
};
