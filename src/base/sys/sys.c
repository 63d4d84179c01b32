/* sys: calls that glibc 2.36 lacks, and terminals, namespaces, file clones by ioctl. Netlink is in link.c. */
#include "base/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/nsfs.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t sys_clone3(struct clone_args *args) { return (pid_t)syscall(SYS_clone3, args, sizeof *args); }

int sys_openat2(int dirfd, const char *path, const struct open_how *how) {
    return (int)syscall(SYS_openat2, dirfd, path, how, sizeof *how);
}

int sys_pidfd_open(pid_t pid) { return pidfd_open(pid, 0); }

int sys_pidfd_send_signal(int pidfd, int signo) { return pidfd_send_signal(pidfd, signo, NULL, 0); }

int sys_close_range(unsigned first, unsigned last, unsigned flags) { return close_range(first, last, (int)flags); }

int sys_close_all_from(unsigned first) { return close_range(first, ~0U, 0); }

int sys_pivot_root(const char *new_root, const char *put_old) {
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int sys_seccomp_filter(const struct sock_fprog *prog, unsigned flags) {
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog);
}

int sys_landlock_abi(void) { return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1U /* the version */); }

int sys_landlock_deny(uint64_t fs, uint64_t net, uint64_t scoped) {
    const struct {
        uint64_t fs, net, scoped;
    } attr = {fs, net, scoped}; /* longer than an older kernel knows: it wants zeros there */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0U);
    if (ruleset < 0)
        return -1;
    int result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0U);
    int saved = errno;
    close(ruleset);
    errno = saved;
    return result;
}

int sys_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (unsigned i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(effective >> 32 * i),
                                                  .permitted = (uint32_t)(permitted >> 32 * i),
                                                  .inheritable = (uint32_t)(inheritable >> 32 * i)};
    return (int)syscall(SYS_capset, &head, data);
}

int sys_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return -1;
    *effective = data[0].effective | (uint64_t)data[1].effective << 32;
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    *inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

int sys_keyctl_join_session(const char *name) {
    return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) < 0 ? -1 : 0;
}

int sys_memfd(const char *name, unsigned flags) { return memfd_create(name, flags); }

int sys_renameat2(int olddir, const char *old, int newdir, const char *new_name, unsigned flags) {
    return renameat2(olddir, old, newdir, new_name, flags);
}

int sys_fsopen(const char *fs, unsigned flags) { return fsopen(fs, flags); }

int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux) {
    return fsconfig(fd, cmd, key, value, aux);
}

int sys_fsmount(int fd, unsigned flags, unsigned attrs) { return fsmount(fd, flags, attrs); }

int sys_move_mount(int from_dfd, const char *from, int to_dfd, const char *to, unsigned flags) {
    return move_mount(from_dfd, from, to_dfd, to, flags);
}

int sys_open_tree(int dfd, const char *path, unsigned flags) { return open_tree(dfd, path, flags); }

int sys_mount_setattr(int dfd, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation) {
    struct mount_attr attr = {.attr_set = set, .attr_clr = clr, .propagation = propagation};
    return mount_setattr(dfd, path, flags, &attr, sizeof attr);
}

int sys_mount_idmap(int mount, unsigned flags, int userns_fd) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__u64)userns_fd};
    return mount_setattr(mount, "", flags | (unsigned)AT_EMPTY_PATH, &attr, sizeof attr);
}

int sys_sched_setattr(const struct sched_attr *attr) { return (int)syscall(SYS_sched_setattr, 0, attr, 0); }

int sys_ioprio_set(int which, int who, int value) { return (int)syscall(SYS_ioprio_set, which, who, value); }

int sys_connect(int fd, const struct sockaddr *to, socklen_t len) { return (int)syscall(SYS_connect, fd, to, len); }

int sys_tty_get_size(int fd, struct winsize *ret) { return ioctl(fd, TIOCGWINSZ, ret); }

int sys_tty_set_size(int fd, const struct winsize *ws) { return ioctl(fd, TIOCSWINSZ, ws); }

int sys_tty_set_controlling(int fd) { return ioctl(fd, TIOCSCTTY, 0); }

int sys_tty_open_peer(int master, int flags) { return ioctl(master, TIOCGPTPEER, flags | O_CLOEXEC); }

int sys_ns_owner_uid(int nsfd, uid_t *ret) { return ioctl(nsfd, NS_GET_OWNER_UID, ret); }

int sys_ns_parent(int nsfd) { return ioctl(nsfd, NS_GET_PARENT); }

int sys_ns_type(int nsfd) { return ioctl(nsfd, NS_GET_NSTYPE); }

int sys_ns_userns(int nsfd) { return ioctl(nsfd, NS_GET_USERNS); }

int sys_waiting(int fd) {
    int n;
    return ioctl(fd, FIONREAD, &n) == 0 ? n : -1;
}

int sys_reflink(int to, int from) { return ioctl(to, FICLONE, from); }

int sys_dedupe(int from, int to, uint64_t at, uint64_t n, uint64_t *ret_n) {
    union { /* one of a flexible array */
        struct file_dedupe_range range;
        char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
    } u = {.range = {.src_offset = at, .src_length = n, .dest_count = 1}};
    struct file_dedupe_range_info *to_info = u.range.info;
    to_info->dest_fd = to;
    to_info->dest_offset = at;
    if (ioctl(from, FIDEDUPERANGE, &u.range) < 0)
        return -1;
    if (to_info->status < 0) {
        errno = -to_info->status;
        return -1;
    }
    *ret_n = to_info->status == FILE_DEDUPE_RANGE_SAME ? to_info->bytes_deduped : 0;
    return 0;
}

static bool first_block(int fd, uint64_t *ret) {
    union {
        struct fiemap map;
        char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
    } u = {.map = {.fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = 1}};
    if (ioctl(fd, FS_IOC_FIEMAP, &u.map) < 0 || u.map.fm_mapped_extents != 1 ||
        u.map.fm_extents[0].fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE))
        return false;
    *ret = u.map.fm_extents[0].fe_physical;
    return true;
}

bool sys_same_blocks(int a, int b) {
    uint64_t x, y;
    return first_block(a, &x) && first_block(b, &y) && x == y;
}

void sys_signals_reset(void) {
    /* the kernel's struct sigaction: all zero is SIG_DFL without flags on every architecture */
    static const unsigned char dfl[64];
    for (int i = 1; i < NSIG; i++)
        syscall(SYS_rt_sigaction, i, dfl, NULL, (size_t)8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
