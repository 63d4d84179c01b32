/*
 * served: file systems of the container that a program makes (fuse-overlayfs). Without it every file there is an error,
 * which programs report in a hundred ways or wait for; so when one ends before the container does, the container is
 * killed, and it is said why. The kernel tells by the end of a pipe that only that program holds open.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/monitor_int.h"

struct err *served_watch(struct mon *o) {
    for (int i = 0; i < o->proc.n_served; i++)
        if (!mon_watch(o, o->proc.served[i], (union ref){.kind = REF_SERVED, .index = (uint16_t)i}, EPOLLIN))
            return err_new(ERR_SYSTEM, "cannot watch the program that serves the container's files");
    return NULL;
}

/* An end of the container's takes its mounts away first, and with them the programs: that is no news. */
static bool mounts_are_there(const struct mon *o) {
    char path[48], target[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)o->proc.pid);
    return readlink(path, target, sizeof target) > 0;
}

void served_event(struct mon *o, unsigned index) {
    static const char why[] = "fuse-overlayfs has ended, which served the container's files: the container was killed";
    if (o->proc.served[index] < 0)
        return;
    mon_unwatch(o, o->proc.served[index]);
    fd_replace(&o->proc.served[index], -1);
    if (o->over || !mounts_are_there(o))
        return;
    mon_copy_text(o->error, sizeof o->error, why);
    autofree char *line = mem_printf("coracle: %s\n", why);
    clients_output(o, 2, line, strlen(line));
    mon_log_write(o, 2, line, strlen(line));
    stop_signal(o, SIGKILL);
}

void served_end(struct mon *o) {
    for (int i = 0; i < o->proc.n_served; i++)
        if (o->proc.served[i] >= 0) {
            mon_unwatch(o, o->proc.served[i]);
            fd_replace(&o->proc.served[i], -1);
        }
    o->proc.n_served = 0;
}
