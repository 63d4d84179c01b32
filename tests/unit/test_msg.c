/* Messages over a socket: framing, descriptors and which line they belong to, rubbish. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/sys/sys.h"

static void make_pair(struct msg_chan **a, struct msg_chan **b) {
    int s[2];
    CHECK_OK(fd_socketpair(SOCK_STREAM, s));
    *a = msg_chan_new(s[0]);
    *b = msg_chan_new(s[1]);
}

static struct json *number(int64_t n) {
    struct json *j = json_object();
    json_set_int(j, "n", n);
    return j;
}

static void send_number(struct msg_chan *c, int64_t n, const int *fds, size_t n_fds) {
    autojson j = number(n);
    CHECK_OK(msg_send(c, j, fds, n_fds));
}

static void test_framing(void) {
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    for (int i = 0; i < 100; i++)
        send_number(a, i, NULL, 0);
    for (int i = 0; i < 100; i++) {
        autojson j = NULL;
        CHECK_OK(msg_recv(b, &j, NULL, NULL));
        CHECK_INT(json_int_value(json_get(j, "n"), -1), i);
        CHECK_INT(msg_pending(b) != 0, i < 99);
    }
    msg_chan_free(a);
    a = NULL;
    autojson end = json_null();
    struct json *before = end;
    CHECK_OK(msg_recv(b, &before, NULL, NULL));
    CHECK(before == NULL);
}

/* What nobody reads does not hold up who posts it, and comes in order. */
static void test_post(void) {
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    bool kept = false;
    int n = 0, later = 1000;
    while (!kept || later--) {
        autojson j = number(n++);
        CHECK_OK(msg_post(a, j, &kept));
    }
    for (int i = 0; i < n; i++) {
        autojson j = NULL;
        if (kept)
            CHECK_OK(msg_flush(a, &kept));
        CHECK_OK(msg_recv(b, &j, NULL, NULL));
        CHECK_INT(json_int_value(json_get(j, "n"), -1), i);
    }
    CHECK(!kept);
    autofree char *text = mem_alloc(MSG_MAX / 2 + 1);
    memset(text, ' ', MSG_MAX / 2);
    autojson big = json_object();
    json_set_str(big, "big", text);
    for (n = 0; n < 100; n++) {
        autoerr e = msg_post(a, big, &kept);
        if (e)
            break;
    }
    CHECK(n >= 32 && n < 100); /* at most so many, and not for ever */
    msg_chan_free(take_ptr(&b));
    CHECK_ERR(msg_flush(a, &kept), ERR_SYSTEM); /* EPIPE, no signal */
}

/* Bytes one by one, and a line in pieces. */
static void test_pieces(void) {
    int s[2];
    CHECK_OK(fd_socketpair(SOCK_STREAM, s));
    automsg b = msg_chan_new(s[1]);
    static const char text[] = "{\"n\":1}\n{\"n\":2}\n";
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < sizeof text - 1; i++)
            if (send(s[0], text + i, 1, 0) != 1)
                _exit(1);
        _exit(0);
    }
    fd_close(s[0]);
    for (int i = 1; i <= 2; i++) {
        autojson j = NULL;
        CHECK_OK(msg_recv(b, &j, NULL, NULL));
        CHECK_INT(json_int_value(json_get(j, "n"), -1), i);
    }
    struct json *j = NULL;
    CHECK_OK(msg_recv(b, &j, NULL, NULL));
    CHECK(j == NULL);
    waitpid(pid, NULL, 0);
}

