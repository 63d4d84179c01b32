/* The other log drivers: local's records, compressed files under readers, and entries that are sent to somebody. */
#include "log_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/gzip.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "monitor/locallog_int.h"
#include "monitor/logdriver_int.h"
#include "monitor/lognames_int.h"
#include "monitor/logread_int.h"
#include "monitor/logsplit_int.h"
#include "monitor/monitor.h"
#include "spec/log.h"

/* A driver with options as a user gives them: "key=value" words, NULL at the end. */
static struct logdriver *open_driver(int dir, const char *name, const char *const *words) {
    autostrmap struct strmap opts = {.n = 0};
    for (; *words; words++) {
        autofree char *key = mem_dupn(*words, strcspn(*words, "="));
        strmap_set(&opts, key, strchr(*words, '=') + 1);
    }
    struct spec_log o;
    CHECK_OK(spec_log_parse(name, &opts, &o));
    const struct logdriver_config c = {
        .dir_fd = dir, .options = &o, .tag = "tag", .id = "0123456789abcdef", .name = "name", .image = "image"};
    const struct logdriver_ops *ops = o.kind == SPEC_LOG_LOCAL       ? &locallog_driver
                                      : o.kind == SPEC_LOG_JSON_FILE ? &jsonlog_driver
                                                                     : &syslog_driver;
    struct logdriver *d = NULL;
    CHECK_OK(ops->open(&c, &d));
    if (!d)
        abort();
    return d;
}
#define OPEN(dir, name, ...) open_driver(dir, name, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void put(struct logdriver *d, int stream, const char *text) { d->ops->write(d, stream, text, strlen(text)); }

static void put_numbered(struct logdriver *d, int from, int to) {
    char block[8192];
    while (from < to) {
        size_t n = 0;
        for (int k = 0; k < 100 && from < to; k++, from++)
            n += (size_t)snprintf(block + n, sizeof block - n, "line %d\n", from);
        d->ops->write(d, 1, block, n);
    }
}

/* The last `tail` of `total` numbered lines. */
static void check_numbered(int dir, bool local, int64_t tail, int total) {
    struct str out = STR_INIT, want = STR_INIT;
    print(dir, (struct monitor_log_read){.tail = tail, .local = local}, &out, NULL);
    for (int i = tail < 0 || tail > total ? 0 : total - (int)tail; i < total; i++)
        str_appendf(&want, "line %d\n", i);
    CHECK(out.len == want.len && memcmp(str_c(&out), str_c(&want), out.len) == 0);
    str_done(&out);
    str_done(&want);
}

