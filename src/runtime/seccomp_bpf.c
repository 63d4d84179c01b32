/*
 * seccomp_bpf: a profile as classic BPF.
 *
 * The system call numbers of an architecture are cut into ranges of equal treatment. A balanced tree of comparisons
 * finds the neighbourhood, a range and a few single numbers in it that are treated otherwise, which are then asked for
 * one by one: eight or so instructions for any call, and the kernel's bitmap of always-allowed calls sees through it.
 * The kernel translates the program at every start of a container, so its length is time: a third of a microsecond for
 * each instruction.
 *
 * x32 calls come under x86_64's audit code with bit 30 set. Those below 512 are the 64 bit calls of the same number
 * and are treated like them, by the same tree; where x32 has none of that number the kernel itself answers ENOSYS.
 * Numbers that no table knows answer ENOSYS unless the default is to let calls pass.
 *
 * Jumps in classic BPF go forwards and conditional ones at most 255 instructions, so the program is made from its end:
 * whatever a jump needs is already there, at a known distance. A "label" is an instruction's index counted from the
 * end. A target that is too far is brought near by repeating it (a return) or by an unconditional jump.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "runtime/seccomp_int.h"

#define ACTION_UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)
#define ACTION_BAD_ARCH SECCOMP_RET_KILL_PROCESS
#define X32_FIRST 0x40000000u
#define X32_END 0x80000000u
#define X32_OWN 512u /* from here on x32 has numbers of its own */
#define SINGLES_MAX 3
#define NEAR 250u /* a target within it can be jumped to even after its twin was brought near */
#define RETURNS_MAX 16

/* How a range of numbers is treated: by one action, or by the rules of an id. */
struct target {
    uint32_t action;
    int id;      /* -1: the action */
    bool narrow; /* a 32 bit call: arguments are compared by their low words */
};
struct range {
    uint32_t start;
    struct target to;
};

struct builder {
    const struct seccomp_profile *p;
    struct sock_filter *rev; /* last instruction first; grows up to SECCOMP_PROGRAM_MAX */
    size_t n, cap;
    bool full;
    size_t returns[RETURNS_MAX]; /* labels of returns that were emitted lately */
    size_t n_returns;
    struct range *ranges;
    size_t n_ranges, cap_ranges;
    size_t *cuts; /* where neighbourhoods begin in ranges; n_cuts and one more for the end */
    size_t n_cuts;
};

/* ---- instructions and jumps ---- */

static size_t emit(struct builder *b, unsigned code, uint32_t k, size_t jt, size_t jf) {
    if (b->n == SECCOMP_PROGRAM_MAX) {
        b->full = true;
        return b->n - 1;
    }
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 256;
        b->rev = mem_resize(b->rev, b->cap, sizeof *b->rev);
    }
    b->rev[b->n] = (struct sock_filter){.code = (uint16_t)code, .jt = (uint8_t)jt, .jf = (uint8_t)jf, .k = k};
    return b->n++;
}

/* Distance from the instruction that is emitted next to a label. */
static size_t distance(const struct builder *b, size_t label) { return b->n - label - 1; }

static size_t emit_return(struct builder *b, uint32_t action) {
    for (size_t i = 0; i < b->n_returns; i++)
        if (b->rev[b->returns[i]].k == action && distance(b, b->returns[i]) < NEAR / 2)
            return b->returns[i];
    size_t label = emit(b, BPF_RET | BPF_K, action, 0, 0);
    size_t slot = 0;
    while (slot < b->n_returns && b->rev[b->returns[slot]].k != action)
        slot++;
    if (slot == RETURNS_MAX)
        slot = label % RETURNS_MAX;
    else if (slot == b->n_returns)
        b->n_returns++;
    b->returns[slot] = label;
    return label;
}

