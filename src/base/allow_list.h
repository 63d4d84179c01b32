/*
 * allow_list: the seccomp filter of a helper that reads what strangers send. It names the system calls that the helper
 * needs; any other fails with EPERM instead of killing, for libraries ask for things that they can do without. Memory
 * may be mapped, but never as code. On a kernel without seccomp, and on an architecture that is not known here, there
 * is no filter: what else confines the helper has to do.
 *
 * Under AddressSanitizer (SANITIZED) the lists need a few calls more; LeakSanitizer, which would start a process and
 * trace us, is off in every program that uses one.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

struct err;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

/* The low half of an argument, which the kernel keeps in 64 bits. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ALLOW_LOW_WORD 0
#else
#define ALLOW_LOW_WORD 4
#endif

/* Words of a filter, for the checks of calls that depend on their arguments. */
#define ALLOW_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW_LOAD_ARG(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]) + ALLOW_LOW_WORD)
#define ALLOW_IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), yes, no)
#define ALLOW_IF_ANY(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (unsigned)(bits), yes, no)
#define ALLOW_YES BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define ALLOW_NO BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */)

struct allow_list {
    const int *calls; /* allowed whatever the arguments, the frequent ones first */
    size_t n_calls;
    const struct sock_filter *checks; /* entered with the call's number loaded; falls through where it is another's */
    size_t n_checks;
};
/* Installs it in every thread of the process. At most 240 calls and checks. */
struct err *allow_list_install(const struct allow_list *a) __attribute__((warn_unused_result));