/* Lines without descriptors before and after those with: each gets its own. */
static void test_descriptors(void) {
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    int files[MSG_FDS];
    struct stat want[MSG_FDS];
    for (int i = 0; i < MSG_FDS; i++) {
        files[i] = sys_memfd("x", 0);
        CHECK_INT(fstat(files[i], &want[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        size_t n = i % 3 == 0 ? 0 : (size_t)(i % MSG_FDS) + 1;
        send_number(a, i, files, n);
    }
    for (int i = 0; i < 40; i++) {
        size_t n = 99, expect = i % 3 == 0 ? 0 : (size_t)(i % MSG_FDS) + 1;
        int fds[MSG_FDS];
        autojson j = NULL;
        CHECK_OK(msg_recv(b, &j, fds, &n));
        CHECK_INT(json_int_value(json_get(j, "n"), -1), i);
        CHECK_INT(n, expect);
        for (size_t k = 0; k < n; k++) {
            struct stat st;
            CHECK(fstat(fds[k], &st) == 0 && st.st_ino == want[k].st_ino);
            CHECK_INT(fcntl(fds[k], F_GETFD), FD_CLOEXEC);
            fd_close(fds[k]);
        }
    }
    for (int i = 0; i < MSG_FDS; i++)
        fd_close(files[i]);
}

/* A long line in many segments, with a descriptor, between short ones. */
static void test_long(void) {
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    autofree char *big = mem_alloc(900001);
    memset(big, 'x', 900000);
    pid_t pid = fork();
    if (pid == 0) {
        autojson j = json_object();
        json_set_str(j, "big", big);
        int fd = sys_memfd("x", 0);
        for (int i = 0; i < 5; i++) {
            send_number(a, i, NULL, 0);
            CHECK_OK(msg_send(a, j, &fd, 1));
        }
        _exit(unit_failures != 0);
    }
    msg_chan_free(a);
    a = NULL;
    for (int i = 0; i < 5; i++) {
        autojson j = NULL;
        autojson k = NULL;
        int fds[MSG_FDS];
        size_t n = 0;
        CHECK_OK(msg_recv(b, &j, fds, &n));
        CHECK_INT(n, 0);
        CHECK_INT(json_int_value(json_get(j, "n"), -1), i);
        CHECK_OK(msg_recv(b, &k, fds, &n));
        CHECK_INT(n, 1);
        fd_close(n ? fds[0] : -1);
        CHECK_STR(json_str_value(json_get(k, "big")), big);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

static int open_fds(void) {
    int n = 0;
    for (int i = 0; i < 200; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

/* Unwanted descriptors are closed, received or not. */
static void test_no_leak(void) {
    int before = open_fds();
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    int fd = sys_memfd("x", 0);
    const int fds[2] = {fd, fd};
    for (int i = 0; i < 3; i++)
        send_number(a, i, fds, 2);
    for (int i = 0; i < 2; i++) {
        autojson j = NULL;
        CHECK_OK(msg_recv(b, &j, NULL, NULL));
    }
    CHECK_INT(io_write_all(msg_chan_fd(a), "rubbish\n", 8) == NULL, 1);
    fd_close(fd);
    msg_chan_free(take_ptr(&a));
    struct json *j = NULL;
    CHECK_OK(msg_recv(b, &j, NULL, NULL));
    json_free(take_ptr(&j));
    CHECK_ERR(msg_recv(b, &j, NULL, NULL), ERR_CORRUPT);
    msg_chan_free(take_ptr(&b));
    CHECK_INT(open_fds(), before);
}

static void check_corrupt(const char *text, size_t n) {
    int s[2];
    CHECK_OK(fd_socketpair(SOCK_STREAM, s));
    automsg b = msg_chan_new(s[1]);
    pid_t pid = fork();
    if (pid == 0) {
        fd_close(s[1]); /* or the writer would be its own reader */
        signal(SIGPIPE, SIG_IGN);
        err_free(io_write_all(s[0], text, n)); /* the reader may hang up before the end */
        _exit(0);
    }
    fd_close(s[0]);
    struct json *j = NULL;
    CHECK_ERR(msg_recv(b, &j, NULL, NULL), ERR_CORRUPT);
    CHECK(j == NULL);
    msg_chan_free(take_ptr(&b)); /* before the wait: the writer may be blocked */
    waitpid(pid, NULL, 0);
}

static void test_rubbish(void) {
    check_corrupt("x\n", 2);
    check_corrupt("\n", 1);
    check_corrupt("[1]\n", 4);
    check_corrupt("{\"a\":1}", 7); /* cut short */
    autofree char *big = mem_alloc(3 * MSG_MAX);
    memset(big, ' ', 3 * MSG_MAX);
    check_corrupt(big, 3 * MSG_MAX);
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    autojson j = json_object();
    big[MSG_MAX] = '\0';
    json_set_str(j, "big", big);
    CHECK_ERR(msg_send(a, j, NULL, 0), ERR_SYSTEM);
    msg_chan_free(take_ptr(&b));
    autojson small = number(1);
    CHECK_ERR(msg_send(a, small, NULL, 0), ERR_SYSTEM); /* EPIPE, no signal */
}

static void test_errors(void) {
    automsg a = NULL;
    automsg b = NULL;
    make_pair(&a, &b);
    autoerr e = err_hint(err_new(ERR_AUTH, "denied\nhere"), "log in");
    CHECK_OK(msg_send_err(a, e));
    send_number(a, 1, NULL, 0);
    autojson j = NULL;
    autojson k = NULL;
    CHECK_OK(msg_recv(b, &j, NULL, NULL));
    autoerr got = msg_err_of(j);
    CHECK(got && err_kind(got) == ERR_AUTH);
    CHECK_STR(err_hint_text(got), "log in");
    CHECK_OK(msg_recv(b, &k, NULL, NULL));
    CHECK_OK(msg_err_of(k));
}

UNIT_MAIN({"framing", test_framing}, {"post", test_post}, {"pieces", test_pieces}, {"descriptors", test_descriptors},
          {"long", test_long}, {"no_leak", test_no_leak}, {"rubbish", test_rubbish}, {"errors", test_errors})
