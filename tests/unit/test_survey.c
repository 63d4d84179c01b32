/* The memory of a container's processes: all of them are found, also one that has its number and cannot be seen yet. */
#include "unit.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "runtime/cgroup.h"

static const int64_t BIG = INT64_C(16) << 20;

/* In the first process of a pid namespace: at an order, a child that fills memory and says when it has. */
static void first_process(int in, int out) {
    char c;
    while (read(in, &c, 1) == 1)
        if (fork() == 0) {
            memset(mem_alloc((size_t)BIG), 1, (size_t)BIG);
            (void)!write(out, &c, 1);
            (void)pause();
        }
    _exit(0);
}

/* Its pid, as we see it; 0: nobody may have namespaces here. */
static pid_t start(int in, int out) {
    fflush(NULL);
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        first_process(in, out);
    return pid > 0 ? pid : 0;
}

static int64_t memory(pid_t init, struct runtime_survey *s) {
    int64_t bytes = -1;
    CHECK_OK(runtime_survey_memory(init, s, INT64_MAX, &bytes));
    return bytes;
}

/* As on a busy machine, where others take numbers all the time. */
static void others(int n) {
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        CHECK_INT(waitpid(pid, NULL, 0), pid);
    }
}

static void all_found(int n_others) {
    int in[2], out[2];
    char c = 'c';
    struct runtime_survey s = {.n = 0};
    CHECK_OK(fd_pipe(0, in));
    CHECK_OK(fd_pipe(0, out));
    pid_t init = start(in[0], out[1]);
    fd_close(in[0]);
    if (init) {
        int64_t before = memory(init, &s);
        CHECK_INT(s.n, 1);
        for (int i = 1; i <= 2; i++) {
            CHECK(write(in[1], &c, 1) == 1 && read(out[0], &c, 1) == 1);
            others(n_others);
            CHECK(memory(init, &s) >= before + i * BIG);
            CHECK_INT(s.n, 1 + i);
        }
        s.n--; /* as if the youngest had not been there yet when we looked */
        CHECK(memory(init, &s) >= before + 2 * BIG);
        CHECK_INT(s.n, 3);
        CHECK(memory(init, &s) >= before + 2 * BIG);
        CHECK_INT(s.n, 3);
        CHECK(kill(init, SIGKILL) == 0);
        CHECK_INT(waitpid(init, NULL, 0), init);
    }
    fd_close(in[1]);
    fd_close(out[0]);
    fd_close(out[1]);
    runtime_survey_done(&s);
}

static void test_found(void) { all_found(0); }

static void test_found_on_a_busy_machine(void) { all_found(250); }

UNIT_MAIN({"found", test_found}, {"found on a busy machine", test_found_on_a_busy_machine})