static size_t bring_near(struct builder *b, size_t label) {
    if (b->full || distance(b, label) <= NEAR)
        return label;
    if (b->rev[label].code == (BPF_RET | BPF_K))
        return emit_return(b, b->rev[label].k);
    return emit(b, BPF_JMP | BPF_JA, (uint32_t)distance(b, label), 0, 0);
}

static size_t emit_jump(struct builder *b, unsigned op, uint32_t k, size_t yes, size_t no) {
    if (yes == no)
        return yes;
    no = bring_near(b, no);
    yes = bring_near(b, yes);
    return emit(b, BPF_JMP | op | BPF_K, k, distance(b, yes), distance(b, no));
}

static size_t emit_load(struct builder *b, size_t offset) {
    return emit(b, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* What is emitted next goes on at `label`. */
static void emit_go(struct builder *b, size_t label) {
    if (label != b->n - 1)
        (void)emit(b, BPF_JMP | BPF_JA, (uint32_t)distance(b, label), 0, 0);
}

/* ---- conditions on arguments ---- */

static size_t low_word(unsigned arg) { return offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t); }
static size_t high_word(unsigned arg) { return low_word(arg) + sizeof(uint32_t); }
static uint32_t low(uint64_t v) { return (uint32_t)v; }
static uint32_t high(uint64_t v) { return (uint32_t)(v >> 32); }

static size_t emit_equal(struct builder *b, const struct seccomp_cond *c, bool narrow, size_t yes, size_t no) {
    (void)emit_jump(b, BPF_JEQ, low(c->value), yes, no);
    size_t next = emit_load(b, low_word(c->arg));
    if (narrow)
        return next;
    (void)emit_jump(b, BPF_JEQ, high(c->value), next, no);
    return emit_load(b, high_word(c->arg));
}

/* arg > value, or arg >= value with op BPF_JGE. */
static size_t emit_greater(struct builder *b, const struct seccomp_cond *c, unsigned op, bool narrow, size_t yes,
                           size_t no) {
    (void)emit_jump(b, op, low(c->value), yes, no);
    size_t next = emit_load(b, low_word(c->arg));
    if (narrow)
        return next;
    next = emit_jump(b, BPF_JEQ, high(c->value), next, no);
    (void)emit_jump(b, BPF_JGT, high(c->value), yes, next);
    return emit_load(b, high_word(c->arg));
}

static size_t emit_masked(struct builder *b, const struct seccomp_cond *c, bool narrow, size_t yes, size_t no) {
    (void)emit_jump(b, BPF_JEQ, low(c->value), yes, no);
    (void)emit(b, BPF_ALU | BPF_AND | BPF_K, low(c->mask), 0, 0);
    size_t next = emit_load(b, low_word(c->arg));
    if (narrow || (!high(c->mask) && !high(c->value)))
        return next;
    (void)emit_jump(b, BPF_JEQ, high(c->value), next, no);
    (void)emit(b, BPF_ALU | BPF_AND | BPF_K, high(c->mask), 0, 0);
    return emit_load(b, high_word(c->arg));
}

/*
 * The kernel hands a 32 bit call's arguments over as 32 bit numbers, so a value beyond that decides the condition by
 * itself. Returns 1: always true, 0: never, -1: look at the argument.
 */
static int constant_condition(const struct seccomp_cond *c, bool narrow) {
    if (c->op == SECCOMP_MASKED_EQ && (c->value & ~c->mask))
        return 0;
    if (!narrow || !high(c->value))
        return -1;
    return c->op == SECCOMP_NE || c->op == SECCOMP_LT || c->op == SECCOMP_LE;
}

static size_t emit_condition(struct builder *b, const struct seccomp_cond *c, bool narrow, size_t yes, size_t no) {
    int constant = constant_condition(c, narrow);
    if (constant >= 0)
        return constant ? yes : no;
    switch ((enum seccomp_op)c->op) {
    case SECCOMP_EQ:
        return emit_equal(b, c, narrow, yes, no);
    case SECCOMP_NE:
        return emit_equal(b, c, narrow, no, yes);
    case SECCOMP_GT:
        return emit_greater(b, c, BPF_JGT, narrow, yes, no);
    case SECCOMP_LE:
        return emit_greater(b, c, BPF_JGT, narrow, no, yes);
    case SECCOMP_GE:
        return emit_greater(b, c, BPF_JGE, narrow, yes, no);
    case SECCOMP_LT:
        return emit_greater(b, c, BPF_JGE, narrow, no, yes);
    case SECCOMP_MASKED_EQ:
        return emit_masked(b, c, narrow, yes, no);
    }
    return no;
}

/* ---- rules of one call ---- */

struct chain {
    const struct seccomp_rule *rule[SECCOMP_CHAIN_MAX];
    size_t n;
};

/* True when two rules are "argument N is exactly …" with the same answer, so that they can share the loads. */
static bool alike(const struct seccomp_rule *a, const struct seccomp_rule *b) {
    return a->n_conds == 1 && b->n_conds == 1 && a->action == b->action && a->cond[0].op == SECCOMP_EQ &&
           b->cond[0].op == SECCOMP_EQ && a->cond[0].arg == b->cond[0].arg &&
           high(a->cond[0].value) == high(b->cond[0].value);
}

static int compare_words(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Whether the low word is one of v, in order: one comparison for a single number, two for a run of successive ones. */
static size_t emit_one_of(struct builder *b, const uint32_t *v, size_t n, size_t yes, size_t no) {
    size_t next = no;
    for (size_t end = n, at; end > 0; end = at) {
        at = end - 1;
        while (at > 0 && v[at - 1] + 1 == v[at])
            at--;
        if (end - at > 1)
            next = emit_jump(b, BPF_JGE, v[at], emit_jump(b, BPF_JGT, v[end - 1], next, yes), no);
        else
            next = emit_jump(b, BPF_JEQ, v[at], yes, next);
    }
    return next;
}

/* Rules from..to are alike: one pair of loads, then their values in order. */
static size_t emit_any_of(struct builder *b, const struct chain *c, size_t from, size_t to, bool narrow, size_t no) {
    const struct seccomp_cond *first = &c->rule[from]->cond[0];
    uint32_t values[SECCOMP_CHAIN_MAX];
    if (narrow && high(first->value))
        return no;
    for (size_t i = from; i < to; i++)
        values[i - from] = low(c->rule[i]->cond[0].value);
    qsort(values, to - from, sizeof *values, compare_words);
    emit_go(b, emit_one_of(b, values, to - from, emit_return(b, c->rule[from]->action), no));
    size_t next = emit_load(b, low_word(first->arg));
    if (narrow)
        return next;
    (void)emit_jump(b, BPF_JEQ, high(first->value), next, no);
    return emit_load(b, high_word(first->arg));
}

static size_t emit_all_of(struct builder *b, const struct seccomp_rule *r, bool narrow, size_t no) {
    size_t yes = emit_return(b, r->action);
    for (size_t i = r->n_conds; i > 0 && yes != no; i--)
        yes = emit_condition(b, &r->cond[i - 1], narrow, yes, no);
    return yes;
}

static size_t emit_chain(struct builder *b, const struct chain *c, bool narrow) {
    size_t next = emit_return(b, b->p->default_action);
    for (size_t to = c->n; to > 0;) {
        size_t from = to - 1;
        while (from > 0 && alike(c->rule[from - 1], c->rule[to - 1]))
            from--;
        next = to - from > 1 ? emit_any_of(b, c, from, to, narrow, next) : emit_all_of(b, c->rule[from], narrow, next);
        to = from;
    }
    return next;
}

/* The rules of an id in order. One without conditions stands alone: it settles the call. */
static void gather(const struct seccomp_profile *p, unsigned id, struct chain *c) {
    c->n = 0;
    for (uint16_t at = p->head[id]; at; at = p->links[at - 1].next) {
        const struct seccomp_rule *r = &p->rules[p->links[at - 1].rule];
        if (!r->n_conds) {
            c->rule[0] = r;
            c->n = 1;
            return;
        }
        c->rule[c->n++] = r;
    }
}

static size_t emit_target(struct builder *b, const struct target *t) {
    if (t->id < 0)
        return emit_return(b, t->action);
    struct chain c;
    gather(b->p, (unsigned)t->id, &c);
    return emit_chain(b, &c, t->narrow);
}

/* ---- ranges and the tree ---- */

static bool same_target(const struct target *a, const struct target *b) {
    return a->id < 0 && b->id < 0 && a->action == b->action;
}

static void add_range(struct builder *b, uint32_t start, const struct target *to) {
    if (b->n_ranges && b->ranges[b->n_ranges - 1].start == start)
        b->n_ranges--;
    if (b->n_ranges && same_target(&b->ranges[b->n_ranges - 1].to, to))
        return;
    if (b->n_ranges == b->cap_ranges) {
        b->cap_ranges = b->cap_ranges ? 2 * b->cap_ranges : 256;
        b->ranges = mem_resize(b->ranges, b->cap_ranges, sizeof *b->ranges);
    }
    b->ranges[b->n_ranges++] = (struct range){start, *to};
}

static struct target plain(uint32_t action) { return (struct target){.action = action, .id = -1}; }

static struct target target_of(const struct seccomp_profile *p, unsigned id, bool narrow) {
    if (!p->head[id])
        return plain(p->default_action);
    for (uint16_t at = p->head[id]; at; at = p->links[at - 1].next) {
        const struct seccomp_rule *r = &p->rules[p->links[at - 1].rule];
        if (!r->n_conds)
            return plain(r->action);
    }
    return (struct target){.id = (int)id, .narrow = narrow};
}

/* A profile that lets unlisted calls pass lets unknown ones pass as well: the kernel itself answers ENOSYS. */
static uint32_t unknown_action(const struct seccomp_profile *p) {
    switch (p->default_action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_TRACE:
        return p->default_action;
    default:
        return ACTION_UNKNOWN;
    }
}

/* Of the numbers from `first` on, less what is common to all of them. */
static void add_ranges(struct builder *b, enum seccomp_arch a, uint32_t first, uint32_t base) {
    bool narrow = a != SECCOMP_X86_64 && a != SECCOMP_AARCH64;
    size_t n;
    const uint16_t *ids = seccomp_arch_ids(a, &n);
    const struct target unknown = plain(unknown_action(b->p));
    b->n_ranges = 0;
    add_range(b, 0, &unknown);
    for (size_t i = 0; i < n; i++) {
        uint32_t number = seccomp_number(a, ids[i]) - base;
        if (number < first)
            continue;
        const struct target to = target_of(b->p, ids[i], narrow);
        add_range(b, number, &to);
        add_range(b, number + 1, &unknown);
    }
}

/* The end of the neighbourhood that begins with a range: single numbers after it between which it goes on. */
static size_t neighbours_end(const struct builder *b, size_t at) {
    const struct range *r = b->ranges;
    size_t end = at + 1;
    while (end + 1 < b->n_ranges && end - at < 2 * (size_t)SINGLES_MAX && r[end + 1].start == r[end].start + 1 &&
           same_target(&r[at].to, &r[end + 1].to))
        end += 2;
    return end;
}

static size_t emit_neighbours(struct builder *b, size_t at, size_t end) {
    size_t label = emit_target(b, &b->ranges[at].to);
    for (size_t i = end - 1; i > at; i -= 2) {
        size_t one = emit_target(b, &b->ranges[i - 1].to);
        label = emit_jump(b, BPF_JEQ, b->ranges[i - 1].start, one, label);
    }
    return label;
}

static size_t emit_cuts(struct builder *b, size_t lo, size_t hi) {
    if (hi - lo == 1)
        return emit_neighbours(b, b->cuts[lo], b->cuts[hi]);
    size_t mid = lo + (hi - lo) / 2;
    size_t right = emit_cuts(b, mid, hi), left = emit_cuts(b, lo, mid);
    return emit_jump(b, BPF_JGE, b->ranges[b->cuts[mid]].start, right, left);
}

static size_t emit_tree(struct builder *b) {
    b->cuts = mem_resize(b->cuts, b->n_ranges + 1, sizeof *b->cuts);
    b->n_cuts = 0;
    for (size_t at = 0; at < b->n_ranges; at = neighbours_end(b, at))
        b->cuts[b->n_cuts++] = at;
    b->cuts[b->n_cuts] = b->n_ranges;
    return emit_cuts(b, 0, b->n_cuts);
}

/* Numbers with bit 30: an x32 call, or (from bit 31 on, -1 among them) one that its tracer has cancelled. */
static size_t emit_x32(struct builder *b, size_t tree) {
    size_t other = emit_return(b, unknown_action(b->p)), x32;
    if (b->p->arches & SECCOMP_ARCH_BIT(SECCOMP_X32)) {
        add_ranges(b, SECCOMP_X32, X32_OWN, X32_FIRST);
        size_t own = emit_tree(b);
        emit_go(b, emit_jump(b, BPF_JGE, X32_OWN, own, tree));
        x32 = emit(b, BPF_ALU | BPF_AND | BPF_K, ~X32_FIRST, 0, 0);
    } else {
        x32 = emit_return(b, ACTION_BAD_ARCH);
    }
    size_t with_bit = emit_jump(b, BPF_JGE, X32_END, other, x32);
    return emit_jump(b, BPF_JGE, X32_FIRST, with_bit, tree);
}

/* Everything for one audit architecture, the load of the number first. */
static size_t emit_arch(struct builder *b, enum seccomp_arch a) {
    add_ranges(b, a, 0, 0);
    size_t label = emit_tree(b);
    if (a == SECCOMP_X86_64)
        label = emit_x32(b, label);
    emit_go(b, label);
    return emit_load(b, offsetof(struct seccomp_data, nr));
}

static void emit_program(struct builder *b, enum seccomp_arch native) {
    size_t label[SECCOMP_ARCH_COUNT];
    for (unsigned a = SECCOMP_ARCH_COUNT; a-- > 0;)
        if (a != SECCOMP_X32 && a != (unsigned)native && (b->p->arches & SECCOMP_ARCH_BIT(a)))
            label[a] = emit_arch(b, (enum seccomp_arch)a);
    label[native] = emit_arch(b, native);
    size_t next = emit_return(b, ACTION_BAD_ARCH);
    for (unsigned a = 0; a < SECCOMP_ARCH_COUNT; a++)
        if (a != SECCOMP_X32 && a != (unsigned)native && (b->p->arches & SECCOMP_ARCH_BIT(a)))
            next = emit_jump(b, BPF_JEQ, seccomp_audit_arch((enum seccomp_arch)a), label[a], next);
    (void)emit_jump(b, BPF_JEQ, seccomp_audit_arch(native), label[native], next);
    (void)emit_load(b, offsetof(struct seccomp_data, arch));
}

static void reverse(struct sock_filter *f, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        struct sock_filter first = f[i];
        f[i] = f[n - 1 - i];
        f[n - 1 - i] = first;
    }
}

struct err *seccomp_bpf_compile(const struct seccomp_profile *p, enum seccomp_arch native, struct sock_filter **ret,
                                size_t *ret_n) {
    struct builder b = {.p = p};
    emit_program(&b, native);
    free(b.ranges);
    free(b.cuts);
    if (b.full) {
        free(b.rev);
        return err_new(ERR_UNSUPPORTED, "the seccomp profile needs more than %d instructions", SECCOMP_PROGRAM_MAX);
    }
    reverse(b.rev, b.n);
    *ret = b.rev;
    *ret_n = b.n;
    return NULL;
}
