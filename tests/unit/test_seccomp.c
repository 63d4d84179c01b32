/*
 * The seccomp compiler against two oracles: a plain reading of the profile (model), and libseccomp's own filter for the
 * same rules, run in the same interpreter. Every number of every architecture, values around every boundary.
 *
 * Where we differ from libseccomp on purpose: numbers that no table knows answer ENOSYS, a wrong architecture kills the
 * process and not just the thread, allowing a socket call does not open the old socketcall multiplexer, and an x32 call
 * below 512 is treated as the 64 bit call of the same number: all 64 bits of its arguments count, and x32 need not have
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys/sys.h"
#include "bpf_run.h"
#include "runtime/runtime.h"
#include "runtime/seccomp_int.h"
#include "unit.h"

/* ---- the model ---- */

static bool holds(const struct seccomp_cond *c, uint64_t v, bool narrow) {
    if (narrow)
        v = (uint32_t)v;
    switch ((enum seccomp_op)c->op) {
    case SECCOMP_EQ:
        return v == c->value;
    case SECCOMP_NE:
        return v != c->value;
    case SECCOMP_LT:
        return v < c->value;
    case SECCOMP_LE:
        return v <= c->value;
    case SECCOMP_GT:
        return v > c->value;
    case SECCOMP_GE:
        return v >= c->value;
    case SECCOMP_MASKED_EQ:
        return (v & c->mask) == c->value;
    }
    return false;
}

static uint32_t model(const struct seccomp_profile *p, unsigned id, const struct seccomp_data *d, bool narrow) {
    uint32_t action = p->default_action;
    bool found = false;
    for (uint16_t at = p->head[id]; at; at = p->links[at - 1].next) {
        const struct seccomp_rule *r = &p->rules[p->links[at - 1].rule];
        bool all = true;
        for (size_t i = 0; i < r->n_conds; i++)
            all = all && holds(&r->cond[i], d->args[r->cond[i].arg], narrow);
        if (!r->n_conds)
            return r->action;
        if (all && !found) {
            action = r->action;
            found = true;
        }
    }
    return action;
}

static bool permissive(uint32_t action) {
    action &= SECCOMP_RET_ACTION_FULL;
    return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG || action == SECCOMP_RET_TRACE;
}

/* ---- libseccomp ---- */

static const uint32_t token[SECCOMP_ARCH_COUNT] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32, SCMP_ARCH_AARCH64,
                                                   SCMP_ARCH_ARM};

static struct scmp_arg_cmp to_cmp(const struct seccomp_cond *c) {
    static const enum scmp_compare op[] = {SCMP_CMP_EQ, SCMP_CMP_NE, SCMP_CMP_LT,       SCMP_CMP_LE,
                                           SCMP_CMP_GT, SCMP_CMP_GE, SCMP_CMP_MASKED_EQ};
    if (c->op == SECCOMP_MASKED_EQ)
        return (struct scmp_arg_cmp){c->arg, SCMP_CMP_MASKED_EQ, c->mask, c->value};
    return (struct scmp_arg_cmp){c->arg, op[c->op], c->value, 0};
}

static void oracle_rules(scmp_filter_ctx ctx, const struct seccomp_profile *p, unsigned id) {
    int nr = seccomp_syscall_resolve_name(seccomp_id_name(id));
    for (uint16_t at = p->head[id]; at && nr != __NR_SCMP_ERROR; at = p->links[at - 1].next) {
        const struct seccomp_rule *r = &p->rules[p->links[at - 1].rule];
        struct scmp_arg_cmp cmp[SECCOMP_CONDS_MAX];
        for (size_t i = 0; i < r->n_conds; i++)
            cmp[i] = to_cmp(&r->cond[i]);
        int rc = seccomp_rule_add_array(ctx, r->action, nr, r->n_conds, cmp);
        CHECK(rc == 0 || rc == -EEXIST || rc == -EDOM);
    }
}

