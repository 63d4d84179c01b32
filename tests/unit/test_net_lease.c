/*
 * Leases, against a helper that is this very program: the fixture's coracle-net is a link to it, and when it is started
 * by that name it serves its descriptor 3. It answers with its pid, notes each start in <run_root>/starts, ends with
 * its last lease, and misbehaves as the file <run_root>/manner says.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/msg.h"
#include "base/proc.h"
#include "net_fixture.h"

enum { RACERS = 20, LISTENER = 3, CLIENTS_MAX = 64, ROUNDS = 5 };

/* ---- the helper ---- */

struct fake {
    char run_root[4096], manner[32];
    struct msg_chan *clients[CLIENTS_MAX];
    size_t n;
    int netns;
};

/* The requests that end it before an answer: "die" every helper, "die-once" the first one, "die-asked" who is asked for
 * no lease. */
static bool should_die(const struct fake *h, size_t n_fds) {
    autofree char *mark = mem_printf("%s/died", h->run_root);
    if (strcmp(h->manner, "die-once") == 0 || strcmp(h->manner, "crowd-once") == 0)
        return open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0;
    return strcmp(h->manner, "die") == 0 || (strcmp(h->manner, "die-asked") == 0 && !n_fds);
}

static struct json *say(const struct json *request, size_t n_fds) {
    struct json *j = json_object();
    json_set_bool(j, "ok", true);
    json_set_int(j, "pid", getpid());
    json_set_int(j, "fds", (int64_t)n_fds);
    json_set(j, "op", json_copy(json_get(request, "op")));
    json_set_str(j, "nameserver", "127.0.0.11");
    struct json *state = json_get(request, "restore");
    json_set(j, "restore", json_copy(state ? state : json_get(request, "id")));
    return j;
}

static void send_event(struct msg_chan *c, int number) {
    autojson j = json_object();
    json_set_str(j, "event", "changed");
    json_set_int(j, "number", number);
    if (msg_send(c, j, NULL, 0))
        _exit(1);
}

static struct err *serve(const struct fake *h, struct msg_chan *c, const struct json *request, size_t n_fds) {
    const char *op = json_str_value(json_get(request, "op"));
    if (str_eq(op, "fail")) {
        autoerr e = err_hint(err_new(ERR_IN_USE, "port 80 is taken"), "take another");
        return msg_send_err(c, e);
    }
    if (should_die(h, n_fds))
        _exit(0);
    autojson j = say(request, n_fds);
    bool is_lease = n_fds > 0 && strcmp(h->manner, "no-namespace") != 0;
    TRY(msg_send(c, j, &h->netns, is_lease ? 1 : 0));
    for (int i = 0; str_eq(op, "events") && i < 3; i++)
        send_event(c, i);
    return NULL;
}

/* False when the client has gone. */
static bool serve_one(const struct fake *h, struct msg_chan *c) {
    autojson j = NULL;
    int fds[MSG_FDS];
    size_t n_fds = 0;
    autoerr e = msg_recv(c, &j, fds, &n_fds);
    autoerr e2 = !e && j ? serve(h, c, j, n_fds) : NULL;
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    return !e && !e2 && j;
}

static void serve_all(struct fake *h) {
    bool had_one = false;
    while (!had_one || h->n) {
        struct pollfd p[CLIENTS_MAX + 1] = {{.fd = LISTENER, .events = POLLIN}};
        for (size_t i = 0; i < h->n; i++)
            p[i + 1] = (struct pollfd){.fd = msg_chan_fd(h->clients[i]), .events = POLLIN};
        poll(p, h->n + 1, -1);
        for (size_t i = h->n; i-- > 0;)
            if (p[i + 1].revents && !serve_one(h, h->clients[i])) {
                msg_chan_free(h->clients[i]);
                h->clients[i] = h->clients[--h->n];
            }
        int fd = p[0].revents ? accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0)
            h->clients[h->n++] = msg_chan_new(fd);
        had_one |= fd >= 0;
    }
}

static void note(const struct fake *h) {
    autofree char *path = mem_printf("%s/starts", h->run_root);
    autofd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, ".", 1) != 1)
        _exit(1);
}

/* Leaves no room in the queue of the socket; the connections end with this process, but for what the queue has. */
static void fill_queue(const struct fake *h) {
    autofree char *dir = mem_printf("%s/net", h->run_root);
    int fd = open(dir, O_PATH | O_CLOEXEC);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/socket", fd);
    do
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    while (connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0);
    if (errno != EAGAIN)
        _exit(6);
}

