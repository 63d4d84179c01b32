/* The json-file log: what is written, byte for byte as docker writes it, and what is read back. */
#include "log_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "monitor/jsonlog_int.h"
#include "monitor/lognames_int.h"
#include "monitor/logread_int.h"
#include "monitor/monitor.h"

static struct jsonlog *open_log(int dir, int64_t max_size, int max_file) {
    const struct logwriter_config c = {.dir_fd = dir, .max_size = max_size, .max_file = max_file};
    struct jsonlog *l = NULL;
    CHECK_OK(jsonlog_open(&c, NULL, &l));
    return l;
}

/* A reader of its own: prints into a pipe-free file and gives the bytes back. */
/* ---- escapes ---- */

/* How many bytes a first byte announces; 0 for one that cannot be first. */
static size_t announced(unsigned char first) {
    if (first < 0x80)
        return 1;
    if (first < 0xc0 || first >= 0xf8)
        return 0;
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

/* Decodes as Go's utf8.DecodeRune: returns the size; *cp is 0xfffd for what is broken. */
static size_t decode(const unsigned char *p, size_t n, unsigned *cp) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = announced(p[0]);
    *cp = 0xfffd;
    if (!len || len > n)
        return 1;
    unsigned v = len == 1 ? p[0] : p[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 1;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (len > 1 && (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)))
        return 1;
    *cp = v;
    return len;
}

static void naive(const unsigned char *p, size_t n, struct str *out) {
    while (n && *p != '\n') {
        unsigned cp;
        size_t len = decode(p, n, &cp);
        if (cp == '"' || cp == '\\')
            str_appendf(out, "\\%c", (int)cp);
        else if (cp == '\r')
            str_append(out, "\\r");
        else if (cp < 0x20 || cp == '<' || cp == '>' || cp == '&')
            str_appendf(out, "\\u%04x", cp);
        else if (cp == 0x2028 || cp == 0x2029)
            str_appendf(out, "\\u%04x", cp);
        else if (cp == 0xfffd && len == 1)
            str_append(out, "\\ufffd");
        else
            str_append_n(out, p, len);
        p += len;
        n -= len;
    }
}

static unsigned rnd(unsigned *s) { return *s = *s * 1103515245U + 12345U, *s >> 8; }

static void fill(unsigned char *p, size_t n, unsigned *seed, int kind) {
    static const char odd[] =
        "\"\\<>&\r\t\0\x7f\xe2\x80\xa8\xe2\x80\xa9\xc3\xa4\xf0\x9f\x98\x80\xed\xa0\x80\xf4\x90\xc0\xff";
    for (size_t i = 0; i < n; i++) {
        unsigned r = rnd(seed);
        p[i] = kind == 0   ? (unsigned char)r
               : kind == 1 ? (unsigned char)odd[r % (sizeof odd - 1)]
                           : (unsigned char)(' ' + r % 95);
        if (kind == 2 && r % 37 == 0)
            p[i] = (unsigned char)odd[rnd(seed) % (sizeof odd - 1)];
    }
}

static void test_escape(void) {
    unsigned seed = 1;
    for (int round = 0; round < 30000; round++) {
        size_t n = rnd(&seed) % 200;
        unsigned char in[200], *out = malloc(6 * n + 16), *end = out;
        fill(in, n, &seed, round % 3);
        const unsigned char *stop = jsonlog_escape(in, in + n, out, &end);
        const unsigned char *newline = memchr(in, '\n', n);
        CHECK(stop == (newline ? newline : in + n));
        struct str want = STR_INIT;
        naive(in, n, &want);
        bool as_reference = want.len == (size_t)(end - out) && memcmp(str_c(&want), out, want.len) == 0;
        CHECK(as_reference);
        if (!as_reference)
            round = 30000; /* one is enough to look at */
        str_done(&want);
        free(out);
    }
}

/* ---- entries ---- */

static void read_log(int dir, const char *name, struct str *out) { CHECK_OK(io_read_file(dir, name, 1 << 28, out)); }

