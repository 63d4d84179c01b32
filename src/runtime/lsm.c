/*
 * lsm: the SELinux label or AppArmor profile that the next execve takes on, and the label of file systems. A container
 * may have put a look-alike in place of /proc (CVE-2019-16884): what is written to must be a file of a procfs, below
 * its own mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

static int open_attr(int proc, const char *name) {
    const struct open_how how = {.flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    struct statfs sf;
    char path[64];
    (void)snprintf(path, sizeof path, "%d/attr/%s", (int)getpid(), name);
    int fd = sys_openat2(proc, path, &how);
    if (fd >= 0 && (fstatfs(fd, &sf) < 0 || sf.f_type != PROC_SUPER_MAGIC)) {
        fd_close(fd);
        fd = -1;
        errno = EXDEV;
    }
    return fd;
}

static struct err *write_attr(const char *name, const char *fallback, const char *text) {
    autofd int proc = -1;
    TRY(fd_open_at(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &proc));
    autofd int fd = open_attr(proc, name);
    if (fd < 0 && fallback)
        fd = open_attr(proc, fallback);
    if (fd >= 0 && write(fd, text, strlen(text)) >= 0)
        return NULL;
    const bool unknown = fd >= 0 && errno == EINVAL;
    return err_hint(err_sys(errno, "set the security label %s", text), "%s",
                    unknown ? "the policy of this machine does not know that label"
                            : "is the security module of the config active on this machine?");
}

const char *mount_label(const struct json *linux_) {
    const char *label = json_str_value(json_get(linux_, "mountLabel"));
    return label && *label ? label : NULL;
}

void mount_label_option(const char *label, const char *type, struct strv *data) {
    static const char *const types[] = {"tmpfs", "devpts", "ramfs", "overlay"};
    if (!label)
        return;
    for (size_t i = 0; i < data->n; i++)
        if (strstr(data->v[i], "context=")) /* the config's own, of any of its four kinds */
            return;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i], type) == 0)
            strv_pushf(data, "context=%s", label);
}

struct err *lsm_apply(const struct json *process) {
    const char *label = json_str_value(json_get(process, "selinuxLabel"));
    const char *profile = json_str_value(json_get(process, "apparmorProfile"));
    if (label && *label)
        TRY(write_attr("exec", NULL, label));
    if (!profile || !*profile || strcmp(profile, "unconfined") == 0)
        return NULL;
    autofree char *text = mem_printf("exec %s", profile);
    return write_attr("apparmor/exec", "exec", text);
}
