/*
 * seccomp_gen: runs at build time and prints seccomp_table.h: the names and numbers of all system calls for the
 * architectures that we know, from libseccomp, and the default rules of seccomp_default.h in ids. The product then
 * needs neither libseccomp nor a JSON parser to make its filter.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen/seccomp_default.h"

enum { X86_64, X86, X32, AARCH64, ARM, ARCHES };
static const uint32_t arch_token[ARCHES] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32, SCMP_ARCH_AARCH64,
                                            SCMP_ARCH_ARM};
static const char *const arch_name[ARCHES] = {"X86_64", "X86", "X32", "AARCH64", "ARM"};

#define IDS_MAX 640
#define X32_BIT 0x40000000u
#define NONE UINT32_MAX
#define NUMBERS_MAX 1024u    /* ordinary numbers are below it */
#define ARM_PRIVATE 0xf0000u /* set_tls and friends */
#define ARM_PRIVATE_END 0xf0010u

struct call {
    char *name;
    uint32_t number[ARCHES];
};
static struct call calls[IDS_MAX];
static size_t n_calls;

static _Noreturn void fail(const char *what, const char *arg) {
    fprintf(stderr, "seccomp_gen: %s%s\n", what, arg);
    exit(1);
}

static struct call *find(const char *name) {
    for (size_t i = 0; i < n_calls; i++)
        if (strcmp(calls[i].name, name) == 0)
            return &calls[i];
    return NULL;
}

static void add(int arch, const char *name, uint32_t number) {
    struct call *c = find(name);
    if (!c) {
        if (n_calls == IDS_MAX)
            fail("too many system calls at ", name);
        c = &calls[n_calls++];
        c->name = strdup(name);
        if (!c->name)
            fail("out of memory", "");
        for (int a = 0; a < ARCHES; a++)
            c->number[a] = NONE;
    }
    if (c->number[arch] == NONE)
        c->number[arch] = number;
}

static void add_range(int arch, uint32_t from, uint32_t to) {
    for (uint32_t n = from; n < to; n++) {
        char *name = seccomp_syscall_resolve_num_arch(arch_token[arch], (int)n);
        if (name)
            add(arch, name, n);
        free(name);
    }
}

static bool number_taken(int arch, uint32_t number) {
    for (size_t i = 0; i < n_calls; i++)
        if (calls[i].number[arch] == number)
            return true;
    return false;
}

static void collect(void) {
    for (int a = 0; a < ARCHES; a++) {
        uint32_t base = a == X32 ? X32_BIT : 0;
        add_range(a, base, base + NUMBERS_MAX);
        if (a == ARM)
            add_range(a, ARM_PRIVATE, ARM_PRIVATE_END);
        for (size_t i = 0; i < sizeof newer_calls / sizeof *newer_calls; i++)
            if (seccomp_syscall_resolve_name(newer_calls[i].name) == __NR_SCMP_ERROR &&
                !number_taken(a, base + newer_calls[i].number))
                add(a, newer_calls[i].name, base + newer_calls[i].number);
    }
    if (seccomp_syscall_resolve_name("uretprobe") == __NR_SCMP_ERROR && !number_taken(X86_64, 335))
        add(X86_64, "uretprobe", 335);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct call *)a)->name, ((const struct call *)b)->name);
}

static void print_names(void) {
    size_t at = 0;
    printf("#define SECCOMP_TABLE_IDS %zu\nstatic const char table_text[] =\n", n_calls);
    for (size_t i = 0; i < n_calls; i++)
        printf("    \"%s\\0\"\n", calls[i].name);
    printf("    ;\nstatic const uint16_t table_name_at[] = {");
    for (size_t i = 0; i < n_calls; i++) {
        printf("%s%zu,", i % 16 ? " " : "\n    ", at);
        at += strlen(calls[i].name) + 1;
    }
    printf("\n};\n");
}

static int sort_arch; /* qsort has no context argument */
static int by_number(const void *a, const void *b) {
    uint32_t x = calls[*(const size_t *)a].number[sort_arch], y = calls[*(const size_t *)b].number[sort_arch];
    return x < y ? -1 : x > y;
}