static void test_form(void) {
    int dir = scratch();
    struct jsonlog *l = open_log(dir, -1, 1);
    jsonlog_write(l, 1, "hello <b>\n", 10);
    jsonlog_write(l, 2, "par", 3);
    jsonlog_write(l, 1, "two\r\n\nthr", 9);
    jsonlog_write(l, 2, "tial\n", 5);
    jsonlog_close(l);
    struct str s = STR_INIT;
    read_log(dir, "log", &s);
    static const char *const want[] = {
        "{\"log\":\"hello \\u003cb\\u003e\\n\",\"stream\":\"stdout\",\"time\":\"",
        "{\"log\":\"two\\r\\n\",\"stream\":\"stdout\",\"time\":\"",
        "{\"log\":\"\\n\",\"stream\":\"stdout\",\"time\":\"",
        "{\"log\":\"partial\\n\",\"stream\":\"stderr\",\"time\":\"",
        "{\"log\":\"thr\",\"stream\":\"stdout\",\"time\":\"",
    };
    struct strv lines = {.v = NULL};
    strv_split(&lines, str_c(&s), '\n');
    CHECK_INT(lines.n, 6);
    for (size_t i = 0; i < 5 && i < lines.n; i++) {
        CHECK(str_starts(lines.v[i], want[i]));
        const char *time = lines.v[i] + strlen(want[i]);
        CHECK_INT(strlen(time), 32);
        CHECK(time[29] == 'Z' && time[19] == '.' && !strcmp(time + 30, "\"}"));
    }
    strv_done(&lines);
    str_done(&s);
    scratch_remove(dir);
}

/* docker's limit: 16384 bytes without a newline are an entry of their own; a character is not cut. */
static void test_split(void) {
    int dir = scratch();
    struct jsonlog *l = open_log(dir, -1, 1);
    char *text = malloc(40000);
    memset(text, 'x', 40000);
    memcpy(text + 16384 * 2 - 1, "\xc3\xa4", 2); /* would be cut at the second border */
    text[39999] = '\n';
    for (size_t at = 0; at < 40000; at += 1000)
        jsonlog_write(l, 1, text + at, 1000);
    jsonlog_write(l, 1, text, 16384); /* exactly the limit, newline after it */
    jsonlog_write(l, 1, "\n", 1);
    jsonlog_write(l, 1, text, 16383);
    jsonlog_write(l, 1, "\n", 1);
    jsonlog_close(l);
    struct str s = STR_INIT, out = STR_INIT;
    read_log(dir, "log", &s);
    size_t lines = 0;
    for (size_t i = 0; i < s.len; i++)
        lines += s.ptr[i] == '\n';
    CHECK_INT(lines, 6);
    CHECK(strstr(s.ptr, "ufffd") == NULL);
    print(dir, (struct monitor_log_read){.tail = -1}, &out, NULL);
    CHECK_INT(out.len, 40000 + 16385 + 16384);
    CHECK(memcmp(out.ptr, text, 40000) == 0);
    str_done(&s);
    str_done(&out);
    free(text);
    scratch_remove(dir);
}

/* Random valid UTF-8, in random pieces, on both streams, comes back unchanged. */
static void test_round_trip(void) {
    static const char *const chars[] = {
        "a",  "\"",       "\\",           "\n",
        "\r", "\x01",     "\x7f",         "<",
        "&",  "\xc3\xa4", "\xe2\x80\xa8", "\xf0\x9f\x98\x80",
        " ",  "xyz",      "\t",           "\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00.000000000Z\"}"};
    int dir = scratch();
    struct jsonlog *l = open_log(dir, 100000, 50);
    struct str sent[2] = {STR_INIT, STR_INIT}, got[2] = {STR_INIT, STR_INIT};
    unsigned seed = 7;
    for (int i = 0; i < 20000; i++) {
        struct str piece = STR_INIT;
        int k = rnd(&seed) % 3 == 0;
        unsigned n = rnd(&seed) % 40;
        for (unsigned j = 0; j < n; j++)
            str_append(&piece, chars[rnd(&seed) % ARRAY_LEN(chars)]);
        if (i % 100 == 0) /* a NUL now and then */
            str_append_n(&piece, "\0", 1);
        jsonlog_write(l, k + 1, str_c(&piece), piece.len);
        str_append_n(&sent[k], str_c(&piece), piece.len);
        str_done(&piece);
    }
    jsonlog_close(l);
    print(dir, (struct monitor_log_read){.tail = -1}, &got[0], &got[1]);
    for (int k = 0; k < 2; k++) {
        CHECK_INT(got[k].len, sent[k].len);
        CHECK(got[k].len == sent[k].len && memcmp(got[k].ptr, sent[k].ptr, sent[k].len) == 0);
        str_done(&sent[k]);
        str_done(&got[k]);
    }
    scratch_remove(dir);
}