static void helper_main(char **argv) {
    static struct fake h; /* static, for the sanitizer finds what _exit leaves on a stack */
    autostr struct str manner = STR_INIT;
    snprintf(h.run_root, sizeof h.run_root, "%s", argv[2]);
    autofree char *path = mem_printf("%s/manner", h.run_root);
    autoerr e = io_read_file(AT_FDCWD, path, sizeof h.manner - 1, &manner);
    if (e)
        _exit(5);
    snprintf(h.manner, sizeof h.manner, "%s", str_c(&manner));
    note(&h);
    if (strcmp(h.manner, "fail") == 0) {
        fprintf(stderr, "something\ncoracle-net: no libslirp here\n");
        _exit(127);
    }
    if (strcmp(h.manner, "crowd-once") == 0 && should_die(&h, 0)) {
        fill_queue(&h);
        _exit(0);
    }
    if (fork() != 0)
        _exit(0);
    setsid();
    h.netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    serve_all(&h);
    _exit(0);
}

/* Before main, which belongs to the tests. What the helper was started with is checked here. */
__attribute__((constructor)) static void be_helper(int argc, char **argv, char **envp) {
    if (argc < 1 || strcmp(argv[0], "coracle-net") != 0)
        return;
    if (argc != 5 || strcmp(argv[1], "--run-root") != 0 || strcmp(argv[3], "--data-root") != 0 || envp[0])
        _exit(3);
    if (fcntl(LISTENER, F_GETFD) != 0 || fcntl(LISTENER + 1, F_GETFD) >= 0)
        _exit(4);
    helper_main(argv);
}

/* ---- the tests' side ---- */

static void lease_fixture(struct fixture *f, const char *manner) {
    fixture_open(f);
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(n > 0);
    self[n > 0 ? n : 0] = '\0';
    autofree char *helper = mem_printf("%s/coracle-net", f->host.libexec_dir);
    autofree char *path = mem_printf("%s/manner", f->host.run_root);
    CHECK(symlink(self, helper) == 0);
    CHECK_OK(io_write_file(AT_FDCWD, path, manner, strlen(manner), 0600, 0));
}

static int starts(const struct fixture *f) {
    autofree char *path = mem_printf("%s/starts", f->host.run_root);
    struct stat st;
    return stat(path, &st) == 0 ? (int)st.st_size : 0;
}

static struct json *request(const char *op, const char *id) {
    struct json *j = json_object();
    json_set_str(j, "op", op);
    json_set_str(j, "id", id);
    return j;
}

static int own_netns(void) { return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC); }

static struct err *attach(const struct fixture *f, const char *op, struct net_lease *ret) {
    autofd int ns = own_netns();
    autojson j = request(op, "web");
    return net_attach(&f->host, j, ns, ret);
}

static struct err *ask(const struct fixture *f, const char *op) {
    autojson j = request(op, "web");
    autojson answer = NULL;
    return net_ask(&f->host, j, NULL, &answer);
}

static pid_t helper_of(const struct net_lease *l) { return (pid_t)json_int_value(json_get(l->answer, "pid"), -1); }

/* Ends the helper by force and waits until it has gone. */
static void kill_helper(const struct net_lease *l) {
    autofd int pidfd = -1;
    uint64_t start;
    bool ended;
    CHECK_OK(proc_start_time(helper_of(l), &start));
    CHECK_OK(proc_open(helper_of(l), start, &pidfd));
    CHECK_OK(proc_signal(pidfd, SIGKILL));
    CHECK_OK(proc_wait_end(pidfd, -1, &ended));
}

static void test_attach(void) {
    struct fixture f;
    lease_fixture(&f, "");
    struct net_lease l = NET_LEASE_INIT;
    struct stat st;
    net_lease_done(&l);
    CHECK_WORDS(ask(&f, "list"), "no coracle-net is running");
    CHECK_OK(attach(&f, "attach", &l));
    CHECK(l.fd >= 0 && l.helper_netns >= 0 && l.fd == msg_chan_fd(l.chan));
    CHECK_INT(json_int_value(json_get(l.answer, "fds"), -1), 1);
    CHECK_STR(json_str_value(json_get(l.answer, "op")), "attach");
    CHECK_OK(ask(&f, "list"));
    CHECK_INT(starts(&f), 1);
    autofree char *dir = mem_printf("%s/net", f.host.run_root), *sock = mem_printf("%s/socket", dir);
    CHECK(stat(dir, &st) == 0 && (st.st_mode & 07777) == 0700);
    CHECK(stat(sock, &st) == 0 && (st.st_mode & 07777) == 0600);
    net_lease_done(&l);
    CHECK(l.fd == -1 && l.helper_netns == -1 && !l.answer);
    fixture_close(&f);
}

