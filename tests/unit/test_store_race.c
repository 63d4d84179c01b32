/*
 * The store under attack: many processes after one name, and a SIGKILL at every system call of each operation that
 * changes something, then at random moments. After each the invariants of store.h hold, and nothing is stuck.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define FIXTURE_IN_MEMORY
#include "store_fixture.h"

/* ---- invariants ---- */

static void check_container(struct store *s, const char *id) {
    static const char *const files[] = {"config.json", "options.json", "container.json", "state.json"};
    char owner[65] = "";
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        autojson j = NULL;
        CHECK_OK(store_container_read(s, id, files[i], &j));
        if (i == 2) {
            CHECK_OK(store_container_find(s, json_str_value(json_get(j, "Name")), owner));
            CHECK_STR(owner, id);
        }
    }
}

/* A name either leads to a container, or can be had. */
static struct err *check_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct store *s = ctx;
    char id[65], own[65];
    autoerr e = store_container_find(s, name, id);
    if (!e)
        return NULL;
    CHECK_OK(make_container(s, name, NULL, NULL, own));
    CHECK_OK(store_container_remove(s, own));
    return NULL;
}

static void check_invariants(struct store *s) {
    autostrv struct strv ids = {0}, images = {0};
    autostrmap struct strmap refs = {0};
    CHECK_OK(store_container_ids(s, &ids));
    for (size_t i = 0; i < ids.n; i++)
        check_container(s, ids.v[i]);
    CHECK_OK(store_image_ids(s, &images));
    for (size_t i = 0; i < images.n; i++) {
        struct store_image *img = NULL;
        CHECK_OK(store_image_get(s, images.v[i], &img));
        if (img)
            CHECK_OK(store_image_put(s, img)); /* refuses an image with holes */
        store_image_free(img);
    }
    CHECK_OK(store_refs(s, &refs));
    for (size_t i = 0; i < refs.n; i++)
        CHECK(strv_has(&images, refs.e[i].value));
    CHECK_OK(io_each_entry(store_dirfd(s, "names"), check_name, s));
    CHECK_OK(store_collect(s));
    CHECK(!store_has_debris(s));
}

/* ---- many at once ---- */

enum { RACERS = 8, ROUNDS = 200 };

/* A racer: waits for the start, creates, and exits with 0 for success, 1 for a conflict, 2 for anything else. */
static void race_one(const struct fixture *f, int start) {
    struct store *s = NULL;
    char id[65], c;
    autoerr e = store_open(&f->host, &s);
    if (e || read(start, &c, 1) != 0)
        _exit(2);
    e = make_container(s, "same", NULL, NULL, id);
    _exit(!e ? 0 : err_kind(e) == ERR_CONFLICT ? 1 : 2);
}

static void race_round(struct fixture *f, bool stale) {
    int start[2], won = 0, lost = 0;
    pid_t pids[RACERS];
    char id[65];
    id_random(id);
    if (stale)
        CHECK(symlinkat(id, store_dirfd(f->s, "names"), "same") == 0);
    CHECK_OK(fd_pipe(0, start));
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            fd_close(start[1]);
            race_one(f, start[0]);
        }
    }
    fd_close(start[0]);
    fd_close(start[1]); /* off they go */
    for (int i = 0; i < RACERS; i++) {
        int status = -1;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status));
        won += WEXITSTATUS(status) == 0;
        lost += WEXITSTATUS(status) == 1;
    }
    CHECK_INT(won, 1);
    CHECK_INT(lost, RACERS - 1);
    CHECK_OK(store_container_find(f->s, "same", id));
    CHECK_OK(store_container_remove(f->s, id));
}

static void test_name_race(void) {
    struct fixture f;
    fixture_open(&f);
    for (int i = 0; i < ROUNDS; i++)
        race_round(&f, i & 1);
    check_invariants(f.s);
    fixture_close(&f);
}

/* One of several processes that create, rename, remove and collect under a few names, for n steps. */
static int fight(const struct fixture *f, unsigned seed, int steps) {
    static const char *const names[] = {"ant", "bee", "cat"};
    struct store *s = NULL;
    autoerr e = store_open(&f->host, &s);
    for (int i = 0; !e && i < steps; i++) {
        char id[65];
        const char *name = names[(unsigned)rand_r(&seed) % ARRAY_LEN(names)];
        const char *other = names[(unsigned)rand_r(&seed) % ARRAY_LEN(names)];
        autoerr step = NULL;
        unsigned what = (unsigned)rand_r(&seed) % 8;
        if (what < 3) {
            step = make_container(s, name, NULL, NULL, id);
        } else if (what == 7) {
            step = store_collect(s);
        } else {
            step = store_container_find(s, name, id);
            if (!step)
                step = what < 5 ? store_container_remove(s, id) : store_container_rename(s, id, other);
        }
        enum err_kind kind = step ? err_kind(step) : ERR_CONFLICT;
        if (kind != ERR_CONFLICT && kind != ERR_NOT_FOUND && kind != ERR_USAGE) { /* usage: it has that name already */
            autostr struct str text = STR_INIT;
            err_format(step, &text);
            fprintf(stderr, "step %d (%u): %s\n", i, what, str_c(&text));
            return 1;
        }
    }
    store_free(s);
    return e != NULL;
}

