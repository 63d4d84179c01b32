/*
 * filter_gen: runs at build time and prints seccomp_filter.h: the default profile for the default capabilities as the
 * instructions that the kernel takes. It is what nearly every container starts under, and so none of them compiles it.
 */
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "runtime/seccomp_int.h"
#include "spec/spec.h"

static struct err *compile(struct sock_filter **ret, size_t *ret_n) {
    struct seccomp_profile p;
    TRY(seccomp_default_profile(SECCOMP_NATIVE, spec_default_caps(), &p));
    struct err *e = seccomp_bpf_compile(&p, SECCOMP_NATIVE, ret, ret_n);
    seccomp_profile_done(&p);
    return e;
}

int main(void) {
    struct sock_filter *f = NULL;
    size_t n = 0;
    err_free(
        compile(&f, &n)); /* an architecture without a table has no instructions: then it is compiled, and says so */
    printf("/* Made by filter_gen. */\nstatic const size_t default_filter_n = %zu;\n"
           "static const struct sock_filter default_filter[] = {\n",
           n);
    for (size_t i = 0; i < n; i++)
        printf("    {0x%x, %u, %u, 0x%x},\n", f[i].code, f[i].jt, f[i].jf, f[i].k);
    printf("    {0, 0, 0, 0}};\n");
    free(f);
    return ferror(stdout) || fflush(stdout) != 0;
}
