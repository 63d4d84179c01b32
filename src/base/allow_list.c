/* allow_list: see allow_list.h. */
#include "base/allow_list.h"

#include <errno.h>
#include <linux/audit.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sys/sys.h"

#ifdef SANITIZED
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }
#endif

#if defined(__x86_64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_PPC64LE
#endif

#ifdef AUDIT_ARCH_NATIVE
enum { REACH = 255 }; /* of a jump, in instructions */

static const struct sock_filter head[] = {
    ALLOW_LOAD(arch),
    ALLOW_IF(AUDIT_ARCH_NATIVE, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    ALLOW_LOAD(nr),
};
static const struct sock_filter no_code[] = {
    ALLOW_IF(SYS_mmap, 1, 0),
    ALLOW_IF(SYS_mprotect, 0, 2),
    ALLOW_LOAD_ARG(2),
    ALLOW_IF_ANY(PROT_EXEC, 0, 1),
    ALLOW_NO,
    ALLOW_YES,
};

static size_t append(struct sock_filter *prog, size_t n, const struct sock_filter *what, size_t count) {
    for (size_t i = 0; i < count; i++)
        prog[n++] = what[i];
    return n;
}

struct err *allow_list_install(const struct allow_list *a) {
    struct sock_filter prog[ARRAY_LEN(head) + REACH + ARRAY_LEN(no_code)];
    if (prctl(PR_GET_SECCOMP) < 0)
        return NULL;                                                  /* this kernel has none */
    size_t ahead = a->n_calls + a->n_checks + ARRAY_LEN(no_code) - 1; /* of the first call: the ALLOW_YES at the end */
    if (ahead > REACH)
        return err_new(ERR_SYSTEM, "an allow-list of %zu instructions is too long", ahead);
    size_t n = append(prog, 0, head, ARRAY_LEN(head));
    for (size_t i = 0; i < a->n_calls; i++)
        prog[n++] = (struct sock_filter)ALLOW_IF(a->calls[i], (uint8_t)(ahead - 1 - i), 0);
    n = append(prog, n, a->checks, a->n_checks);
    n = append(prog, n, no_code, ARRAY_LEN(no_code));
    const struct sock_fprog fprog = {.len = (unsigned short)n, .filter = prog};
    int code = sys_seccomp_filter(&fprog, SECCOMP_FILTER_FLAG_TSYNC);
    if (code != 0)
        return err_sys(code < 0 ? errno : EBUSY, "install the seccomp filter");
    return NULL;
}
#else
struct err *allow_list_install(const struct allow_list *a) {
    (void)a;
    return NULL;
}
#endif
