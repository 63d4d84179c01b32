/*
 * pipe: bytes from one socket to another without a copy, splice(2). A pipe belongs to a connection for as long as there
 * are bytes in it; a few empty ones wait for the next. There is an end to them, for a user's pipes are counted by the
 * kernel: who gets none copies.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/helper/helper_int.h"

enum {
    PIPES_MAX = 64,
    PIPES_IDLE = 4,
    PIPE_BYTES = 256 << 10 /* 64 slots, each for a piece of a packet: of 32 KiB at most, and often just that */
};

struct pipe {
    int out, in;
    struct pipe *next;
};

static struct pipe *pipe_new(void) {
    int fd[2];
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
        return NULL;
    fcntl(fd[1], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one does too */
    struct pipe *p = mem_alloc(sizeof *p);
    *p = (struct pipe){.out = fd[0], .in = fd[1]};
    return p;
}

struct pipe *pipe_take(struct loop *l) {
    struct pipe *p = l->pipes.idle;
    if (p) {
        l->pipes.idle = p->next;
        l->pipes.n_idle--;
    } else if (l->pipes.n < PIPES_MAX && (p = pipe_new())) {
        l->pipes.n++;
    }
    return p;
}

void pipe_give(struct loop *l, struct pipe *p, bool empty) {
    if (empty && l->pipes.n_idle < PIPES_IDLE) {
        p->next = l->pipes.idle;
        l->pipes.idle = p;
        l->pipes.n_idle++;
        return;
    }
    l->pipes.n--;
    close(p->out);
    close(p->in);
    free(p);
}

ssize_t pipe_fill(struct pipe *p, int from, size_t most) {
    return splice(from, NULL, p->in, NULL, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}

ssize_t pipe_drain(struct pipe *p, int to, size_t n) {
    return splice(p->out, NULL, to, NULL, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}
