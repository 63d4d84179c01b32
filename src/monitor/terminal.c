/* terminal: see terminal_int.h. */
#include "monitor/terminal_int.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys/sys.h"
#include "monitor/monitor.h"

/* What a crash has to put back; the one mutable state of this module, as handlers have no argument. */
static struct {
    struct termios before;
    int fd;
    volatile sig_atomic_t raw;
} tty;

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};

static void set_handlers(void (*fn)(int)) {
    struct sigaction sa = {.sa_handler = fn, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
        sigaction(crash_signals[i], &sa, NULL);
}

static void on_crash(int signo) {
    terminal_restore();
    signal(signo, SIG_DFL);
    raise(signo);
}

bool terminal_is(int fd) {
    struct termios t;
    return fd >= 0 && tcgetattr(fd, &t) == 0;
}

bool terminal_raw(int fd) {
    struct termios t;
    if (fd < 0 || tcgetattr(fd, &t) < 0)
        return false;
    tty.before = t;
    tty.fd = fd;
    cfmakeraw(&t);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    tty.raw = 1;
    set_handlers(on_crash);
    if (tcsetattr(fd, TCSANOW, &t) < 0) {
        terminal_restore();
        return false;
    }
    return true;
}

void terminal_restore(void) {
    if (!tty.raw)
        return;
    tty.raw = 0;
    /* From the background this would stop us; the terminal is to be put back all the same. */
    sigset_t ttou, old;
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    sigprocmask(SIG_BLOCK, &ttou, &old);
    while (tcsetattr(tty.fd, TCSANOW, &tty.before) < 0 && errno == EINTR)
        ;
    sigprocmask(SIG_SETMASK, &old, NULL);
    set_handlers(SIG_DFL);
}

void monitor_tty_size(int fd, unsigned short *ret_rows, unsigned short *ret_cols) {
    struct winsize ws = {0};
    if (fd < 0 || sys_tty_get_size(fd, &ws) < 0)
        ws = (struct winsize){0};
    *ret_rows = ws.ws_row;
    *ret_cols = ws.ws_col;
}
