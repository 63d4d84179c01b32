/* logline: see logread_int.h. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "monitor/logread_int.h"

static const char head[] = "{\"log\":\"";
static const char middle[] = "\",\"stream\":\"stdout\",\"time\":\"";
enum {
    HEAD = sizeof head - 1,
    MIDDLE = sizeof middle - 1,
    STREAM_AT = 15, /* of "out" or "err" in `middle` */
    TAIL = MIDDLE + LOG_TIME_LEN + 2
};

static bool is_exact_time(const char *t) {
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
    for (size_t i = 0; i < LOG_TIME_LEN; i++)
        if (form[i] == 'd' ? t[i] < '0' || t[i] > '9' : t[i] != form[i])
            return false;
    return true;
}

/* Our own form: everything but the text has a fixed length. */
static bool parse_exact(const char *line, size_t n, struct logline *ret) {
    if (n < HEAD + TAIL || memcmp(line, head, HEAD) != 0)
        return false;
    const char *tail = line + n - TAIL;
    if (memcmp(tail, middle, STREAM_AT) != 0 ||
        memcmp(tail + STREAM_AT + 3, middle + STREAM_AT + 3, MIDDLE - STREAM_AT - 3) != 0)
        return false;
    if (memcmp(tail + STREAM_AT, "out", 3) == 0)
        ret->stream = 1;
    else if (memcmp(tail + STREAM_AT, "err", 3) == 0)
        ret->stream = 2;
    else
        return false;
    if (memcmp(tail + TAIL - 2, "\"}", 2) != 0 || !is_exact_time(tail + MIDDLE))
        return false;
    memcpy(ret->time, tail + MIDDLE, LOG_TIME_LEN);
    ret->text = line + HEAD;
    ret->n = n - HEAD - TAIL;
    return true;
}

/* Whether the text is one JSON string: no quote in it ends it. */
static bool quotes_escaped(const char *text, size_t n) {
    const char *end = text + n;
    for (const char *p = text; (p = memchr(p, '"', (size_t)(end - p))); p++) {
        const char *q = p;
        while (q > text && q[-1] == '\\')
            q--;
        if ((p - q) % 2 == 0)
            return false;
    }
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int hex4(const char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

static size_t put_utf8(unsigned cp, char *to) {
    if (cp < 0x80) {
        to[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n; --i; cp >>= 6)
        to[i] = (char)(0x80 | (cp & 0x3f));
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(lead[n] | cp);
    return n;
}

/* A \u with its four hex digits (or a surrogate pair of them) at p; returns the bytes of input used, 0 when it is
 * broken. */
static size_t take_unicode(const char *p, size_t left, char **to) {
    int v = left >= 6 ? hex4(p + 2) : -1;
    if (v < 0)
        return 0;
    unsigned cp = (unsigned)v;
    size_t used = 6;
    if (cp >= 0xd800 && cp <= 0xdfff) {
        int low = cp < 0xdc00 && left >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
        if (low >= 0xdc00 && low <= 0xdfff) {
            cp = 0x10000 + ((cp - 0xd800) << 10) + ((unsigned)low - 0xdc00);
            used = 12;
        } else {
            cp = 0xfffd;
        }
    }
    *to += put_utf8(cp, *to);
    return used;
}

static size_t take_escape(const char *p, size_t left, char **to) {
    static const char from[] = "\"\\/nrtbf", into[] = "\"\\/\n\r\t\b\f";
    if (left < 2)
        return 0;
    if (p[1] == 'u')
        return take_unicode(p, left, to);
    const char *at = memchr(from, p[1], sizeof from - 1);
    if (!at)
        return 0;
    *(*to)++ = into[at - from];
    return 2;
}

size_t logline_unescape(const char *text, size_t n, char *to) {
    const char *end = text + n;
    char *begin = to;
    while (text < end) {
        const char *stop = memchr(text, '\\', (size_t)(end - text));
        size_t span = (size_t)((stop ? stop : end) - text);
        memcpy(to, text, span);
        to += span;
        if (!stop)
            break;
        size_t used = take_escape(stop, (size_t)(end - stop), &to);
        if (!used)
            return SIZE_MAX;
        text = stop + used;
    }
    return (size_t)(to - begin);
}

/* As Go's url.QueryEscape. */
static void put_escaped(const char *text, struct str *out) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~", c))
            str_append_c(out, (char)c);
        else if (c == ' ')
            str_append_c(out, '+');
        else
            str_appendf(out, "%%%02X", c);
    }
}

/* In the order of the file, where they are sorted. */
static void put_details(const struct json *attrs, struct str *out) {
    JSON_EACH(it, attrs) {
        if (out->len)
            str_append_c(out, ',');
        put_escaped(json_key(it) ? json_key(it) : "", out);
        str_append_c(out, '=');
        put_escaped(json_str_value(it) ? json_str_value(it) : "", out);
    }
}

void logscratch_done(struct logscratch *s) {
    str_done(&s->text);
    str_done(&s->details);
}

/* Any other entry: other members, other order, other time forms. */
static struct err *parse_json(const char *line, size_t n, struct logscratch *scratch, struct logline *ret) {
    autojson j = NULL;
    const char *text, *stream, *time;
    TRY(json_parse(line, n, "log entry", 0, &j));
    TRY(json_get_str_opt(j, "log", "", &text));
    TRY(json_get_str_opt(j, "stream", "stdout", &stream));
    TRY(json_get_str(j, "time", &time));
    int64_t t;
    TRY(clock_parse_rfc3339(time, &t));
    autostr struct str form = STR_INIT;
    clock_format_log(t, &form);
    if (form.len != LOG_TIME_LEN)
        return err_new(ERR_CORRUPT, "log entry with an impossible time");
    memcpy(ret->time, str_c(&form), LOG_TIME_LEN);
    str_clear(&scratch->text);
    str_append(&scratch->text, text);
    ret->text = str_c(&scratch->text);
    ret->n = scratch->text.len;
    ret->stream = strcmp(stream, "stderr") == 0 ? 2 : 1;
    if (scratch->want_details)
        put_details(json_get(j, "attrs"), &scratch->details);
    return NULL;
}

bool logline_parse(const char *line, size_t n, struct logscratch *scratch, struct logline *ret) {
    str_clear(&scratch->details);
    *ret = (struct logline){.stream = 1};
    if (parse_exact(line, n, ret) && quotes_escaped(ret->text, ret->n)) {
        const char *escape = memchr(ret->text, '\\', ret->n);
        const char *end = ret->text + ret->n;
        ret->newline = ret->n >= 2 && escape == end - 2 && end[-1] == 'n';
        ret->escaped = escape && !ret->newline;
        if (ret->newline)
            ret->n -= 2;
        return true;
    }
    autoerr e = parse_json(line, n, scratch, ret);
    return !e;
}
