/*
 * seccomp_int: how the parts of the seccomp compiler meet.
 *
 *     seccomp_table.c    names and numbers of every architecture, and the default rules (generated at build time)
 *     seccomp_profile.c  a profile in JSON → struct seccomp_profile
 *     seccomp_bpf.c      struct seccomp_profile → classic BPF
 *     seccomp.c          the entry points of runtime.h; the default filter, compiled at build time
 *
 * A profile holds rules per system call *id*, an index into one list of all names; an architecture has at most one
 * number for each id. Meaning of several rules for one call: one without conditions settles it; else the first whose
 * conditions all hold; else the default.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct sock_filter;

enum seccomp_arch {
    SECCOMP_X86_64,
    SECCOMP_X86,
    SECCOMP_X32, /* shares AUDIT_ARCH_X86_64; numbers have bit 30 set */
    SECCOMP_AARCH64,
    SECCOMP_ARM,
    SECCOMP_ARCH_COUNT
};
#define SECCOMP_ARCH_BIT(a) (1u << (a))
#define SECCOMP_AMD64_FAMILY                                                                                           \
    (SECCOMP_ARCH_BIT(SECCOMP_X86_64) | SECCOMP_ARCH_BIT(SECCOMP_X86) | SECCOMP_ARCH_BIT(SECCOMP_X32))
#define SECCOMP_ARM64_FAMILY (SECCOMP_ARCH_BIT(SECCOMP_AARCH64) | SECCOMP_ARCH_BIT(SECCOMP_ARM))

#if defined __x86_64__
#define SECCOMP_NATIVE SECCOMP_X86_64
#elif defined __aarch64__
#define SECCOMP_NATIVE SECCOMP_AARCH64
#else
#define SECCOMP_NATIVE SECCOMP_ARCH_COUNT /* no table: profiles are refused */
#endif

enum seccomp_op {
    SECCOMP_EQ,
    SECCOMP_NE,
    SECCOMP_LT,
    SECCOMP_LE,
    SECCOMP_GT,
    SECCOMP_GE,
    SECCOMP_MASKED_EQ /* (arg & mask) == value */
};
struct seccomp_cond {
    uint8_t arg; /* 0..5 */
    uint8_t op;  /* enum seccomp_op */
    uint64_t value, mask;
};

#define SECCOMP_CONDS_MAX 6
struct seccomp_rule {
    uint32_t action; /* SECCOMP_RET_* with its data */
    uint32_t n_conds;
    struct seccomp_cond cond[SECCOMP_CONDS_MAX];
};

/* One use of a rule by a system call; `next` is an index plus one, 0 ends. */
struct seccomp_link {
    uint16_t rule, next;
};
#define SECCOMP_IDS_MAX 640
#define SECCOMP_CHAIN_MAX 512 /* rules of one system call */
struct seccomp_profile {
    uint32_t default_action;
    unsigned arches; /* SECCOMP_ARCH_BIT()s, the native one among them */
    unsigned flags;  /* SECCOMP_FILTER_FLAG_* */
    bool unconfined; /* docker's empty profile: no filter at all */
    struct seccomp_rule *rules;
    size_t n_rules, cap_rules;
    struct seccomp_link *links;
    size_t n_links, cap_links;
    uint16_t head[SECCOMP_IDS_MAX], tail[SECCOMP_IDS_MAX], count[SECCOMP_IDS_MAX];
};

/* ---- seccomp_table.c ---- */

/* Number of ids; an id is below it. */
size_t seccomp_id_count(void);
/* The id of a name, or -1. */
int seccomp_id_of(const char *name);
/* The name of an id (tests and errors). */
const char *seccomp_id_name(unsigned id);
/* The ids that an architecture has, in the order of their numbers. */
const uint16_t *seccomp_arch_ids(enum seccomp_arch a, size_t *ret_n);
/* The number of an id that seccomp_arch_ids() gave. */
uint32_t seccomp_number(enum seccomp_arch a, unsigned id);
/* The AUDIT_ARCH_* value. */
uint32_t seccomp_audit_arch(enum seccomp_arch a);
/* All architectures that processes on a machine of this native one may use. */
unsigned seccomp_family(enum seccomp_arch native);
/* Makes the default profile for a bounding set. seccomp_profile_done() afterwards. */
struct err *seccomp_default_profile(enum seccomp_arch native, uint64_t caps, struct seccomp_profile *ret)
    __attribute__((warn_unused_result));

/* ---- seccomp_profile.c ---- */

/* Adds a rule and returns its index; at most 65535 (error of kind usage). */
struct err *seccomp_add_rule(struct seccomp_profile *p, const struct seccomp_rule *r, uint16_t *ret)
    __attribute__((warn_unused_result));
/* Gives a rule to a system call, after those that it has. */
struct err *seccomp_link_rule(struct seccomp_profile *p, unsigned id, uint16_t rule)
    __attribute__((warn_unused_result));
/* Reads docker's or the OCI's profile; `caps` is the bounding set that includes and excludes ask for. */
struct json;
struct err *seccomp_profile_parse(const struct json *j, uint64_t caps, enum seccomp_arch native,
                                  struct seccomp_profile *ret) __attribute__((warn_unused_result));
void seccomp_profile_done(struct seccomp_profile *p);

/* ---- seccomp_bpf.c ---- */

#define SECCOMP_PROGRAM_MAX 4096 /* the kernel's BPF_MAXINSNS */
/* Owned array; an error when the program would be too long. */
struct err *seccomp_bpf_compile(const struct seccomp_profile *p, enum seccomp_arch native, struct sock_filter **ret,
                                size_t *ret_n) __attribute__((warn_unused_result));
