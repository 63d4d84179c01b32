/* logformat: the formats that can be read. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "monitor/locallog_int.h"
#include "monitor/logread_int.h"

/* ---- json-file: lines ---- */

static size_t json_entry(const char *p, size_t n) {
    const char *newline = memchr(p, '\n', n);
    return newline ? (size_t)(newline - p) + 1 : 0;
}

static bool json_parse_entry(const char *entry, size_t n, struct logscratch *scratch, struct logline *ret) {
    return logline_parse(entry, n - 1, scratch, ret);
}

static struct err *size_of(int fd, off_t *ret) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "look at the container's log");
    *ret = st.st_size;
    return NULL;
}

static struct err *json_back(int fd, int64_t *entries, off_t *ret_at) {
    char block[64 << 10];
    off_t at;
    TRY(size_of(fd, &at));
    int64_t seen = 0;
    while (at > 0) {
        size_t n = at < (off_t)sizeof block ? (size_t)at : sizeof block;
        at -= (off_t)n;
        ssize_t got = pread(fd, block, n, at);
        if (got < 0)
            return err_sys(errno, "read the container's log");
        for (const char *p = block + got; (p = memrchr(block, '\n', (size_t)(p - block)));)
            if (seen++ == *entries) {
                *entries = 0;
                *ret_at = at + (p - block) + 1;
                return NULL;
            }
    }
    *entries -= seen;
    *ret_at = 0;
    return NULL;
}

const struct logformat logformat_json = {.entry = json_entry, .parse = json_parse_entry, .back = json_back};

/* ---- local: records ---- */

/* Entries of one batch have the same time: its text is made once. */
static void set_time(struct logscratch *s, int64_t t, struct logline *ret) {
    if (t != s->at) {
        autostr struct str form = STR_INIT;
        clock_format_log(t, &form);
        memset(s->form, '0', LOG_TIME_LEN); /* a time beyond the year 9999 is none */
        if (form.len == LOG_TIME_LEN)
            memcpy(s->form, str_c(&form), LOG_TIME_LEN);
        s->at = t;
    }
    memcpy(ret->time, s->form, LOG_TIME_LEN);
}

static bool local_parse_entry(const char *entry, size_t n, struct logscratch *scratch, struct logline *ret) {
    struct local_entry e;
    if (!local_parse(entry, n, &e) || e.time <= 0)
        return false;
    *ret = (struct logline){.text = e.line, .n = e.n, .newline = e.newline, .stream = e.stream};
    set_time(scratch, e.time, ret);
    return true;
}

static struct err *local_back(int fd, int64_t *entries, off_t *ret_at) {
    unsigned char length[4];
    off_t at;
    TRY(size_of(fd, &at));
    at = local_whole_file(fd, at);
    while (at > 0 && *entries > 0) {
        if (pread(fd, length, 4, at - 4) != 4)
            return err_sys(errno, "read the container's log");
        off_t n = (off_t)length[0] << 24 | (off_t)length[1] << 16 | (off_t)length[2] << 8 | length[3];
        if (n + (off_t)LOCAL_FRAME > at)
            return err_new(ERR_CORRUPT, "the container's log is damaged");
        at -= n + (off_t)LOCAL_FRAME;
        --*entries;
    }
    *ret_at = at;
    return NULL;
}

const struct logformat logformat_local = {.entry = local_record, .parse = local_parse_entry, .back = local_back};
