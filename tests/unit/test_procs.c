/* /proc/PID/stat, whatever a process calls itself, and ps's output by docker's rules. */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/procs_int.h"
#include "engine/top_int.h"
#include "unit.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REST " 1 100 100 34816 100 4194304 99 0 1 0 250 50 30 -1 20 -5 3 0 123456 2322432 331 18446744073709551615 1 1"

static void test_stat(void) {
    struct proc_stat s;
    CHECK(proc_stat_parse("42 (sh) S" REST, &s));
    CHECK(s.pid == 42 && s.ppid == 1 && s.pgid == 100 && s.state == 'S' && s.tty == 34816);
    CHECK(s.utime == 250 && s.stime == 50 && s.cutime == 30 && s.cstime == 0);
    CHECK(s.nice == -5 && s.threads == 3 && s.start == 123456 && s.vsize == 2322432);
    CHECK(s.rss == 331 * (uint64_t)sysconf(_SC_PAGESIZE));
    CHECK_STR(s.comm, "sh");
}

static void test_stat_names(void) {
    struct proc_stat s;
    CHECK(proc_stat_parse("7 (a) S (b) R) Z" REST, &s));
    CHECK_STR(s.comm, "a) S (b) R");
    CHECK(s.state == 'Z');
    CHECK(!proc_stat_parse("", &s));
    CHECK(!proc_stat_parse("7", &s));
    CHECK(!proc_stat_parse("7 )(", &s));
    CHECK(!proc_stat_parse("x (sh) S" REST, &s));
    CHECK(!proc_stat_parse("7 (sh) S 1 2 3", &s));
}

static void test_numbers(void) {
    const char *text = "VmHWM:\t  10 kB\nVmRSS:\t  1324 kB\nrbytes=5 wbytes=77\n";
    CHECK(proc_number(text, "VmRSS:") == 1324);
    CHECK(proc_number(text, "wbytes=") == 77);
    CHECK(proc_number(text, "bytes=") == 0);
    CHECK(proc_number(text, "Vm:") == 0);
}

static char *parsed(const char *text) {
    struct procs_one v[] = {{.pid = 5}, {.pid = 70}};
    const struct procs procs = {.v = v, .n = 2};
    autojson titles = json_array();
    autojson rows = json_array();
    autostr struct str s = STR_INIT;
    autoerr e = top_parse_ps(text, &procs, titles, rows);
    if (e)
        err_format(e, &s);
    else
        json_render(rows, JSON_COMPACT, &s);
    return str_take(&s);
}

static void test_ps(void) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"  PID CMD\n    5 a b  c\n    6 d\n   70 e\n", "[[\"5\",\"a b c\"],[\"70\",\"e\"]]"},
        {"USER PID\nroot 5\nroot 6\n", "[[\"root\",\"5\"]]"},
        {"PID LWP\n5 -\n- 8\n6 -\n- 9\n", "[[\"5\",\"-\"],[\"-\",\"8\"]]"},
        {"USER CMD\nroot 5\n", "Couldn't find PID field in ps output"},
        {"PID\nfive\n", "Unexpected pid 'five'"},
        {"", "Couldn't find PID field in ps output"},
        {"PID CMD\n", "[]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autofree char *got = parsed(cases[i].text);
        CHECK_STR(got, cases[i].want);
    }
}

/* A first process with a mount namespace of its own, which makes a child for each byte that it reads, and tells its
 * pid; a capital letter ends the last one before. */
static void first_process(int in, int out) {
    char order;
    pid_t child = 0;
    bool apart = unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    (void)!write(out, &apart, sizeof apart);
    while (apart && read(in, &order, 1) == 1) {
        if (order == 'C') {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        (void)!write(out, &child, sizeof child);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    _exit(0);
}

static pid_t order(int to, int from, char what) {
    pid_t pid = 0;
    CHECK(write(to, &what, 1) == 1 && read(from, &pid, sizeof pid) == sizeof pid);
    return pid;
}

static void test_again(void) {
    int in[2], out[2];
    bool apart = false;
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    pid_t inits[2] = {0, fork()};
    if (inits[1] == 0) {
        close(in[1]);
        first_process(in[0], out[1]);
    }
    CHECK(read(out[0], &apart, sizeof apart) == sizeof apart);
    if (apart) { /* else nobody may have a namespace here */
        struct procs procs;
        pid_t child = order(in[1], out[0], 'c');
        CHECK_OK(procs_find(inits, ARRAY_LEN(inits), &procs));
        CHECK_INT(procs.n, 2);
        CHECK(procs.n == 2 && procs.v[0].container == 1 && procs.v[1].container == 1 && !procs.v[0].start);
        for (size_t i = 0; i < procs.n; i++)
            procs.v[i].start = (uint64_t)procs.v[i].pid + 1;
        pid_t other = order(in[1], out[0], 'C');
        CHECK_OK(procs_again(&procs));
        CHECK_INT(procs.n, 2);
        for (size_t i = 0; i < procs.n; i++) {
            CHECK(procs.v[i].container == 1 && (procs.v[i].pid == inits[1] || procs.v[i].pid == other));
            CHECK_INT(procs.v[i].start, procs.v[i].pid == inits[1] ? inits[1] + 1 : 0);
        }
        CHECK(child != other);
        close(in[1]);
        waitpid(inits[1], NULL, 0);
        CHECK_OK(procs_again(&procs));
        CHECK_INT(procs.n, 0);
        procs_done(&procs);
    } else {
        close(in[1]);
        waitpid(inits[1], NULL, 0);
    }
    close(in[0]);
    close(out[0]);
    close(out[1]);
}

UNIT_MAIN({"stat", test_stat}, {"stat_names", test_stat_names}, {"numbers", test_numbers}, {"ps", test_ps},
          {"again", test_again})