static struct program oracle_compile(const struct seccomp_profile *p) {
    scmp_filter_ctx ctx = seccomp_init(p->default_action);
    CHECK(ctx);
    for (unsigned a = 0; a < SECCOMP_ARCH_COUNT; a++)
        if (p->arches & SECCOMP_ARCH_BIT(a) && seccomp_arch_exist(ctx, token[a]))
            CHECK_INT(seccomp_arch_add(ctx, token[a]), 0);
    if (!(p->arches & SECCOMP_ARCH_BIT(SECCOMP_NATIVE)))
        CHECK_INT(seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE), 0);
    for (unsigned id = 0; id < seccomp_id_count(); id++)
        oracle_rules(ctx, p, id);
    int fd = memfd_create("bpf", MFD_CLOEXEC);
    CHECK_INT(seccomp_export_bpf(ctx, fd), 0);
    seccomp_release(ctx);
    off_t size = lseek(fd, 0, SEEK_END);
    struct program out = {mem_alloc((size_t)size), (size_t)size / sizeof(struct sock_filter)};
    CHECK_INT(pread(fd, out.f, (size_t)size, 0), size);
    close(fd);
    return out;
}

/* ---- comparing ---- */

static uint64_t rng_state = 88172645463325252u;
static uint64_t rng(void) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    return rng_state ^= rng_state << 17;
}

/* A value worth trying against the conditions of an id. */
static uint64_t interesting(const struct seccomp_profile *p, unsigned id) {
    static const uint64_t plain[] = {0,         1, 2, 40, 38, 0x7fffffff, 0x80000000, UINT32_MAX, UINT64_C(1) << 32,
                                     UINT64_MAX};
    uint64_t v = plain[rng() % ARRAY_LEN(plain)];
    for (uint16_t at = p->head[id]; at; at = p->links[at - 1].next) {
        const struct seccomp_rule *r = &p->rules[p->links[at - 1].rule];
        if (r->n_conds && rng() % 2)
            v = r->cond[rng() % r->n_conds].value ^ (rng() % 8 ? 0 : r->cond[0].mask & rng());
    }
    switch (rng() % 6) {
    case 0:
        return v + 1;
    case 1:
        return v - 1;
    case 2:
        return v | UINT64_C(1) << 32;
    case 3:
        return v ^ UINT64_C(1) << (rng() % 64);
    default:
        return v;
    }
}

static int id_of_number(enum seccomp_arch a, uint32_t nr) {
    size_t n;
    const uint16_t *ids = seccomp_arch_ids(a, &n);
    for (size_t i = 0; i < n; i++)
        if (seccomp_number(a, ids[i]) == nr)
            return ids[i];
    return -1;
}

/* Whether an x32 call shares its rules with the 64 bit call of the same number. */
static bool is_shared(enum seccomp_arch a, uint32_t nr) { return a == SECCOMP_X32 && nr < 0x40000000u + 512; }

static int id_of_call(enum seccomp_arch a, uint32_t nr) {
    return is_shared(a, nr) ? id_of_number(SECCOMP_X86_64, nr - 0x40000000u) : id_of_number(a, nr);
}

static bool is_wide(const struct seccomp_data *d) {
    for (size_t i = 0; i < 6; i++)
        if (d->args[i] > UINT32_MAX)
            return true;
    return false;
}

static bool has_wide_value(const struct seccomp_profile *p, unsigned id) {
    for (uint16_t at = p->head[id]; at; at = p->links[at - 1].next) {
        const struct seccomp_rule *r = &p->rules[p->links[at - 1].rule];
        for (size_t i = 0; i < r->n_conds; i++)
            if (r->cond[i].value >> 32)
                return true;
    }
    return false;
}

struct pair {
    const struct seccomp_profile *p;
    const struct program *ours, *theirs; /* theirs NULL: only the model */
};

static int reported;
static void complain(const char *who, enum seccomp_arch a, const struct seccomp_data *d, int id, uint32_t got,
                     uint32_t want) {
    unit_failures++;
    if (reported++ < 20)
        fprintf(stderr, "arch %d nr %#x (%s) args %#llx %#llx %#llx: %#x, %s says %#x\n", (int)a, (unsigned)d->nr,
                id >= 0 ? seccomp_id_name((unsigned)id) : "?", (unsigned long long)d->args[0],
                (unsigned long long)d->args[1], (unsigned long long)d->args[2], got, who, want);
}

static bool is_narrow(enum seccomp_arch a) { return a != SECCOMP_X86_64 && a != SECCOMP_AARCH64; }

static struct seccomp_data some_call(const struct pair *c, enum seccomp_arch a, uint32_t nr, int id) {
    struct seccomp_data d = {.nr = (int)nr, .arch = seccomp_audit_arch(a)};
    for (size_t i = 0; i < 6; i++) {
        d.args[i] = id < 0 ? rng() : interesting(c->p, (unsigned)id);
        if (a == SECCOMP_X32 ? is_shared(a, nr) && nr % 2 : is_narrow(a))
            d.args[i] = (uint32_t)d.args[i];
    }
    return d;
}