static void write_numbered(struct jsonlog *l, int from, int to) {
    for (int i = from; i < to; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "line %d\n", i);
        jsonlog_write(l, 1, line, (size_t)n);
    }
}

static void test_rotation(void) {
    int dir = scratch();
    struct jsonlog *l = open_log(dir, 10000, 3);
    write_numbered(l, 0, 2000);
    jsonlog_close(l);
    struct stat st;
    struct logrange r = {.oldest = 0};
    CHECK_OK(logrange_find(dir, &r));
    CHECK_INT(r.newest - r.oldest, 1);
    for (int64_t i = r.oldest; i <= r.newest; i++) {
        char name[LOG_NAME_SIZE];
        logname(i, false, name);
        CHECK(fstatat(dir, name, &st, 0) == 0 && st.st_size >= 10000 && st.st_size < 10200);
    }
    CHECK(fstatat(dir, "log.new", &st, 0) < 0);
    struct str out = STR_INIT;
    print(dir, (struct monitor_log_read){.tail = -1}, &out, NULL);
    CHECK(str_ends(str_c(&out), "line 1998\nline 1999\n"));
    int first = 0;
    sscanf(str_c(&out), "line %d", &first);
    CHECK(first > 1000 && first < 1999);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.ptr[i] == '\n';
    CHECK_INT(lines, 2000 - first);
    str_done(&out);
    scratch_remove(dir);
}

static void test_one_file(void) {
    int dir = scratch();
    struct jsonlog *l = open_log(dir, 1000, 1);
    write_numbered(l, 0, 200);
    jsonlog_close(l);
    struct stat st;
    CHECK(fstatat(dir, "log.1", &st, 0) < 0);
    CHECK(fstatat(dir, "log", &st, 0) == 0 && st.st_size < 1200);
    scratch_remove(dir);
}

static void check_tail(int dir, int64_t tail, const char *want) {
    struct str out = STR_INIT;
    print(dir, (struct monitor_log_read){.tail = tail}, &out, NULL);
    CHECK_STR(str_c(&out), want);
    str_done(&out);
}

static void test_tail(void) {
    int dir = scratch();
    check_tail(dir, -1, "");
    check_tail(dir, 5, "");
    struct jsonlog *l = open_log(dir, 500, 10);
    write_numbered(l, 0, 30);
    jsonlog_close(l);
    check_tail(dir, 0, "");
    check_tail(dir, 1, "line 29\n");
    check_tail(dir, 3, "line 27\nline 28\nline 29\n");
    for (int64_t n = 0; n < 35; n++) {
        struct str want = STR_INIT;
        for (int64_t i = n < 30 ? 30 - n : 0; i < 30; i++)
            str_appendf(&want, "line %d\n", (int)i);
        check_tail(dir, n, str_c(&want));
        str_done(&want);
    }
    scratch_remove(dir);
}

static const char foreign[] =
    "{\"log\":\"a\\u00e4\\ud83d\\ude00\\n\",\"stream\":\"stdout\",\"attrs\":{\"x\":\"y\"},\"time\":\"2026-01-02T03:04:"
    "05.5Z\"}\n"
    "nonsense\n"
    "{\"stream\":\"stderr\",\"log\":\"b\\n\",\"time\":\"2026-01-02T03:04:06+01:00\"}\n"
    "{\"log\":\"c\\n\",\"foo\":\"bar\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:07.000000000Z\"}\n"
    "{\"log\":\"d\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:08.000000000Z\"}\n"
    "{\"log\":\"half";