static void print_arch(int arch) {
    size_t order[IDS_MAX] = {0}, n = 0;
    printf("static const uint32_t table_number_%s[] = {", arch_name[arch]);
    for (size_t i = 0; i < n_calls; i++) {
        printf("%s0x%x,", i % 12 ? " " : "\n    ", calls[i].number[arch]);
        if (calls[i].number[arch] != NONE)
            order[n++] = i;
    }
    sort_arch = arch;
    qsort(order, n, sizeof *order, by_number);
    printf("\n};\nstatic const uint16_t table_order_%s[] = {", arch_name[arch]);
    for (size_t i = 0; i < n; i++)
        printf("%s%zu,", i % 16 ? " " : "\n    ", order[i]);
    printf("\n};\n");
}

/* ---- the default rules ---- */

static size_t n_ids;
static char rule_text[128 * 1024];
static size_t rule_len;

static void print_rule(const struct default_rule *r, const char *cond, size_t first, size_t count) {
    static const char *const families[] = {"SECCOMP_AMD64_FAMILY | SECCOMP_ARM64_FAMILY", "SECCOMP_AMD64_FAMILY",
                                           "SECCOMP_ARM64_FAMILY"};
    int n = snprintf(rule_text + rule_len, sizeof rule_text - rule_len,
                     "    {.caps = 0x%llx, .not_caps = 0x%llx, .families = %s, .first = %zu, .count = %zu,\n"
                     "     .rule = {.action = %s | %d%s}},\n",
                     (unsigned long long)r->caps, (unsigned long long)r->not_caps, families[r->family], first, count,
                     r->error ? "SECCOMP_RET_ERRNO" : "SECCOMP_RET_ALLOW", r->error, cond);
    rule_len += (size_t)n;
    if (rule_len >= sizeof rule_text)
        fail("too many default rules", "");
}

static void print_cond_rule(const struct default_rule *r, const char *op, const char *value, size_t first,
                            size_t count) {
    char cond[200];
    snprintf(cond, sizeof cond, ", .n_conds = 1, .cond = {{.arg = 0, .op = %s, .value = %s, .mask = 0x%llx}}", op,
             value, (unsigned long long)r->bits);
    print_rule(r, cond, first, count);
}

/* Prints the ids of the names into the id list; returns how many are known. */
static size_t print_ids(const char *names) {
    char *copy = strdup(names), *rest = copy, *name;
    size_t count = 0;
    if (!copy)
        fail("out of memory", "");
    while ((name = strsep(&rest, " "))) {
        struct call *c = find(name);
        if (!c)
            continue; /* other architectures' calls (riscv_hwprobe) */
        printf("%s%zu,", n_ids++ % 16 ? " " : "\n    ", (size_t)(c - calls));
        count++;
    }
    free(copy);
    return count;
}

static void print_values(const struct default_rule *r, size_t first, size_t count) {
    char *copy = strdup(r->values), *rest = copy, *value;
    if (!copy)
        fail("out of memory", "");
    while ((value = strsep(&rest, " ")))
        print_cond_rule(r, r->op == BELOW ? "SECCOMP_LT" : "SECCOMP_EQ", value, first, count);
    free(copy);
}

static void print_rules(void) {
    printf("static const uint16_t table_rule_ids[] = {");
    for (size_t i = 0; i < sizeof default_rules / sizeof *default_rules; i++) {
        const struct default_rule *r = &default_rules[i];
        size_t first = n_ids, count = print_ids(r->names);
        if (r->op == ANY)
            print_rule(r, "", first, count);
        else if (r->op == NONE_OF_BITS)
            print_cond_rule(r, "SECCOMP_MASKED_EQ", "0", first, count);
        else
            print_values(r, first, count);
    }
    printf("\n};\nstatic const struct table_rule table_rules[] = {\n%s};\n", rule_text);
}

int main(void) {
    collect();
    qsort(calls, n_calls, sizeof *calls, by_name);
    printf("/* Generated by src/gen/seccomp_gen.c. */\n");
    print_names();
    for (int a = 0; a < ARCHES; a++)
        print_arch(a);
    print_rules();
    for (size_t i = 0; i < n_calls; i++)
        free(calls[i].name);
    if (fflush(stdout) != 0 || ferror(stdout))
        fail("cannot write: ", strerror(errno));
    return 0;
}
