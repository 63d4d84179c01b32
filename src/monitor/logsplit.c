/* logsplit: see logsplit_int.h. */
#include "monitor/logsplit_int.h"

#include <string.h>

/* Length of the first part of a line that is too long: 16 KiB, less the bytes of a character that would be cut. */
static size_t split_at(const unsigned char *text) {
    size_t n = LOG_LINE_MAX, back = 0;
    while (back < 3 && (text[n - 1 - back] & 0xc0) == 0x80)
        back++;
    unsigned char lead = text[n - 1 - back];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return need > back + 1 ? n - back - 1 : n;
}

static void whole(struct logsplit *s, const char *text, size_t n, bool newline, struct logpart *ret) {
    *ret = (struct logpart){.text = text, .n = n, .newline = newline, .part = s->part};
    s->part = newline ? 0 : s->part + 1;
}

/* More than fits: the first 16 KiB go, the bytes of a cut character stay at the front of the buffer's second half. */
static void overlong(struct logsplit *s, char *rest, struct logpart *ret) {
    size_t first = split_at((const unsigned char *)rest), left = s->len - first;
    char *out = rest + LOG_LINE_MAX;
    memcpy(out, rest, first);
    memmove(rest, rest + first, left);
    s->len = left;
    whole(s, out, first, false, ret);
}

/* Continues the unfinished line with [p, end). */
static const char *continued(struct logsplit *s, const char *p, const char *end, struct logpart *ret, bool *ret_whole) {
    size_t room = LOG_LINE_MAX - s->len, n = (size_t)(end - p);
    if (n > room)
        n = room;
    const char *newline = memchr(p, '\n', n);
    if (newline)
        n = (size_t)(newline - p);
    char *rest = pages_get(&s->rest, 2 * LOG_LINE_MAX);
    memcpy(rest + s->len, p, n);
    s->len += n;
    *ret_whole = newline || s->len == LOG_LINE_MAX;
    if (newline) {
        whole(s, rest, s->len, true, ret);
        s->len = 0;
        return newline + 1;
    }
    if (*ret_whole)
        overlong(s, rest, ret);
    return p + n;
}

const char *logsplit_take(struct logsplit *s, const char *p, const char *end, struct logpart *ret, bool *ret_whole) {
    size_t n = (size_t)(end - p) < LOG_LINE_MAX ? (size_t)(end - p) : LOG_LINE_MAX;
    const char *newline = s->len ? NULL : memchr(p, '\n', n);
    if (!newline)
        return continued(s, p, end, ret, ret_whole);
    whole(s, p, (size_t)(newline - p), true, ret);
    *ret_whole = true;
    return newline + 1;
}

bool logsplit_end(struct logsplit *s, struct logpart *ret) {
    if (!s->len)
        return false;
    whole(s, s->rest.p, s->len, false, ret);
    s->len = 0;
    s->part = 0;
    return true;
}

void logsplit_idle(struct logsplit *s) {
    if (!s->len)
        pages_release(&s->rest);
}

void logsplit_done(struct logsplit *s) { pages_done(&s->rest); }
