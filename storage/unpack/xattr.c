/* xattr: see node_int.h. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/err.h"
#include "base/str.h"
#include "storage/unpack/node_int.h"

#define CAPABILITY "security.capability"
#define XATTR_SIZE_LIMIT 65536

int xattr_keep(const char *name) {
    static const char *const dropped[] = {"user.overlay.", "user.fuseoverlayfs.", "user.containers."};
    if (strlen(name) > 255)
        return 0;
    if (str_eq(name, CAPABILITY) || str_eq(name, "system.posix_acl_access"))
        return 1;
    if (!str_starts(name, "user."))
        return 0;
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (str_starts(name, dropped[i]))
            return 0;
    return 1;
}

/*
 * File capabilities are stored for the root of our user namespace: the kernel turns revision 2 into revision 3 with
 * that root as it stores them. A layer that has revision 3 already (made by another rootless tool) names its author's
 * root, so it is cut back to revision 2, which is the same less the last four bytes.
 */
static size_t capability_v2(const void *value, size_t size, unsigned char out[20]) {
    if (size != 20 && size != 24)
        return 0;
    memcpy(out, value, 20);
    if (size == 24 && out[3] == 3)
        out[3] = 2;
    return out[3] == 2 ? 20 : 0;
}

struct err *xattr_apply(int fd, struct archive_entry *e, int64_t *skipped) {
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(e);
    while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
        unsigned char cap[20];
        if (!name || !xattr_keep(name))
            continue;
        if (str_eq(name, CAPABILITY)) {
            size = capability_v2(value, size, cap);
            value = cap;
        }
        if (size > XATTR_SIZE_LIMIT || (size == 0 && value == cap))
            ++*skipped;
        else if (fsetxattr(fd, name, value, size, 0) != 0) {
            if (errno == EIO || errno == EDQUOT || errno == EBADF)
                return err_sys(errno, "set the extended attribute %s", name);
            ++*skipped;
        }
    }
    return NULL;
}
