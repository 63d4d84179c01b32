/* locallog: the local driver, written. See locallog_int.h. */
#include "monitor/locallog_int.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "monitor/logclock_int.h"
#include "monitor/logdriver_int.h"
#include "monitor/logsplit_int.h"
#include "monitor/logwriter_int.h"

typedef unsigned char byte;

enum {
    PREFIX_MAX = 24, /* source and time */
    ID_LEN = 16,
    RECORD_MAX = (int)LOG_LINE_MAX + 128,
    /* A field's number and wire type, as it stands before the field. */
    TAG_SOURCE = 1 << 3 | 2,
    TAG_TIME = 2 << 3,
    TAG_LINE = 3 << 3 | 2,
    TAG_PARTIAL = 4 << 3,
    TAG_META = 5 << 3 | 2,
    TAG_LAST = 1 << 3,
    TAG_ID = 2 << 3 | 2,
    TAG_ORDINAL = 3 << 3
};

struct stream {
    struct logsplit split;
    byte prefix[PREFIX_MAX]; /* what all messages of a batch begin with */
    size_t prefix_len;
    char id[ID_LEN + 1]; /* of the long line that is being logged in parts */
};

struct locallog {
    struct logdriver driver;
    struct logwriter w;
    int64_t last;
    struct stream s[2];
};

static byte *put_varint(byte *to, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        *to++ = (byte)(v | 0x80);
    *to++ = (byte)v;
    return to;
}

static byte *put_bytes(byte *to, byte tag, const void *data, size_t n) {
    *to++ = tag;
    to = put_varint(to, n);
    memcpy(to, data, n);
    return to + n;
}

static void put_length(byte *to, size_t n) {
    for (int i = 0; i < 4; i++)
        to[i] = (byte)(n >> (24 - 8 * i));
}

/* ---- records ---- */

static void stamp(struct locallog *l) {
    static const char *const names[] = {"stdout", "stderr"};
    int64_t now = logclock_next(&l->last);
    for (int i = 0; i < 2; i++) {
        byte *at = put_bytes(l->s[i].prefix, TAG_SOURCE, names[i], 6);
        *at++ = TAG_TIME;
        l->s[i].prefix_len = (size_t)(put_varint(at, (uint64_t)now) - l->s[i].prefix);
    }
}

/* What tells a part of a long line from a line. */
static byte *put_meta(struct locallog *l, struct stream *s, const struct logpart *part, byte *at) {
    byte meta[ID_LEN + 16], *m = meta;
    if (part->part == 0)
        snprintf(s->id, sizeof s->id, "%016llx", (unsigned long long)l->last);
    if (part->newline) {
        *m++ = TAG_LAST;
        *m++ = 1;
    }
    m = put_bytes(m, TAG_ID, s->id, ID_LEN);
    *m++ = TAG_ORDINAL;
    m = put_varint(m, part->part + 1U);
    *at++ = TAG_PARTIAL;
    *at++ = 1;
    return put_bytes(at, TAG_META, meta, (size_t)(m - meta));
}

/* Builds one at `to`; returns its end. */
static byte *build(struct locallog *l, struct stream *s, const struct logpart *part, byte *to) {
    byte *at = to + 4;
    memcpy(at, s->prefix, PREFIX_MAX);
    at = put_bytes(at + s->prefix_len, TAG_LINE, part->text, part->n);
    if (part->part || !part->newline)
        at = put_meta(l, s, part, at);
    size_t n = (size_t)(at - to) - 4;
    put_length(to, n);
    put_length(at, n);
    return at + 4;
}

static void put_part(struct locallog *l, struct stream *s, const struct logpart *part) {
    logwriter_end(&l->w, (char *)build(l, s, part, (byte *)logwriter_begin(&l->w)));
}

static size_t whole(const char *data, size_t n, size_t *ret_count) {
    size_t at = 0, count = 0;
    for (size_t len; (len = local_record(data + at, n - at)) && len != SIZE_MAX; at += len)
        count++;
    *ret_count = count;
    return at;
}

static size_t note(const struct logwriter *w, const char *text, size_t n, char *to) {
    struct locallog scratch = *(const struct locallog *)(const void *)((const char *)w - offsetof(struct locallog, w));
    const struct logpart part = {.text = text, .n = n, .newline = true};
    return (size_t)((char *)build(&scratch, &scratch.s[1], &part, (byte *)to) - to);
}

static const struct logwriter_format format = {
    .record_max = RECORD_MAX, .whole = whole, .whole_file = local_whole_file, .note = note};

/* ---- as a driver ---- */

static struct err *driver_open(const struct logdriver_config *c, struct logdriver **ret) {
    const struct logwriter_config wc = logwriter_config_of(c);
    struct logwriter w;
    TRY(logwriter_open(&w, &wc, &format, 0));
    struct locallog *l = mem_alloc(sizeof *l);
    *l = (struct locallog){.driver.ops = &locallog_driver, .w = w};
    *ret = &l->driver;
    return NULL;
}

static struct locallog *of(struct logdriver *d) { return (struct locallog *)(void *)d; }

static void driver_write(struct logdriver *d, int stream, const char *data, size_t n) {
    struct locallog *l = of(d);
    struct stream *s = &l->s[stream == 2];
    logwriter_batch(&l->w);
    stamp(l);
    for (const char *end = data + n; data < end;) {
        struct logpart part;
        bool is_whole;
        data = logsplit_take(&s->split, data, end, &part, &is_whole);
        if (is_whole)
            put_part(l, s, &part);
    }
    logwriter_flush(&l->w);
}

static void driver_idle(struct logdriver *d) {
    struct locallog *l = of(d);
    logwriter_idle(&l->w);
    for (int i = 0; i < 2; i++)
        logsplit_idle(&l->s[i].split);
}

static void driver_end(struct logdriver *d) {
    struct locallog *l = of(d);
    struct logpart part;
    logwriter_batch(&l->w);
    stamp(l);
    for (int i = 0; i < 2; i++)
        if (logsplit_end(&l->s[i].split, &part))
            put_part(l, &l->s[i], &part);
    logwriter_flush(&l->w);
}

static void driver_close(struct logdriver *d) {
    struct locallog *l = of(d);
    driver_end(d);
    for (int i = 0; i < 2; i++)
        logsplit_done(&l->s[i].split);
    logwriter_close(&l->w);
    free(l);
}

const struct logdriver_ops locallog_driver = {
    .name = "local",
    .open = driver_open,
    .write = driver_write,
    .idle = driver_idle,
    .end = driver_end,
    .close = driver_close,
};
