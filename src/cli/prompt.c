/*
 * prompt: a question at the terminal. While an answer is not to be seen the terminal does not echo, and whatever ends
 * the question, a signal too, makes it echo again.
 */
#include "cli/cli_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)64 << 10)

/* Up to the end of the line; the terminal edits it. */
static struct err *read_line(int interrupted, struct str *out) {
    for (;;) {
        struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = interrupted, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return err_sys(errno, "wait for an answer");
        if (p[1].revents & POLLIN)
            return err_new(ERR_INTERRUPTED, "interrupted");
        if (!p[0].revents)
            continue;
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno != EINTR)
            return err_sys(errno, "read an answer");
        if (n == 0 || (n == 1 && c == '\n'))
            return NULL;
        if (n == 1)
            str_append_c(out, c);
        if (!str_ok(out))
            return err_new(ERR_USAGE, "the answer is too long");
    }
}

struct err *cli_prompt(struct cli_ctx *c, const char *question, bool echo, char **ret) {
    autostr struct str answer = STR_INIT_MAX(ANSWER_MAX);
    struct termios before, quiet;
    int interrupted = -1;
    TRY(cli_interrupt_fd(&interrupted));
    if (!echo && tcgetattr(STDIN_FILENO, &before) < 0)
        return err_sys(errno, "ask the terminal for its settings");
    if (!echo) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0)
            return err_sys(errno, "make the terminal silent");
    }
    fputs(question, c->out);
    fflush(c->out);
    struct err *e = read_line(interrupted, &answer);
    if (!echo) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', c->out);
    }
    if (!e)
        *ret = str_take(&answer);
    return e;
}
