/*
 * sys: every raw system call, ioctl and netlink message of coracle; nobody else calls syscall(2), ioctl(2) or opens
 * an AF_NETLINK socket. Thin: each returns what the kernel does (-1 and errno); callers turn that into errors.
 * Wrappers for calls that glibc 2.36 has (mount API, pidfd_open, close_range …) use glibc's.
 */
#pragma once

#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct sched_attr;
struct sock_fprog;
struct winsize;

/* clone(2) flags of a child that works in its parent's memory, which costs nothing to copy. The address sanitizer keeps
 * books of one stack a thread: there the child gets a copy. */
#if defined(__SANITIZE_ADDRESS__)
#define SYS_BORROWED_VM 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYS_BORROWED_VM 0
#endif
#endif
#ifndef SYS_BORROWED_VM
#define SYS_BORROWED_VM CLONE_VM
#endif

/* clone3 without a new stack (fork-like). Returns 0 in the child. */
pid_t sys_clone3(struct clone_args *args);
int sys_openat2(int dirfd, const char *path, const struct open_how *how);
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int signo);
int sys_close_range(unsigned first, unsigned last, unsigned flags);
int sys_pivot_root(const char *new_root, const char *put_old);
/* With SECCOMP_FILTER_FLAG_NEW_LISTENER a descriptor of its notifications, O_CLOEXEC; else 0. */
int sys_seccomp_filter(const struct sock_fprog *prog, unsigned flags);
/* Landlock: the version of the kernel's interface, and a ruleset without a rule put on the calling thread, so that
 * nothing of what it handles is allowed any more. */
int sys_landlock_abi(void);
int sys_landlock_deny(uint64_t fs, uint64_t net, uint64_t scoped);
int sys_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int sys_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable);
int sys_keyctl_join_session(const char *name);
int sys_memfd(const char *name, unsigned flags);
int sys_renameat2(int olddir, const char *old, int newdir, const char *new_name, unsigned flags);
int sys_fsopen(const char *fs, unsigned flags);
int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux);
int sys_fsmount(int fd, unsigned flags, unsigned attrs);
int sys_move_mount(int from_dfd, const char *from, int to_dfd, const char *to, unsigned flags);
int sys_open_tree(int dfd, const char *path, unsigned flags);
int sys_mount_setattr(int dfd, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation);
/* Gives a detached mount the ids of a user namespace (MOUNT_ATTR_IDMAP), and those below it with AT_RECURSIVE. */
int sys_mount_idmap(int mount, unsigned flags, int userns_fd);
int sys_ioprio_set(int which, int who, int value);
/* Of the calling thread. */
int sys_sched_setattr(const struct sched_attr *attr);
int sys_close_all_from(unsigned first);

/* Terminals: size in rows and columns; the controlling terminal of a session leader; a master's other end. */
int sys_tty_get_size(int fd, struct winsize *ret);
int sys_tty_set_size(int fd, const struct winsize *ws);
int sys_tty_set_controlling(int fd);
int sys_tty_open_peer(int master, int flags);
/* Of a user namespace descriptor: its owner's uid (NS_GET_OWNER_UID), and a new descriptor of its parent
 * (NS_GET_PARENT). */
int sys_ns_owner_uid(int nsfd, uid_t *ret);
int sys_ns_parent(int nsfd);
/* Which kind of namespace a descriptor is (NS_GET_NSTYPE): a CLONE_NEW* flag, or -1 for what is none. */
int sys_ns_type(int nsfd);
/* Of any other namespace descriptor: a new descriptor of the user namespace that owns it (NS_GET_USERNS). */
int sys_ns_userns(int nsfd);
/* Sets a network interface up by rtnetlink in the current network namespace. */
int sys_link_up(const char *name);
/* A tap device of the current network namespace, made when it is not there: whole Ethernet frames, non-blocking. It
 * ends with its last descriptor. */
int sys_tap_open(const char *name);
/* Switches off transmit checksum and segmentation offload of a link: its other end then sees frames as they would be on
 * a wire. `socket_fd`: any socket of the namespace. */
int sys_link_no_offload(int socket_fd, const char *name);
/* connect(2), past what the program may have put in its place for a library (net/helper/slirp_connect.c). */
int sys_connect(int fd, const struct sockaddr *to, socklen_t len);
/* FIONREAD: bytes that a socket holds for its reader; -1 and errno where that is no question. */
int sys_waiting(int fd);
/* FICLONE: 0 when `to` now shares the blocks of `from`. */
int sys_reflink(int to, int from);
/* FIDEDUPERANGE: has `to` share with `from` what is equal of `n` bytes from an offset on; *ret_n: how much of it is. */
int sys_dedupe(int from, int to, uint64_t at, uint64_t n, uint64_t *ret_n);
/* FIEMAP: whether two files begin with the same blocks of the disk; false where that cannot be told. */
bool sys_same_blocks(int a, int b);
/* Signals as a new program should have them: none blocked, each at its default, also the two that glibc keeps to itself
 * and its posix_spawn leaves ignored. */
void sys_signals_reset(void);