/* Whether libseccomp knows such a call and means the same by its arguments. */
static bool oracle_knows(const struct pair *c, enum seccomp_arch a, const struct seccomp_data *d, int id) {
    if (!c->theirs || id < 0 || seccomp_syscall_resolve_name(seccomp_id_name((unsigned)id)) == __NR_SCMP_ERROR)
        return false;
    if (is_narrow(a) && has_wide_value(c->p, (unsigned)id))
        return false;
    return !is_shared(a, (uint32_t)d->nr) || (!is_wide(d) && id_of_number(a, (uint32_t)d->nr) >= 0);
}

static void compare_one(const struct pair *c, enum seccomp_arch a, uint32_t nr, int id) {
    bool narrow = is_narrow(a) && !is_shared(a, nr);
    struct seccomp_data d = some_call(c, a, nr, id);
    uint32_t got = run(c->ours, &d);
    uint32_t unknown = permissive(c->p->default_action) ? c->p->default_action : (uint32_t)(SECCOMP_RET_ERRNO | ENOSYS);
    uint32_t args_model = id < 0 ? unknown : model(c->p, (unsigned)id, &d, narrow);
    if (got != args_model)
        complain("the model", a, &d, id, got, args_model);
    if (!oracle_knows(c, a, &d, id))
        return;
    uint32_t theirs = run(c->theirs, &d);
    if (got != theirs)
        complain("libseccomp", a, &d, id, got, theirs);
}

static void compare_arch(const struct pair *c, enum seccomp_arch a, int rounds) {
    uint32_t base = a == SECCOMP_X32 ? 0x40000000u : 0;
    for (uint32_t nr = 0; nr < 640; nr++) {
        int id = id_of_call(a, base + nr);
        int n = id >= 0 && c->p->head[id] && c->p->rules[c->p->links[c->p->head[id] - 1].rule].n_conds ? rounds : 1;
        for (int i = 0; i < n; i++)
            compare_one(c, a, base + nr, id);
    }
    for (uint32_t nr = 0xeffff; nr < 0xf0010; nr++)
        compare_one(c, a, base + nr, id_of_call(a, base + nr));
    static const uint32_t odd[] = {0xffffffff, 0x80000000, 0xfffffffe, 0x7fffffff, 0x3fffffff, 100000, 0x40000800};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        if (odd[i] < 0x40000000 || odd[i] >= 0x80000000 || a != SECCOMP_X86_64)
            compare_one(c, a, odd[i], -1);
}

static void compare(const struct seccomp_profile *p, enum seccomp_arch native, int rounds, bool with_oracle) {
    struct program ours = {0}, theirs = {0};
    CHECK_OK(seccomp_bpf_compile(p, native, &ours.f, &ours.n));
    if (with_oracle)
        theirs = oracle_compile(p);
    const struct pair c = {p, &ours, with_oracle ? &theirs : NULL};
    for (unsigned a = 0; a < SECCOMP_ARCH_COUNT; a++) {
        if (p->arches & SECCOMP_ARCH_BIT(a)) {
            compare_arch(&c, (enum seccomp_arch)a, rounds);
            continue;
        }
        struct seccomp_data d = {.nr = a == SECCOMP_X32 ? 0x40000000 : 0,
                                 .arch = seccomp_audit_arch((enum seccomp_arch)a)};
        CHECK_INT(run(&ours, &d), SECCOMP_RET_KILL_PROCESS);
    }
    struct seccomp_data other = {.nr = 0, .arch = AUDIT_ARCH_S390X};
    CHECK_INT(run(&ours, &other), SECCOMP_RET_KILL_PROCESS);
    free(ours.f);
    free(theirs.f);
}

/* ---- tests ---- */

#define DOCKER_CAPS UINT64_C(0xa80425fb)
#define CAP_BIT(n) (UINT64_C(1) << (n))
static const uint64_t cap_sets[] = {0,
                                    DOCKER_CAPS,
                                    UINT64_MAX,
                                    DOCKER_CAPS | CAP_BIT(21) /* SYS_ADMIN */,
                                    DOCKER_CAPS | CAP_BIT(19) /* SYS_PTRACE */,
                                    CAP_BIT(34) | CAP_BIT(38) | CAP_BIT(39),
                                    CAP_BIT(2) | CAP_BIT(16) | CAP_BIT(25),
                                    DOCKER_CAPS & ~CAP_BIT(18)};