static void test_foreign(void) {
    int dir = scratch();
    CHECK_OK(io_write_file(dir, "log", foreign, sizeof foreign - 1, 0600, 0));
    struct str out = STR_INIT, err = STR_INIT;
    print(dir, (struct monitor_log_read){.tail = -1, .timestamps = true}, &out, &err);
    CHECK_STR(str_c(&out), "2026-01-02T03:04:05.500000000Z a\xc3\xa4\xf0\x9f\x98\x80\n2026-01-02T03:04:07.000000000Z "
                           "c\n2026-01-02T03:04:08.000000000Z d\n");
    CHECK_STR(str_c(&err), "2026-01-02T02:04:06.000000000Z b\n");
    str_clear(&out);
    int64_t t = INT64_C(1767323047) * 1000000000; /* 03:04:07 */
    print(dir, (struct monitor_log_read){.tail = -1, .since = t}, &out, NULL);
    CHECK_STR(str_c(&out), "c\nd\n");
    str_clear(&out);
    print(dir, (struct monitor_log_read){.tail = -1, .until = t}, &out, NULL);
    CHECK_STR(str_c(&out), "a\xc3\xa4\xf0\x9f\x98\x80\nc\n");
    str_done(&out);
    str_done(&err);
    /* The half entry of a monitor that was killed goes when the next one opens the log. */
    struct jsonlog *l = open_log(dir, -1, 1);
    jsonlog_write(l, 1, "e\n", 2);
    jsonlog_close(l);
    check_tail(dir, 2, "d\ne\n");
    scratch_remove(dir);
}

/* ---- following ---- */

enum { FOLLOW_LINES = 1000000 };

/* Writes a million lines with many rotations and holds the lock meanwhile. */
static void follow_writer(int dir, int ready) {
    int lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool got = false;
    CHECK_OK(io_try_lock(lock, IO_LOCK_EXCLUSIVE, &got));
    struct monitor_state s = {.status = "running", .monitor_pid = getpid()};
    CHECK_OK(monitor_state_write(dir, &s));
    struct jsonlog *l = open_log(dir, 1 << 20, 200);
    if (write(ready, "x", 1) != 1)
        _exit(1);
    char block[8192];
    for (int i = 0; i < FOLLOW_LINES;) {
        size_t n = 0;
        for (int k = 0; k < 100 && i < FOLLOW_LINES; k++, i++)
            n += (size_t)snprintf(block + n, sizeof block - n, "line %d\n", i);
        jsonlog_write(l, 1, block, n);
    }
    jsonlog_close(l);
    _exit(0);
}

static void follow_reader(int dir, int out) {
    int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC);
    const struct monitor_log_read r = {
        .tail = -1, .follow = true, .out = out, .err = -1, .lock_fd = lock, .interrupt_fd = -1};
    struct err *e = monitor_log_print(dir, &r);
    CHECK_OK(e);
    _exit(unit_failures != 0);
}

static void test_follow(void) {
    int dir = scratch(), ready[2], out[2], code = 0;
    char c;
    CHECK(pipe(ready) == 0 && pipe(out) == 0);
    pid_t writer = fork();
    if (writer == 0)
        follow_writer(dir, ready[1]);
    CHECK_INT(read(ready[0], &c, 1), 1);
    pid_t reader = fork();
    if (reader == 0)
        follow_reader(dir, out[1]);
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    char line[64], want[64];
    int n = 0;
    for (; f && fgets(line, sizeof line, f); n++) {
        snprintf(want, sizeof want, "line %d\n", n);
        if (strcmp(line, want) != 0) {
            CHECK_STR(line, want);
            break;
        }
    }
    CHECK_INT(n, FOLLOW_LINES);
    if (f)
        fclose(f);
    CHECK(waitpid(writer, &code, 0) == writer && code == 0);
    CHECK(waitpid(reader, &code, 0) == reader && code == 0);
    close(ready[0]);
    close(ready[1]);
    scratch_remove(dir);
}

/* ---- a full disk ---- */

/* A file size limit stands for a full disk: writes are cut short and fail just so. */
static void test_full(void) {
    int dir = scratch();
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit small = {.rlim_cur = 2000, .rlim_max = RLIM_INFINITY}, big = {RLIM_INFINITY, RLIM_INFINITY};
        struct jsonlog *l = open_log(dir, -1, 1);
        setrlimit(RLIMIT_FSIZE, &small);
        write_numbered(l, 0, 100);
        setrlimit(RLIMIT_FSIZE, &big);
        write_numbered(l, 100, 102);
        jsonlog_close(l);
        _exit(unit_failures != 0);
    }
    check_lost_are_told(dir, pid, false, 102);
    scratch_remove(dir);
}

UNIT_MAIN({"escape", test_escape}, {"form", test_form}, {"split", test_split}, {"round_trip", test_round_trip},
          {"rotation", test_rotation}, {"one_file", test_one_file}, {"tail", test_tail}, {"foreign", test_foreign},
          {"full", test_full}, {"follow", test_follow})