static void test_fight(void) {
    struct fixture f;
    pid_t pids[RACERS];
    fixture_open(&f);
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(fight(&f, (unsigned)i + 1, 300));
    }
    for (int i = 0; i < RACERS; i++) {
        int status = -1;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
    check_invariants(f.s);
    fixture_close(&f);
}

/* ---- SIGKILL ---- */

/* What an operation works on, made anew before each. */
struct victim {
    char id[65], image[65], top[72];
};

static void prepare(struct store *s, struct victim *v) {
    autostrv struct strv ids = {0};
    CHECK_OK(store_container_ids(s, &ids));
    for (size_t i = 0; i < ids.n; i++)
        CHECK_OK(store_container_remove(s, ids.v[i]));
    put_image(s, "one", v->image, v->top);
    CHECK_OK(store_ref_set(s, "docker.io/library/one:latest", v->image));
    CHECK_OK(make_container(s, "old", v->image, v->top, v->id));
}

static struct err *op_create(struct store *s, struct victim *v) {
    char id[65];
    return make_container(s, "new", v->image, v->top, id);
}
static struct err *op_remove(struct store *s, struct victim *v) { return store_container_remove(s, v->id); }
static struct err *op_rename(struct store *s, struct victim *v) { return store_container_rename(s, v->id, "new"); }
static struct err *op_ref(struct store *s, struct victim *v) {
    return store_ref_set(s, "docker.io/library/two:latest", v->image);
}
static struct err *op_image_remove(struct store *s, struct victim *v) { return store_image_remove(s, v->image); }
static struct err *op_collect(struct store *s, struct victim *v) {
    TRY(store_container_remove(s, v->id));
    return store_collect(s);
}
static struct err *op_sweep(struct store *s, struct victim *v) {
    bool skipped;
    int64_t bytes;
    TRY(store_image_remove(s, v->image));
    TRY(store_container_remove(s, v->id));
    return store_sweep(s, false, &skipped, &bytes);
}
static struct err *op_put(struct store *s, struct victim *v) {
    (void)v;
    char id[65], top[72];
    put_image(s, "three", id, top);
    return store_ref_set(s, "docker.io/library/three:latest", id);
}

static const struct operation {
    const char *name;
    struct err *(*run)(struct store *s, struct victim *v);
} operations[] = {{"create", op_create},    {"remove", op_remove}, {"rename", op_rename},   {"ref", op_ref},
                  {"rmi", op_image_remove}, {"put", op_put},       {"collect", op_collect}, {"sweep", op_sweep}};

/* Runs an operation in a traced child and kills it at its nth system call stop; true when it ended before. */
static bool kill_at(struct fixture *f, const struct operation *op, struct victim *v, int nth) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s = NULL;
        autoerr e = store_open(&f->host, &s); /* descriptions of its own, as another process has */
        if (e || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
            _exit(9);
        e = op->run(s, v);
        _exit(e ? 1 : 0);
    }
    waitpid(pid, &status, 0);
    for (int i = 0; i < nth && WIFSTOPPED(status); i++)
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) < 0)
            break;
    bool ended = WIFEXITED(status);
    if (ended) {
        CHECK_INT(WEXITSTATUS(status), 0);
    } else {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    return ended;
}

/* Not where kernel.yama.ptrace_scope is 2 or more. */
static bool may_trace(void) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? 1 : 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static void test_kill_at_every_call(void) {
    struct fixture f;
    struct victim v;
    if (!may_trace()) {
        printf("no process may be traced here: skipped\n");
        return;
    }
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        int before = unit_failures, n = 1;
        for (bool ended = false; !ended && n < 4000; n++) {
            prepare(f.s, &v);
            ended = kill_at(&f, &operations[i], &v, n);
            check_invariants(f.s);
            if (unit_failures != before) {
                fprintf(stderr, "%s, killed at stop %d\n", operations[i].name, n);
                break;
            }
        }
        CHECK(n > 10);
    }
    fixture_close(&f);
}

static void test_kill_at_random(void) {
    enum { KILLS = 300 };
    struct fixture f;
    struct victim v;
    unsigned seed = (unsigned)getpid();
    fixture_open(&f);
    for (int i = 0; i < KILLS; i++) {
        prepare(f.s, &v);
        int gate[2];
        CHECK_OK(fd_pipe(0, gate));
        pid_t pid = fork();
        if (pid == 0) {
            struct store *s = NULL;
            autoerr e = store_open(&f.host, &s);
            fd_close(gate[0]);
            fd_close(gate[1]); /* opened */
            if (e)
                _exit(1);
            for (size_t k = 0;; k++) { /* until killed; errors are fine: an operation may undo what the next needs */
                struct err *ignored = operations[(k + (unsigned)i) % ARRAY_LEN(operations)].run(s, &v);
                err_free(ignored);
            }
        }
        fd_close(gate[1]);
        const struct timespec moment = {.tv_nsec = rand_r(&seed) % 4000000};
        struct pollfd p = {.fd = gate[0]};
        poll(&p, 1, -1); /* the child has begun */
        nanosleep(&moment, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        fd_close(gate[0]);
        check_invariants(f.s);
    }
    fixture_close(&f);
}

UNIT_MAIN({"name race", test_name_race}, {"fight", test_fight}, {"kill at every call", test_kill_at_every_call},
          {"kill at random", test_kill_at_random})
