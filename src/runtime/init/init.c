/*
 * coracle-init: PID 1 of a container started with --init.
 *
 *     coracle-init [--] PROGRAM [ARGUMENT…]
 *
 * A program that was not written to be PID 1 ignores SIGTERM there (the kernel drops signals without a handler) and
 * leaves zombies of orphans behind. So this one stands in: it runs the program as its child, passes every signal on to
 * it, reaps whatever is left to it, and ends with the program's exit code, 128 + n after a signal. The container goes
 * with it.
 *
 * With a terminal the child gets a process group of its own in the foreground, so that Ctrl-C reaches it once, from the
 * terminal, and job control works.
 *
 * Signals stay blocked here and are taken one by one with sigwaitinfo(2): no handlers, no races, no polling. The child
 * starts with the mask and dispositions that came in. Static, and no stdio: it runs in any image and stays small.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_USAGE = 125, EXIT_DENIED = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

static void say(const char *text) {
    size_t n = strlen(text);
    if (write(STDERR_FILENO, text, n) < 0)
        return; /* nobody to tell */
}

static void complain(const char *what, const char *name, const char *why) {
    say("coracle-init: ");
    say(what);
    say(name);
    say(": ");
    say(why);
    say("\n");
}

/* ---- the child ---- */

struct inherited {
    sigset_t mask;
    struct sigaction ttin, ttou;
};

/* Without a terminal, or with one that belongs to another session, there is nothing to take. */
static bool take_foreground(void) {
    if (setpgid(0, 0) < 0)
        return false;
    return tcsetpgrp(STDIN_FILENO, getpgrp()) == 0 || errno == ENOTTY || errno == ENXIO || errno == EPERM ||
           errno == EBADF;
}

static _Noreturn void run_child(const struct inherited *in, char *const *argv) {
    if (!take_foreground()) {
        complain("cannot put in the foreground: ", argv[0], strerrordesc_np(errno));
        _exit(EXIT_USAGE);
    }
    (void)sigaction(SIGTTIN, &in->ttin, NULL);
    (void)sigaction(SIGTTOU, &in->ttou, NULL);
    (void)sigprocmask(SIG_SETMASK, &in->mask, NULL);
    (void)execvp(argv[0], argv);
    int why = errno;
    complain("exec ", argv[0], strerrordesc_np(why));
    _exit(why == ENOENT || why == ENOTDIR ? EXIT_NOT_FOUND : EXIT_DENIED);
}

/* ---- the loop ---- */

/* Reaps all that have ended; true when the program itself has, with its code. */
static bool reap(pid_t child, int *ret_code) {
    bool ended = false;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != child)
            continue;
        ended = true;
        *ret_code = WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return ended;
}

static int supervise(pid_t child, const sigset_t *all) {
    int code = 0;
    for (;;) {
        int signo = sigwaitinfo(all, NULL);
        if (signo == SIGCHLD) {
            if (reap(child, &code))
                return code;
        } else if (signo > 0) {
            (void)kill(child, signo);
        }
    }
}

/* All signals but those that a fault of this very program raises. */
static void waited_signals(sigset_t *ret) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGTTIN, SIGTTOU};
    (void)sigfillset(ret);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)sigdelset(ret, faults[i]);
}

int main(int argc, char **argv) {
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct inherited in;
    sigset_t all;
    int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (first >= argc) {
        say("usage: coracle-init [--] PROGRAM [ARGUMENT...]\n");
        return EXIT_USAGE;
    }
    waited_signals(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &in.mask);
    /* Changing the foreground group from the background must not stop us. */
    (void)sigaction(SIGTTIN, &ignore, &in.ttin);
    (void)sigaction(SIGTTOU, &ignore, &in.ttou);
    pid_t child = fork();
    if (child < 0) {
        complain("fork for ", argv[first], strerrordesc_np(errno));
        return EXIT_USAGE;
    }
    if (child == 0)
        run_child(&in, argv + first);
    return supervise(child, &all);
}
