/* proc_signal: signal names. Real-time signals count from RTMIN up to its middle and from RTMAX down to it, as kill -l
 * does. */
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

enum { RT_MIN = 34, RT_MAX = 64 }; /* glibc's SIGRTMIN and SIGRTMAX on every architecture we know */

#define RT_UP(n) [RT_MIN + (n)] = "SIGRTMIN+" #n
#define RT_DOWN(n) [RT_MAX - (n)] = "SIGRTMAX-" #n

static const char *const signal_names[RT_MAX + 1] = {
    [SIGHUP] = "SIGHUP",
    [SIGINT] = "SIGINT",
    [SIGQUIT] = "SIGQUIT",
    [SIGILL] = "SIGILL",
    [SIGTRAP] = "SIGTRAP",
    [SIGABRT] = "SIGABRT",
    [SIGBUS] = "SIGBUS",
    [SIGFPE] = "SIGFPE",
    [SIGKILL] = "SIGKILL",
    [SIGUSR1] = "SIGUSR1",
    [SIGSEGV] = "SIGSEGV",
    [SIGUSR2] = "SIGUSR2",
    [SIGPIPE] = "SIGPIPE",
    [SIGALRM] = "SIGALRM",
    [SIGTERM] = "SIGTERM",
    [SIGCHLD] = "SIGCHLD",
    [SIGCONT] = "SIGCONT",
    [SIGSTOP] = "SIGSTOP",
    [SIGTSTP] = "SIGTSTP",
    [SIGTTIN] = "SIGTTIN",
    [SIGTTOU] = "SIGTTOU",
    [SIGURG] = "SIGURG",
    [SIGXCPU] = "SIGXCPU",
    [SIGXFSZ] = "SIGXFSZ",
    [SIGVTALRM] = "SIGVTALRM",
    [SIGPROF] = "SIGPROF",
    [SIGWINCH] = "SIGWINCH",
    [SIGIO] = "SIGIO",
    [SIGPWR] = "SIGPWR",
    [SIGSYS] = "SIGSYS",
#ifdef SIGSTKFLT
    [SIGSTKFLT] = "SIGSTKFLT",
#endif
    [RT_MIN] = "SIGRTMIN",
    [RT_MAX] = "SIGRTMAX",
    RT_UP(1),
    RT_UP(2),
    RT_UP(3),
    RT_UP(4),
    RT_UP(5),
    RT_UP(6),
    RT_UP(7),
    RT_UP(8),
    RT_UP(9),
    RT_UP(10),
    RT_UP(11),
    RT_UP(12),
    RT_UP(13),
    RT_UP(14),
    RT_UP(15),
    RT_DOWN(14),
    RT_DOWN(13),
    RT_DOWN(12),
    RT_DOWN(11),
    RT_DOWN(10),
    RT_DOWN(9),
    RT_DOWN(8),
    RT_DOWN(7),
    RT_DOWN(6),
    RT_DOWN(5),
    RT_DOWN(4),
    RT_DOWN(3),
    RT_DOWN(2),
    RT_DOWN(1),
};

static const struct {
    const char *name;
    int signo;
} signal_aliases[] = {{"IOT", SIGABRT}, {"POLL", SIGIO}, {"CLD", SIGCHLD}, {"UNUSED", SIGSYS}};

const char *proc_signal_name(int signo) {
    return signo > 0 && signo <= RT_MAX && signal_names[signo] ? signal_names[signo] : "";
}

/* The number for a name without SIG, 0 if there is none. */
static int signal_of_name(const char *name) {
    int64_t n;
    for (int i = 1; i <= RT_MAX; i++)
        if (signal_names[i] && strcasecmp(signal_names[i] + 3, name) == 0)
            return i;
    for (size_t i = 0; i < ARRAY_LEN(signal_aliases); i++)
        if (strcasecmp(signal_aliases[i].name, name) == 0)
            return signal_aliases[i].signo;
    /* Beyond the middle the table has the other spelling. */
    if (strncasecmp(name, "RTMIN+", 6) == 0 && str_to_i64(name + 6, 0, RT_MAX - RT_MIN, &n))
        return RT_MIN + (int)n;
    if (strncasecmp(name, "RTMAX-", 6) == 0 && str_to_i64(name + 6, 0, RT_MAX - RT_MIN, &n))
        return RT_MAX - (int)n;
    return 0;
}

struct err *proc_signal_parse(const char *s, int *ret) {
    int64_t n;
    int signo = 0;
    if (str_to_i64(s, 1, RT_MAX, &n))
        signo = (int)n;
    else
        signo = signal_of_name(strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s);
    if (!signo)
        return err_new(ERR_USAGE, "invalid signal: %s", s);
    *ret = signo;
    return NULL;
}