/* What x32 shares with x86_64 has the same number there. */
static void test_x32_numbers(void) {
    size_t n, shared = 0;
    const uint16_t *ids = seccomp_arch_ids(SECCOMP_X32, &n);
    for (size_t i = 0; i < n; i++) {
        uint32_t nr = seccomp_number(SECCOMP_X32, ids[i]);
        CHECK(nr >= 0x40000000);
        if (!is_shared(SECCOMP_X32, nr))
            continue;
        CHECK_INT(id_of_call(SECCOMP_X32, nr), ids[i]);
        shared++;
    }
    CHECK(shared > 250 && shared < n);
}

static void test_default(void) {
    static const enum seccomp_arch natives[] = {SECCOMP_X86_64, SECCOMP_AARCH64};
    for (size_t n = 0; n < ARRAY_LEN(natives); n++)
        for (size_t i = 0; i < ARRAY_LEN(cap_sets); i++) {
            struct seccomp_profile p;
            CHECK_OK(seccomp_default_profile(natives[n], cap_sets[i], &p));
            compare(&p, natives[n], 200, true);
            seccomp_profile_done(&p);
        }
}

/* The filter that was made when the program was built is the one that would be made now. */
static void test_built_in(void) {
    struct program now = {0}, built = {0};
    struct seccomp_profile p;
    CHECK_OK(seccomp_default_profile(SECCOMP_NATIVE, DOCKER_CAPS, &p));
    CHECK_OK(seccomp_bpf_compile(&p, SECCOMP_NATIVE, &now.f, &now.n));
    CHECK_OK(runtime_seccomp_compile(NULL, DOCKER_CAPS, &built.f, &built.n, NULL));
    CHECK_INT(built.n, now.n);
    CHECK(built.n == now.n && memcmp(built.f, now.f, now.n * sizeof *now.f) == 0);
    seccomp_profile_done(&p);
    free(now.f);
    free(built.f);
}

static void test_size_and_time(void) {
    struct sock_filter *f;
    size_t n = 0;
    struct timespec a, b;
    int64_t best = INT64_MAX;
    for (int i = 0; i < 200; i++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        CHECK_OK(runtime_seccomp_compile(NULL, DOCKER_CAPS | CAP_BIT(22) /* SYS_BOOT */, &f, &n, NULL));
        clock_gettime(CLOCK_MONOTONIC, &b);
        int64_t t = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
        best = t < best ? t : best;
        free(f);
    }
    printf("default profile: %zu instructions, made in %lld us\n", n, (long long)best / 1000);
    CHECK(n < 300);
}

static struct seccomp_cond random_cond(uint8_t arg, bool wide) {
    static const uint64_t pool[] = {0, 1, 2, 10, 38, 40, 0xff, 0x7e020000, 0x7fffffff, 0x80000000, 0xffffffff};
    struct seccomp_cond c = {.arg = arg, .op = (uint8_t)(rng() % 7), .value = pool[rng() % ARRAY_LEN(pool)]};
    if (wide && rng() % 3 == 0)
        c.value |= (rng() % 3) << 32;
    if (c.op == SECCOMP_MASKED_EQ) {
        c.mask = pool[rng() % ARRAY_LEN(pool)] | (wide && rng() % 2 ? UINT64_C(0xff) << 32 : 0);
        c.value = rng() % 4 ? rng() & c.mask : 0;
    }
    return c;
}

static const uint32_t random_action[] = {SECCOMP_RET_ALLOW,       SECCOMP_RET_ERRNO | 1,    SECCOMP_RET_ERRNO | 38,
                                         SECCOMP_RET_KILL_THREAD, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP,
                                         SECCOMP_RET_LOG,         SECCOMP_RET_TRACE | 7};

static struct seccomp_rule random_rule(uint32_t action, size_t max_conds, bool wide) {
    struct seccomp_rule r = {.action = action};
    uint8_t arg = (uint8_t)(rng() % 6);
    for (size_t n = rng() % (max_conds + 1); r.n_conds < n; arg = (uint8_t)((arg + 1) % 6))
        r.cond[r.n_conds++] = random_cond(arg, wide);
    return r;
}

