/* Capabilities: names, docker's default set, and docker's arithmetic of --cap-add and --cap-drop. */
#include "spec/spec_int.h"

#include <strings.h>

/* Text without pointers, which the loader would have to write in every process. */
static const char names[][24] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_LEN(names) == 41, "the kernel numbers capabilities from 0 (chown) to 40 (checkpoint_restore)");

#define ALL_CAPS ((UINT64_C(1) << ARRAY_LEN(names)) - 1)

const char *spec_cap_name(int cap) { return cap >= 0 && (size_t)cap < ARRAY_LEN(names) ? names[cap] : NULL; }

uint64_t spec_default_caps(void) {
    /* audit_write chown dac_override fowner fsetid kill mknod net_bind_service net_raw setfcap setgid setpcap setuid
     * sys_chroot */
    static const unsigned char set[] = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31};
    uint64_t mask = 0;
    for (size_t i = 0; i < ARRAY_LEN(set); i++)
        mask |= UINT64_C(1) << set[i];
    return mask;
}

struct err *spec_parse_cap(const char *text, uint64_t *ret_mask) {
    if (!strcasecmp(text, "ALL") || !strcasecmp(text, "CAP_ALL")) {
        *ret_mask = ALL_CAPS;
        return NULL;
    }
    const char *name = strncasecmp(text, "CAP_", 4) ? text : text + 4;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcasecmp(name, names[i] + 4)) {
            *ret_mask = UINT64_C(1) << i;
            return NULL;
        }
    return err_new(ERR_USAGE, "unknown capability: \"%s\"", text);
}

/* The union of a list's single capabilities; *ret_all tells whether ALL was among them. */
static struct err *collect(const struct strv *list, uint64_t *ret_mask, bool *ret_all) {
    *ret_mask = 0;
    *ret_all = false;
    for (size_t i = 0; i < list->n; i++) {
        uint64_t mask;
        TRY(spec_parse_cap(list->v[i], &mask));
        if (mask == ALL_CAPS)
            *ret_all = true;
        else
            *ret_mask |= mask;
    }
    return NULL;
}

/*
 * "Add ALL" keeps single drops; "drop ALL" keeps single adds; else the default set loses the drops and gains the adds.
 */
struct err *spec_resolve_caps(struct spec_ctx *x) {
    uint64_t add, drop;
    bool add_all, drop_all;
    TRY(collect(&x->o->cap_add, &add, &add_all));
    TRY(collect(&x->o->cap_drop, &drop, &drop_all));
    if (x->o->privileged)
        x->caps = ALL_CAPS;
    else if (add_all)
        x->caps = drop_all ? ALL_CAPS : ALL_CAPS & ~drop;
    else if (drop_all)
        x->caps = add;
    else
        x->caps = (spec_default_caps() & ~drop) | add;
    return NULL;
}
