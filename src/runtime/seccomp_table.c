/*
 * seccomp_table: the generated tables behind functions. The default profile is picked from them by capability mask:
 * no JSON is parsed and nothing is looked up by name when a container starts.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "runtime/seccomp_int.h"

struct table_rule {
    uint64_t caps, not_caps; /* all of caps and none of not_caps must be in the bounding set */
    unsigned families;
    uint16_t first, count; /* in table_rule_ids */
    struct seccomp_rule rule;
};

#include "seccomp_table.h"

_Static_assert(SECCOMP_TABLE_IDS <= SECCOMP_IDS_MAX, "struct seccomp_profile has room for every id");

#define ARCH_ROW(arch, audit)                                                                                          \
    [SECCOMP_##arch] = {audit, table_number_##arch, table_order_##arch, ARRAY_LEN(table_order_##arch)}

static const struct {
    uint32_t audit;
    const uint32_t *number;
    const uint16_t *order;
    size_t n;
} arches[SECCOMP_ARCH_COUNT] = {
    ARCH_ROW(X86_64, AUDIT_ARCH_X86_64),   ARCH_ROW(X86, AUDIT_ARCH_I386), ARCH_ROW(X32, AUDIT_ARCH_X86_64),
    ARCH_ROW(AARCH64, AUDIT_ARCH_AARCH64), ARCH_ROW(ARM, AUDIT_ARCH_ARM),
};

size_t seccomp_id_count(void) { return SECCOMP_TABLE_IDS; }

const char *seccomp_id_name(unsigned id) { return table_text + table_name_at[id]; }

int seccomp_id_of(const char *name) {
    size_t lo = 0, hi = SECCOMP_TABLE_IDS;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, table_text + table_name_at[mid]);
        if (c == 0)
            return (int)mid;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return -1;
}

const uint16_t *seccomp_arch_ids(enum seccomp_arch a, size_t *ret_n) {
    *ret_n = arches[a].n;
    return arches[a].order;
}

uint32_t seccomp_number(enum seccomp_arch a, unsigned id) { return arches[a].number[id]; }

uint32_t seccomp_audit_arch(enum seccomp_arch a) { return arches[a].audit; }

unsigned seccomp_family(enum seccomp_arch native) {
    if (native == SECCOMP_X86_64)
        return SECCOMP_AMD64_FAMILY;
    return native == SECCOMP_AARCH64 ? SECCOMP_ARM64_FAMILY : 0;
}

struct err *seccomp_default_profile(enum seccomp_arch native, uint64_t caps, struct seccomp_profile *ret) {
    struct seccomp_profile p = {.default_action = SECCOMP_RET_ERRNO | 1, .arches = seccomp_family(native)};
    if (!p.arches)
        return err_hint(err_new(ERR_UNSUPPORTED, "no table of system calls for this architecture"),
                        "use --security-opt seccomp=unconfined");
    for (size_t i = 0; i < ARRAY_LEN(table_rules); i++) {
        const struct table_rule *t = &table_rules[i];
        uint16_t rule = 0;
        if ((caps & t->caps) != t->caps || (caps & t->not_caps) || !(p.arches & t->families))
            continue;
        TRY(seccomp_add_rule(&p, &t->rule, &rule));
        for (size_t k = t->first; k < (size_t)t->first + t->count; k++)
            TRY(seccomp_link_rule(&p, table_rule_ids[k], rule));
    }
    *ret = p;
    return NULL;
}