/* The helper's own words come through; the lease that was asked for is not there. */
static void test_error(void) {
    struct fixture f;
    lease_fixture(&f, "");
    struct net_lease l = NET_LEASE_INIT;
    struct err *e = attach(&f, "fail", &l);
    CHECK_STR(e ? err_hint_text(e) : NULL, "take another");
    CHECK_INT(e ? err_kind(e) : ERR_KIND_COUNT, ERR_IN_USE);
    CHECK_WORDS(e, "port 80 is taken");
    CHECK(l.fd == -1);
    fixture_close(&f);
}

static void test_events(void) {
    struct fixture f;
    lease_fixture(&f, "");
    struct net_lease l = NET_LEASE_INIT;
    CHECK_OK(attach(&f, "events", &l));
    int64_t number = -1;
    while (number < 2 && !unit_failures) {
        bool changed = false;
        CHECK_OK(net_lease_read(&l, &changed));
        CHECK(changed);
        CHECK(json_int_value(json_get(l.answer, "number"), -1) > number);
        number = json_int_value(json_get(l.answer, "number"), -1);
    }
    CHECK_STR(json_str_value(json_get(l.answer, "nameserver")), "127.0.0.11");
    CHECK(json_get(l.answer, "event") == NULL);
    kill_helper(&l);
    bool changed = false;
    CHECK_ERR(net_lease_read(&l, &changed), ERR_NOT_FOUND);
    CHECK(!changed);
    net_lease_done(&l);
    fixture_close(&f);
}

static void test_restore(void) {
    struct fixture f;
    lease_fixture(&f, "");
    struct net_lease l = NET_LEASE_INIT;
    autofd int ns = own_netns();
    CHECK_OK(attach(&f, "attach", &l));
    for (int i = 0; i < 2; i++) {
        pid_t before = helper_of(&l);
        kill_helper(&l);
        CHECK_OK(net_restore(&f.host, ns, &l));
        CHECK(helper_of(&l) != before);
        CHECK_INT(json_int_value(json_get(l.answer, "fds"), -1), 2);
        CHECK_STR(json_str_value(json_get(l.answer, "op")), "restore");
        CHECK_STR(json_str_value(json_get(l.answer, "restore")), "web");
    }
    CHECK_INT(starts(&f), 3);
    net_lease_done(&l);
    CHECK_ERR(net_restore(&f.host, ns, &l), ERR_CORRUPT);
    fixture_close(&f);
}

static void test_dying(void) {
    struct fixture f;
    struct net_lease l = NET_LEASE_INIT;
    lease_fixture(&f, "die-once");
    CHECK_OK(attach(&f, "attach", &l));
    CHECK_INT(starts(&f), 2);
    net_lease_done(&l);
    fixture_close(&f);

    lease_fixture(&f, "die");
    CHECK_WORDS(attach(&f, "attach", &l), "coracle-net ended without an answer: connection reset by peer");
    CHECK(starts(&f) >= 2 && starts(&f) <= 9); /* a try may have been queued at the helper that had just died */
    CHECK(l.fd == -1);
    fixture_close(&f);
}

/* A helper that dies with a full queue before it accepts anybody: who has started it does not wait for it. */
static void test_crowded_queue(void) {
    struct fixture f;
    struct net_lease l = NET_LEASE_INIT;
    lease_fixture(&f, "crowd-once");
    alarm(60);
    CHECK_OK(attach(&f, "attach", &l));
    alarm(0);
    CHECK_INT(starts(&f), 2);
    net_lease_done(&l);
    fixture_close(&f);
}

/* Who only asks is told that nobody is there, and whether somebody was; who has a lease starts the next one. */
static void test_asking_the_dying(void) {
    struct fixture f;
    struct net_asked asked = {.none = false};
    struct net_lease l = NET_LEASE_INIT;
    autojson j = request("list", "web");
    autojson answer = NULL;
    lease_fixture(&f, "die-once");
    CHECK_ERR(net_ask(&f.host, j, &asked, &answer), ERR_NOT_FOUND);
    CHECK(asked.none && !asked.repeated);
    CHECK_OK(net_ask_own(&f.host, j, &answer)); /* the first one dies of it */
    CHECK_INT(starts(&f), 2);
    fixture_close(&f);

    lease_fixture(&f, "die-asked");
    CHECK_OK(attach(&f, "attach", &l));
    CHECK_ERR(net_ask(&f.host, j, &asked, &answer), ERR_NOT_FOUND);
    CHECK(asked.none && asked.repeated);
    net_lease_done(&l);
    fixture_close(&f);
}