/* Multiplexed on 32 bit x86: libseccomp adds rules for the multiplexer that were not asked for. */
static bool multiplexed(unsigned id) {
    const char *name = seccomp_id_name(id);
    int nr = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86, name);
    return (nr < 0 && nr > -1000) || str_eq(name, "socketcall") || str_eq(name, "ipc");
}

/*
 * With one_action, only what libseccomp gets right: one rule a call, or several that compare one argument for equality.
 * (Overlapping rules with other operators lose or gain calls in its trees; ours are held to the model there.)
 */
static void random_profile(struct seccomp_profile *p, size_t max_rules, bool one_action) {
    static const unsigned subs[] = {1, 3, 5, 7};
    *p = (struct seccomp_profile){.default_action = random_action[rng() % ARRAY_LEN(random_action)],
                                  .arches = subs[rng() % 4]};
    unsigned every = 3 * (unsigned)max_rules + (unsigned)(rng() % 20);
    for (unsigned id = 0; id < seccomp_id_count(); id++) {
        if (rng() % every || multiplexed(id))
            continue;
        uint32_t action = random_action[rng() % ARRAY_LEN(random_action)];
        for (size_t n = 1 + rng() % max_rules; n > 0; n--) {
            uint16_t rule;
            struct seccomp_rule r = random_rule(action, one_action && max_rules > 1 ? 1 : 6, true);
            if (one_action && max_rules > 1 && r.n_conds) {
                r.cond[0].arg = (uint8_t)(id % 6);
                r.cond[0].op = SECCOMP_EQ;
            }
            if (!one_action)
                action = random_action[rng() % ARRAY_LEN(random_action)];
            CHECK_OK(seccomp_add_rule(p, &r, &rule));
            CHECK_OK(seccomp_link_rule(p, id, rule));
        }
    }
}

static void test_random_with_oracle(void) {
    for (int i = 0; i < 60; i++) {
        struct seccomp_profile p;
        random_profile(&p, 1 + (size_t)i % 3, true);
        compare(&p, SECCOMP_X86_64, 60, true);
        seccomp_profile_done(&p);
    }
}

static void test_random_with_model(void) {
    int refused = 0;
    for (int i = 0; i < 150; i++) {
        struct seccomp_profile p;
        random_profile(&p, 1 + rng() % 4, false);
        struct program probe = {0};
        struct err *e = seccomp_bpf_compile(&p, SECCOMP_X86_64, &probe.f, &probe.n);
        if (!e)
            compare(&p, SECCOMP_X86_64, 60, false);
        else
            refused++;
        CHECK(!e || err_kind(e) == ERR_UNSUPPORTED);
        err_free(e);
        free(probe.f);
        seccomp_profile_done(&p);
    }
    CHECK(refused < 100);
}

/* ---- in the kernel ---- */

static int expect_errno(long rc, int want) { return (want ? rc == -1 && errno == want : rc >= 0) ? 0 : 1; }

static int probe_in_child(const struct sock_fprog *prog) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || sys_seccomp_filter(prog, 0))
        return 100;
    int bad = expect_errno(syscall(SYS_getpid), 0);
    bad |= expect_errno(syscall(SYS_clone3, NULL, 0), ENOSYS) << 1;
    bad |= expect_errno(syscall(SYS_socket, 38, SOCK_SEQPACKET, 0), EPERM) << 2;
    bad |= expect_errno(syscall(SYS_socket, 40, SOCK_STREAM, 0), EPERM) << 3;
    bad |= expect_errno(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0) << 4;
    bad |= expect_errno(syscall(SYS_unshare, CLONE_NEWUSER), EPERM) << 5;
    bad |= expect_errno(syscall(2000), ENOSYS) << 6;
    return bad;
}

static void test_in_kernel(void) {
    struct sock_filter *f;
    size_t n;
    CHECK_OK(runtime_seccomp_compile(NULL, DOCKER_CAPS, &f, &n, NULL));
    const struct sock_fprog prog = {.len = (unsigned short)n, .filter = f};
    pid_t pid = fork();
    if (pid == 0)
        _exit(probe_in_child(&prog));
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    free(f);
}

UNIT_MAIN({"x32 numbers", test_x32_numbers}, {"default profile", test_default}, {"built in", test_built_in},
          {"size and time", test_size_and_time}, {"random profiles, libseccomp", test_random_with_oracle},
          {"random profiles, model", test_random_with_model}, {"in the kernel", test_in_kernel})