static bool exists(int dir, const char *name) { return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

/* Until the process that compresses has taken all rotated files; a minute at most. */
static void await_packed(int dir) {
    for (int64_t end = clock_boot() + 60 * NSEC_PER_SEC; clock_boot() < end; usleep(10000)) {
        struct logrange r;
        char name[LOG_NAME_SIZE];
        bool plain = exists(dir, LOG_NAME_PACKED);
        CHECK_OK(logrange_find(dir, &r));
        for (int64_t n = r.oldest; n <= r.newest; n++) {
            logname(n, false, name);
            plain = plain || exists(dir, name);
        }
        if (!plain)
            return;
    }
    CHECK(false); /* not compressed in time */
}

/* ---- records ---- */

/* docker's bytes: two lengths around the message. */
static void test_record(void) {
    static const char want[] = "\n\6stdout\20", line[] = "\32\5hello";
    int dir = scratch();
    struct logdriver *d = OPEN(dir, "local");
    put(d, 1, "hello\n");
    d->ops->close(d);
    struct str s = STR_INIT;
    CHECK_OK(io_read_file(dir, "log", 4096, &s));
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = p[3];
    CHECK_INT(s.len, n + 8);
    CHECK(p[0] == 0 && p[1] == 0 && p[2] == 0 && memcmp(p, p + 4 + n, 4) == 0);
    CHECK(memcmp(s.ptr + 4, want, sizeof want - 1) == 0);
    CHECK(memcmp(s.ptr + 4 + n - (sizeof line - 1), line, sizeof line - 1) == 0);
    str_done(&s);
    scratch_remove(dir);
}

/* What docker itself may have written: other fields, other order, a part that is its line's last. */
static void test_foreign_record(void) {
    static const struct {
        const char *message;
        size_t n;
        bool ok, newline;
        int stream;
        const char *line;
    } cases[] = {
        {"\20\1\32\1a\12\6stderr", 13, true, true, 2, "a"},
        {"\20\1\32\1a\50\1\60\1\75abcd", 14, true, true, 1, "a"},
        {"\20\1\32\1a\40\1\52\2\10\1", 11, true, true, 1, "a"},
        {"\20\1\32\1a\40\1\52\4\22\2id", 13, true, false, 1, "a"},
        {"\20\1\32\5a", 5, false, false, 0, NULL},
        {"\20\200\200\200\200\200\200\200\200\200\200\1", 12, false, false, 0, NULL},
        {"\23", 1, false, false, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char record[64] = {0};
        size_t n = cases[i].n;
        struct local_entry e = {.line = NULL};
        record[3] = record[4 + n + 3] = (char)n;
        memcpy(record + 4, cases[i].message, n);
        CHECK(local_parse(record, n + LOCAL_FRAME, &e) == cases[i].ok);
        CHECK(!cases[i].ok || (e.n == strlen(cases[i].line) && !memcmp(e.line, cases[i].line, e.n)));
        CHECK(!cases[i].ok || (e.newline == cases[i].newline && e.stream == cases[i].stream));
        CHECK_INT(local_record(record, n + LOCAL_FRAME - 1), 0);
        record[4 + n + 3]++;
        CHECK(local_record(record, n + LOCAL_FRAME) == SIZE_MAX);
    }
}

/* Any bytes come back as they were, on both streams, in whatever pieces they came. */
static void test_bytes(void) {
    int dir = scratch();
    struct logdriver *d = OPEN(dir, "local", "max-size=100k", "max-file=90", "compress=false");
    struct str sent[2] = {STR_INIT, STR_INIT}, got[2] = {STR_INIT, STR_INIT};
    unsigned seed = 3;
    for (int i = 0; i < 8000; i++) {
        char piece[300];
        size_t n = (size_t)rand_r(&seed) % sizeof piece, k = (size_t)rand_r(&seed) % 2;
        for (size_t j = 0; j < n; j++)
            piece[j] = (char)(rand_r(&seed) % 20 ? rand_r(&seed) : '\n');
        d->ops->write(d, (int)k + 1, piece, n);
        str_append_n(&sent[k], piece, n);
    }
    char *lengthy = mem_alloc(50000);
    memset(lengthy, 'x', 50000);
    d->ops->write(d, 1, lengthy, 50000); /* no newline at its end */
    str_append_n(&sent[0], lengthy, 50000);
    free(lengthy);
    d->ops->close(d);
    print(dir, (struct monitor_log_read){.tail = -1, .local = true}, &got[0], &got[1]);
    for (int k = 0; k < 2; k++) {
        CHECK_INT(got[k].len, sent[k].len);
        CHECK(got[k].len == sent[k].len && memcmp(got[k].ptr, sent[k].ptr, sent[k].len) == 0);
        str_done(&sent[k]);
        str_done(&got[k]);
    }
    scratch_remove(dir);
}

/* Half a record, as a killed monitor leaves it, is left out by readers and removed by the next writer. */
static void test_torn(void) {
    int dir = scratch();
    struct logdriver *d = OPEN(dir, "local");
    put_numbered(d, 0, 3);
    d->ops->close(d);
    int fd = openat(dir, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK_INT(write(fd, "\0\0\0\40\12\6std", 9), 9);
    close(fd);
    check_numbered(dir, true, -1, 3);
    check_numbered(dir, true, 2, 3);
    d = OPEN(dir, "local");
    put_numbered(d, 3, 5);
    d->ops->close(d);
    check_numbered(dir, true, -1, 5);
    check_numbered(dir, true, 4, 5);
    scratch_remove(dir);
}

static void test_full(void) {
    int dir = scratch();
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit little = {.rlim_cur = 2000, .rlim_max = RLIM_INFINITY}, big = {RLIM_INFINITY, RLIM_INFINITY};
        struct logdriver *d = OPEN(dir, "local");
        setrlimit(RLIMIT_FSIZE, &little);
        put_numbered(d, 0, 300);
        setrlimit(RLIMIT_FSIZE, &big);
        put_numbered(d, 300, 302);
        d->ops->close(d);
        _exit(unit_failures != 0);
    }
    check_lost_are_told(dir, pid, true, 302);
    scratch_remove(dir);
}

/* ---- compression ---- */

static void tails_of(const char *driver) {
    int dir = scratch();
    struct logdriver *d = OPEN(dir, driver, "max-size=2k", "max-file=40", "compress=true");
    put_numbered(d, 0, 100);
    for (int i = 100; i < 300; i += 5)
        put_numbered(d, i, i + 5);
    d->ops->close(d);
    await_packed(dir);
    struct logrange r;
    CHECK_OK(logrange_find(dir, &r));
    CHECK(r.oldest == 1 && r.newest >= 3);
    bool local = !strcmp(driver, "local");
    for (int64_t tail = 0; tail < 320; tail += tail < 20 || tail > 290 ? 1 : 17)
        check_numbered(dir, local, tail, 300);
    check_numbered(dir, local, -1, 300);
    scratch_remove(dir);
}
static void test_packed(void) {
    tails_of("json-file");
    tails_of("local");
}

/* One that is cut off says so, and what is whole in the others is printed. */
static void test_packed_damaged(void) {
    int dir = scratch();
    struct logdriver *d = OPEN(dir, "local", "max-size=2k", "max-file=40");
    for (int i = 0; i < 200; i += 5)
        put_numbered(d, i, i + 5);
    d->ops->close(d);
    await_packed(dir);
    int fd = openat(dir, "log.2.gz", O_WRONLY | O_CLOEXEC);
    CHECK_INT(ftruncate(fd, 60), 0);
    close(fd);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct monitor_log_read read = {
        .tail = -1, .local = true, .out = null, .err = null, .lock_fd = -1, .interrupt_fd = -1};
    CHECK_ERR(monitor_log_print(dir, &read), ERR_CORRUPT);
    check_numbered(dir, true, 3, 200); /* not looked at for it */
    close(null);
    scratch_remove(dir);
}

static void test_gunzip_members(void) {
    int dir = scratch(), in = openat(dir, "in", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int packed = openat(dir, "packed", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct str big = STR_INIT, got = STR_INIT;
    for (int i = 0; i < 60000; i++)
        str_appendf(&big, "%d ", i * 7919);
    CHECK_OK(io_write_all(in, big.ptr, big.len));
    for (int i = 0; i < 2; i++) {
        lseek(in, 0, SEEK_SET);
        CHECK_OK(gzip_file(in, packed));
    }
    lseek(packed, 0, SEEK_SET);
    struct gunzip *g = NULL;
    CHECK_OK(gunzip_new(packed, &g));
    for (size_t n = 1; n;) {
        CHECK_OK(gunzip_read(g, str_reserve(&got, 777), 777, &n));
        got.len += n;
    }
    gunzip_free(g);
    CHECK_INT(got.len, 2 * big.len);
    CHECK(memcmp(got.ptr, big.ptr, big.len) == 0 && memcmp(got.ptr + big.len, big.ptr, big.len) == 0);
    str_done(&big);
    str_done(&got);
    close(in);
    close(packed);
    scratch_remove(dir);
}

/* ---- following ---- */

enum { FOLLOW_LINES = 600000, FOLLOWERS = 3 };

static void follow_writer(int dir, const char *driver, int ready) {
    int lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool got = false;
    CHECK_OK(io_try_lock(lock, IO_LOCK_EXCLUSIVE, &got));
    struct monitor_state s = {.status = "running", .monitor_pid = getpid()};
    CHECK_OK(monitor_state_write(dir, &s));
    struct logdriver *d = OPEN(dir, driver, "max-size=300k", "max-file=900", "compress=true");
    if (write(ready, "x", 1) != 1)
        _exit(1);
    put_numbered(d, 0, FOLLOW_LINES);
    d->ops->close(d);
    _exit(unit_failures != 0);
}

static void follow_reader(int dir, bool local, int out) {
    int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC);
    const struct monitor_log_read r = {
        .tail = -1, .local = local, .follow = true, .out = out, .err = -1, .lock_fd = lock, .interrupt_fd = -1};
    CHECK_OK(monitor_log_print(dir, &r));
    _exit(unit_failures != 0);
}

static int count_in_order(int fd) {
    FILE *f = fdopen(fd, "r");
    char line[64], want[64];
    int n = 0;
    for (; f && fgets(line, sizeof line, f); n++) {
        snprintf(want, sizeof want, "line %d\n", n);
        if (strcmp(line, want) != 0) {
            CHECK_STR(line, want);
            break;
        }
    }
    if (f)
        fclose(f);
    return n;
}

/* Three readers follow while files are rotated and compressed under them. */
static void follow_of(const char *driver) {
    int dir = scratch(), ready[2], code = 0;
    pid_t pids[FOLLOWERS + 1];
    int outs[FOLLOWERS];
    char c;
    CHECK(pipe(ready) == 0);
    if ((pids[0] = fork()) == 0)
        follow_writer(dir, driver, ready[1]);
    CHECK_INT(read(ready[0], &c, 1), 1);
    for (int i = 0; i < FOLLOWERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        outs[i] = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if ((pids[i + 1] = fork()) == 0)
            follow_reader(dir, !strcmp(driver, "local"), outs[i]);
    }
    for (int i = 0; i <= FOLLOWERS; i++)
        CHECK(waitpid(pids[i], &code, 0) == pids[i] && code == 0);
    for (int i = 0; i < FOLLOWERS; i++) {
        lseek(outs[i], 0, SEEK_SET);
        CHECK_INT(count_in_order(outs[i]), FOLLOW_LINES);
    }
    close(ready[0]);
    close(ready[1]);
    await_packed(dir);
    scratch_remove(dir);
}
static void test_follow(void) {
    follow_of("json-file");
    follow_of("local");
}

/* ---- sockets ---- */

static int listen_at(const char *name) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%.60s/%s", scratch_path, name);
    CHECK(bind(fd, (const struct sockaddr *)&un, sizeof un) == 0);
    return fd;
}

/* The text of the next message, "" when there is none now. */
static const char *receive(int fd, char *buf, size_t size) {
    ssize_t n = recv(fd, buf, size - 1, MSG_DONTWAIT);
    buf[n > 0 ? n : 0] = '\0';
    char *text = strstr(buf, "]: ");
    if (n > 0 && buf[n - 1] == '\n')
        buf[n - 1] = '\0';
    return text ? text + 3 : buf;
}

static struct logdriver *open_syslog(int dir, const char *more, const char *value) {
    char address[128], option[64];
    snprintf(address, sizeof address, "syslog-address=unixgram://%.60s/socket", scratch_path);
    snprintf(option, sizeof option, "%.20s=%.30s", more, value);
    return more[0] == 'm' ? OPEN(dir, "syslog", address, "mode=non-blocking", option)
                          : OPEN(dir, "syslog", address, option);
}

static void test_syslog_form(void) {
    int dir = scratch(), fd = listen_at("socket");
    char buf[32768];
    struct logdriver *d = open_syslog(dir, "syslog-facility", "local1");
    put(d, 1, "one\n\ntw");
    put(d, 2, "err\n");
    put(d, 1, "o\nrest");
    CHECK_STR(receive(fd, buf, sizeof buf), "one");
    CHECK(str_starts(buf, "<142>") && strstr(buf, " tag["));
    CHECK_STR(receive(fd, buf, sizeof buf), "err");
    CHECK(str_starts(buf, "<139>"));
    CHECK_STR(receive(fd, buf, sizeof buf), "two");
    CHECK_STR(receive(fd, buf, sizeof buf), "");
    d->ops->end(d);
    CHECK_STR(receive(fd, buf, sizeof buf), "rest");
    d->ops->close(d);
    close(fd);
    scratch_remove(dir);
}

/* Nobody receives: the driver is behind, keeps what came, and sends it in order when there is room. */
static void test_blocking(void) {
    int dir = scratch(), fd = listen_at("socket"), next = 0;
    char buf[4096], want[32];
    struct logdriver *d = open_syslog(dir, "syslog-format", "rfc3164");
    CHECK(!d->ops->behind(d));
    put_numbered(d, 0, 5000);
    CHECK(d->ops->behind(d));
    for (int rounds = 0; next < 5000 && rounds < 10000; rounds++) {
        const char *text;
        while (*(text = receive(fd, buf, sizeof buf))) {
            snprintf(want, sizeof want, "line %d", next++);
            CHECK_STR(text, want);
        }
        uint32_t events;
        CHECK(next == 5000 || d->ops->waits(d, &events) >= 0);
        d->ops->ready(d);
    }
    CHECK_INT(next, 5000);
    CHECK(!d->ops->behind(d));
    d->ops->close(d);
    close(fd);
    scratch_remove(dir);
}

/* The same without blocking: what does not fit is dropped in whole lines, counted, and said. */
static void test_non_blocking(void) {
    int dir = scratch(), fd = listen_at("socket"), seen = 0, lost = 0, last = -1, n;
    char buf[4096];
    struct logdriver *d = open_syslog(dir, "max-buffer-size", "20k");
    put_numbered(d, 0, 20000);
    put(d, 1, "cut");
    put(d, 1, " off\n");
    CHECK(!d->ops->behind(d));
    for (int rounds = 0; rounds < 10000; rounds++) {
        const char *text;
        int before = seen + lost;
        while (*(text = receive(fd, buf, sizeof buf))) {
            if (sscanf(text, "coracle: %d lines of output were lost", &n) == 1)
                lost += n;
            else if (sscanf(text, "line %d", &n) == 1 && n > last && ++seen)
                last = n;
            else
                CHECK_STR(text, "line in order");
        }
        d->ops->ready(d);
        if (before == seen + lost)
            put(d, 1, "line 99999\n"); /* the note comes before the next one */
        if (last == 99999)
            break;
    }
    CHECK(seen > 100 && lost > 1000);
    CHECK_INT(seen + lost, 20002);
    d->ops->close(d);
    close(fd);
    scratch_remove(dir);
}

/* The daemon goes and comes back: the connection is made anew, and what was lost is said. */
static void test_reconnect(void) {
    int dir = scratch(), fd = listen_at("socket"), n = 0;
    char buf[4096];
    struct logdriver *d = open_syslog(dir, "syslog-format", "rfc3164");
    put(d, 1, "before\n");
    CHECK_STR(receive(fd, buf, sizeof buf), "before");
    close(fd);
    unlinkat(dir, "socket", 0);
    put(d, 1, "lost 1\nlost 2\n");
    CHECK(!d->ops->behind(d));
    fd = listen_at("socket");
    usleep(1100000); /* once a second, not oftener */
    put(d, 1, "after\n");
    CHECK_INT(sscanf(receive(fd, buf, sizeof buf), "coracle: %d lines of output were lost", &n), 1);
    CHECK_INT(n, 2);
    CHECK_STR(receive(fd, buf, sizeof buf), "after");
    d->ops->close(d);
    close(fd);
    scratch_remove(dir);
}

/* ---- options ---- */

static void test_options(void) {
    static const struct {
        const char *driver, *key, *value, *error;
    } cases[] = {
        {"json-file", "nosuch", "1", "unknown log opt 'nosuch' for json-file log driver"},
        {"local", "tag", "x", "unknown log opt 'tag' for log driver local"},
        {"syslog", "max-size", "1m", "unknown log opt 'max-size' for syslog log driver"},
        {"journald", "syslog-format", "x", "unknown log opt 'syslog-format' for journald log driver"},
        {"json-file", "compress", "true",
         "compress cannot be true when max-file is less than 2 or max-size is not set"},
        {"json-file", "max-file", "0", "max-file cannot be less than 1"},
        {"json-file", "mode", "x", "logger: logging mode not supported: x"},
        {"json-file", "max-buffer-size", "1m",
         "logger: max-buffer-size option is only supported with 'mode=non-blocking'"},
        {"syslog", "syslog-address", "localhost", "syslog-address should be in form proto://address, got localhost"},
        {"syslog", "syslog-address", "udp://:514", "syslog-address: ':514' is not host[:port]"},
        {"syslog", "syslog-address", "tcp+tls://h:6514", "log driver syslog: TLS is not supported"},
        {"syslog", "syslog-facility", "24", "invalid syslog facility: 24"},
        {"syslog", "syslog-facility", "local7", NULL},
        {"syslog", "syslog-format", "rfc1", "invalid syslog format: rfc1"},
        {"local", "max-size", "-1", "invalid log opt max-size: invalid size: '-1'"},
        {"local", "compress", "false", NULL},
        {"gelf", "x", "y", "log driver gelf is not supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostrmap struct strmap opts = {.n = 0};
        strmap_set(&opts, cases[i].key, cases[i].value);
        struct spec_log o;
        struct err *e = spec_log_parse(cases[i].driver, &opts, &o);
        struct str text = STR_INIT;
        if (e)
            err_format(e, &text);
        CHECK_STR(str_c(&text), cases[i].error ? cases[i].error : "");
        str_done(&text);
        err_free(e);
    }
}

static void test_addresses(void) {
    static const struct {
        const char *text, *scheme, *host, *port;
    } cases[] = {
        {"unix:///dev/log", "unix", "/dev/log", NULL},
        {"unixgram:///x y", "unixgram", "/x y", NULL},
        {"udp://host", "udp", "host", "514"},
        {"tcp://10.0.0.1:601", "tcp", "10.0.0.1", "601"},
        {"tcp://[fe80::1]:5", "tcp", "fe80::1", "5"},
        {"udp://[::1]", "udp", "::1", "514"},
        {"udp://host:0", NULL, NULL, NULL},
        {"udp://h/x", NULL, NULL, NULL},
        {"udp://[::1", NULL, NULL, NULL},
        {"unix://x", NULL, NULL, NULL},
        {"udp://h:65536", NULL, NULL, NULL},
        {"http://h", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *scheme = NULL;
        autofree char *host = NULL, *port = NULL;
        autoerr e = spec_log_address(cases[i].text, &scheme, &host, &port);
        CHECK(!e == !!cases[i].scheme);
        CHECK(e || (str_eq(scheme, cases[i].scheme) && str_eq(host, cases[i].host) && str_eq(port, cases[i].port)));
    }
}

UNIT_MAIN({"record", test_record}, {"foreign_record", test_foreign_record}, {"bytes", test_bytes}, {"torn", test_torn},
          {"full", test_full}, {"packed", test_packed}, {"packed_damaged", test_packed_damaged},
          {"gunzip_members", test_gunzip_members}, {"follow", test_follow}, {"syslog_form", test_syslog_form},
          {"blocking", test_blocking}, {"non_blocking", test_non_blocking}, {"reconnect", test_reconnect},
          {"options", test_options}, {"addresses", test_addresses})
