/* net_fixture: a host whose networks, run directory and helpers are in a fresh directory below TMPDIR or /tmp. */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/net_int.h"
#include "unit.h"

struct fixture {
    char *dir;
    struct host host;
};

static void fixture_open(struct fixture *f) {
    *f = (struct fixture){0};
    const char *tmp = getenv("TMPDIR");
    f->dir = mem_printf("%s/coracle-net-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(f->dir)) {
        perror(f->dir);
        exit(1);
    }
    f->host.data_root = mem_printf("%s/root", f->dir);
    /* longer than sun_path */
    f->host.run_root = mem_printf("%s/%0100d", f->dir, 0);
    f->host.libexec_dir = mem_printf("%s/libexec", f->dir);
    CHECK(mkdir(f->host.run_root, 0700) == 0 && mkdir(f->host.libexec_dir, 0700) == 0);
}

static void fixture_close(struct fixture *f) {
    CHECK_OK(io_remove_tree(AT_FDCWD, f->dir));
    free(f->host.data_root);
    free(f->host.run_root);
    free(f->host.libexec_dir);
    free(f->dir);
}

/* The error's text and its end; "" for none. */
static inline char *words_of(struct err *take_e) {
    autostr struct str s = STR_INIT;
    if (take_e)
        err_format(take_e, &s);
    err_free(take_e);
    return str_take(&s);
}

#define CHECK_WORDS(expr, want)                                                                                        \
    do {                                                                                                               \
        autofree char *words_ = words_of(expr);                                                                        \
        CHECK_STR(words_, want);                                                                                       \
    } while (0)

/* Lets `n` processes run fn(ctx, i) from the same moment on; returns how many ended with 0. */
static inline int race(int n, int (*fn)(void *ctx, int i), void *ctx) {
    int gate[2], good = 0;
    CHECK_OK(fd_pipe(0, gate));
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            char c;
            close(gate[1]);
            if (read(gate[0], &c, 1) != 0)
                _exit(9);
            _exit(fn(ctx, i));
        }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < n; i++) {
        int status = 1;
        wait(&status);
        good += status == 0;
    }
    return good;
}
