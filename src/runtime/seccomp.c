/*
 * seccomp: the entry points: the default profile, docker's JSON, the OCI's section. The default profile for the default
 * capabilities comes compiled (filter_gen).
 */
#include <linux/filter.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "runtime/runtime.h"
#include "runtime/seccomp_int.h"
#include "spec/spec.h"

#include "seccomp_filter.h"

/* An unconfined profile gives no instructions. */
static struct err *compile_and_free(struct seccomp_profile *take_p, struct sock_filter **ret, size_t *ret_n,
                                    unsigned *ret_flags) {
    struct err *e = NULL;
    unsigned flags = take_p->flags;
    if (take_p->unconfined) {
        *ret = NULL;
        *ret_n = 0;
    } else {
        e = seccomp_bpf_compile(take_p, SECCOMP_NATIVE, ret, ret_n);
    }
    seccomp_profile_done(take_p);
    if (!e && ret_flags)
        *ret_flags = flags;
    return e;
}

struct err *runtime_seccomp_compile(const char *profile_json_or_null, uint64_t caps, struct sock_filter **ret,
                                    size_t *ret_n, unsigned *ret_flags) {
    struct seccomp_profile p;
    if (!profile_json_or_null && caps == spec_default_caps() && default_filter_n > 0) {
        *ret = mem_array(default_filter_n, sizeof **ret);
        *ret_n = default_filter_n;
        if (ret_flags)
            *ret_flags = 0;
        memcpy(*ret, default_filter, default_filter_n * sizeof **ret);
        return NULL;
    }
    if (!profile_json_or_null) {
        TRY(seccomp_default_profile(SECCOMP_NATIVE, caps, &p));
        return compile_and_free(&p, ret, ret_n, ret_flags);
    }
    autojson j = NULL;
    TRY(json_parse(profile_json_or_null, strlen(profile_json_or_null), "seccomp profile", 0, &j));
    TRY(seccomp_profile_parse(j, caps, SECCOMP_NATIVE, &p));
    return compile_and_free(&p, ret, ret_n, ret_flags);
}

struct err *runtime_seccomp_compile_oci(const struct json *seccomp, struct sock_filter **ret, size_t *ret_n,
                                        unsigned *ret_flags) {
    struct seccomp_profile p;
    TRY(seccomp_profile_parse(seccomp, 0, SECCOMP_NATIVE, &p));
    return compile_and_free(&p, ret, ret_n, ret_flags);
}