static void test_not_starting(void) {
    struct fixture f;
    struct net_lease l = NET_LEASE_INIT;
    lease_fixture(&f, "fail");
    struct err *e = attach(&f, "attach", &l);
    CHECK(e && err_hint_text(e) && strstr(err_hint_text(e), "libslirp0"));
    CHECK_WORDS(e, "coracle-net cannot start: no libslirp here, status 127");
    fixture_close(&f);

    lease_fixture(&f, "no-namespace");
    CHECK_ERR(attach(&f, "attach", &l), ERR_CORRUPT);
    fixture_close(&f);
}

/* ---- races ---- */

struct crowd {
    struct fixture f;
    int report[2]; /* the pid of each one's helper */
    int hold[2];   /* everybody keeps its lease until this is closed */
    struct net_lease leases[RACERS];
};

static int attach_and_hold(void *ctx, int i) {
    (void)i;
    struct crowd *c = ctx;
    struct net_lease l = NET_LEASE_INIT;
    char end;
    autoerr e = attach(&c->f, "attach", &l);
    pid_t pid = e ? -1 : helper_of(&l);
    if (write(c->report[1], &pid, sizeof pid) != sizeof pid || read(c->hold[0], &end, 1) != 0)
        return 1;
    net_lease_done(&l);
    return e ? 1 : 0;
}

static int restore_and_hold(void *ctx, int i) {
    struct crowd *c = ctx;
    autofd int ns = own_netns();
    char end;
    autoerr e = net_restore(&c->f.host, ns, &c->leases[i]);
    pid_t pid = e ? -1 : helper_of(&c->leases[i]);
    if (write(c->report[1], &pid, sizeof pid) != sizeof pid || read(c->hold[0], &end, 1) != 0)
        return 1;
    return e ? 1 : 0;
}

/* Runs a race in which all keep their leases until everybody has one; returns the helper that all have, or -1. */
static pid_t race_for_one(struct crowd *c, int (*fn)(void *ctx, int i)) {
    CHECK_OK(fd_pipe(0, c->report));
    CHECK_OK(fd_pipe(0, c->hold));
    pid_t runner = fork();
    if (runner == 0) {
        close(c->hold[1]);
        _exit(race(RACERS, fn, c) == RACERS ? 0 : 1);
    }
    pid_t one = -1, pid;
    for (int i = 0; i < RACERS; i++) {
        if (read(c->report[0], &pid, sizeof pid) != sizeof pid)
            pid = -1;
        CHECK(pid > 0 && (i == 0 || pid == one));
        one = pid;
    }
    close(c->hold[1]);
    int code = 1;
    CHECK_OK(proc_reap(runner, &code));
    CHECK_INT(code, 0);
    close(c->hold[0]);
    close(c->report[0]);
    close(c->report[1]);
    return one;
}

static void test_first_starts(void) {
    for (int i = 0; i < ROUNDS; i++) {
        struct crowd c = {0};
        lease_fixture(&c.f, "");
        CHECK(race_for_one(&c, attach_and_hold) > 0);
        CHECK_INT(starts(&c.f), 1);
        fixture_close(&c.f);
    }
}

/* All monitors see their helper die, and meet again at one. */
static void test_restores(void) {
    struct crowd c = {0};
    lease_fixture(&c.f, "");
    for (int i = 0; i < RACERS; i++)
        CHECK_OK(attach(&c.f, "attach", &c.leases[i]));
    kill_helper(&c.leases[0]);
    CHECK(race_for_one(&c, restore_and_hold) > 0);
    CHECK_INT(starts(&c.f), 2);
    for (int i = 0; i < RACERS; i++)
        net_lease_done(&c.leases[i]);
    fixture_close(&c.f);
}

UNIT_MAIN({"attach", test_attach}, {"error", test_error}, {"events", test_events}, {"restore", test_restore},
          {"dying helpers", test_dying}, {"crowded queue", test_crowded_queue},
          {"asking the dying", test_asking_the_dying}, {"not starting", test_not_starting},
          {"first starts", test_first_starts}, {"restores", test_restores})
