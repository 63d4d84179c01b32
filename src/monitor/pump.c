/* pump: see pump_int.h. */
#include "monitor/pump_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"

enum {
    GUARDED_PIECE = 4096, /* PIPE_BUF: what a writable pipe takes without blocking */
    SIGNAL_LAST = 64
};

/* ---- outputs ---- */

static void outlet_open(struct outlet *o, int fd) {
    struct stat st;
    *o = (struct outlet){.fd = fd};
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    o->socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !terminal_is(fd))
        return;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    o->owned = again >= 0;
    o->guarded = again < 0;
    if (o->owned)
        o->fd = again;
}

static void outlet_close(struct outlet *o) {
    if (o->owned)
        fd_close(o->fd);
}

ssize_t outlet_write(const struct outlet *o, const void *data, size_t n) {
    if (o->fd < 0)
        return (ssize_t)n;
    if (o->guarded) {
        struct pollfd p = {.fd = o->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0)
            return 0;
        n = n < GUARDED_PIECE ? n : GUARDED_PIECE;
    }
    ssize_t k = o->socket ? send(o->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(o->fd, data, n);
    return k < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : k;
}

/* ---- signals ---- */

/* Faults of our own, what cannot be caught, what a container has no use for, and the terminal's stop for background
 * jobs. */
static bool is_forwarded(int signo) {
    switch (signo) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGCHLD:
    case SIGPIPE:
    case SIGURG:
    case SIGWINCH:
    case SIGTTIN:
    case SIGTTOU:
        return false;
    default:
        return true;
    }
}

/* With a raw terminal these would leave it raw. */
static bool is_deadly(int signo) {
    return signo == SIGINT || signo == SIGTERM || signo == SIGHUP || signo == SIGQUIT || signo == SIGTSTP;
}

/* What goes to the container and what is meant for us: the end of the terminal, and its stop, are. */
static bool is_passed_on(const struct pump *p, int signo) {
    return !p->raw || (p->io->sig_proxy && signo != SIGHUP && signo != SIGTSTP);
}

static bool is_ignored(int signo) {
    struct sigaction sa;
    return sigaction(signo, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_IGN;
}

static struct err *signals_begin(struct pump *p) {
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    sigemptyset(&set);
    sigaction(SIGPIPE, &ignore, &p->pipe_before);
    p->masked = true;
    if (p->io->tty)
        sigaddset(&set, SIGWINCH);
    for (int i = 1; i <= SIGNAL_LAST; i++)
        if ((p->raw ? is_deadly(i) : p->io->sig_proxy && is_forwarded(i)) && !is_ignored(i))
            sigaddset(&set, i);
    sigprocmask(SIG_BLOCK, &set, &p->mask_before);
    if (sigisemptyset(&set))
        return NULL;
    p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return p->signal_fd < 0 ? err_sys(errno, "watch signals") : NULL;
}

/* Stops like any other program, with the terminal as it was, and takes it again when continued. */
static void stop_and_continue(struct pump *p) {
    terminal_restore();
    raise(SIGSTOP);
    terminal_raw(p->io->in);
    pump_resize(p);
}

struct err *pump_signal(struct pump *p) {
    struct signalfd_siginfo si;
    if (read(p->signal_fd, &si, sizeof si) != (ssize_t)sizeof si)
        return NULL;
    int signo = (int)si.ssi_signo;
    if (signo == SIGWINCH) {
        pump_resize(p);
    } else if (is_passed_on(p, signo)) {
        p->forward(p, signo);
    } else if (signo == SIGTSTP) {
        stop_and_continue(p);
    } else {
        terminal_restore();
        sigprocmask(SIG_SETMASK, &p->mask_before, NULL);
        raise(signo);
        return err_new(ERR_INTERRUPTED, "ended by %s", proc_signal_name(signo));
    }
    return NULL;
}

/* ---- the whole ---- */

struct err *pump_begin(struct pump *p, const struct monitor_io *io) {
    p->io = io;
    p->signal_fd = -1;
    TRY(monitor_detach_keys_parse(io->detach_keys, p->detach.keys, &p->detach.n));
    if (!io->tty)
        p->detach.n = 0;
    p->in_open = io->in >= 0;
    outlet_open(&p->out[0], io->out);
    outlet_open(&p->out[1], io->err);
    p->raw = io->tty && terminal_raw(io->in);
    return signals_begin(p);
}

void pump_end(struct pump *p) {
    if (p->raw)
        terminal_restore();
    if (p->masked) {
        sigprocmask(SIG_SETMASK, &p->mask_before, NULL);
        sigaction(SIGPIPE, &p->pipe_before, NULL);
    }
    fd_replace(&p->signal_fd, -1);
    for (int i = 0; i < 2; i++)
        outlet_close(&p->out[i]);
    pages_done(&p->input);
    pages_done(&p->tx.mem);
}

void pump_resize(struct pump *p) {
    unsigned short rows, cols;
    if (!p->io->tty)
        return;
    monitor_tty_size(p->io->out, &rows, &cols);
    if (!rows && !cols)
        monitor_tty_size(p->io->in, &rows, &cols);
    if (rows || cols)
        p->resize(p, rows, cols);
}

struct pollfd pump_poll_input(const struct pump *p) {
    return (struct pollfd){.fd = p->in_open && !p->tx.len ? p->io->in : -1, .events = POLLIN};
}

void pump_input(struct pump *p, const unsigned char **ret_data, size_t *ret_n, bool *ret_end) {
    unsigned char *raw = (unsigned char *)pages_get(&p->input, 2 * PUMP_INPUT_MAX + DETACH_MAX);
    unsigned char *text = raw + PUMP_INPUT_MAX;
    *ret_n = 0;
    *ret_end = false;
    *ret_data = text;
    ssize_t n = read(p->io->in, raw, PUMP_INPUT_MAX);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        p->in_open = false;
        *ret_end = true;
    } else if (!p->detach.n) {
        *ret_data = raw;
        *ret_n = (size_t)n;
    } else {
        p->r.detached = detach_filter(&p->detach, raw, (size_t)n, text, ret_n);
    }
}
