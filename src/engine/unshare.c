/* unshare: a program as root of the containers' user namespace. See files.h. */
#include "engine/engine_int.h"
#include "engine/files.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static struct err *find(const struct host *h, const char *program, char **ret) {
    if (strchr(program, '/')) {
        *ret = mem_dup(program);
        return NULL;
    }
    autoerr e = host_find_program(h, program, NULL, ret);
    return e ? err_new(ERR_EXEC_NOT_FOUND, "%s: command not found", program) : NULL;
}

struct err *engine_unshare(struct engine *e, char *const *argv) {
    int userns;
    autofree char *path = NULL;
    TRY(find(e->host, argv[0], &path));
    TRY(engine_userns(e, &userns, NULL));
    TRY(runtime_userns_enter(userns));
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_sys(errno, "make a mount namespace");
    execve(path, argv, e->host->environ);
    int why = errno;
    return err_with_kind(err_sys(why, "execute %s", argv[0]), why == ENOENT ? ERR_EXEC_NOT_FOUND : ERR_EXEC_DENIED);
}
