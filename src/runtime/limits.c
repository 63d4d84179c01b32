/* limits: resource limits and the OOM score of a process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

static const struct {
    const char *name;
    int resource;
} limits[] = {
    {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},       {"RLIMIT_FSIZE", RLIMIT_FSIZE},       {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},   {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

static struct err *limit_apply(const struct json *j) {
    const char *name;
    uint64_t soft, hard;
    size_t i = 0;
    TRY(json_get_str(j, "type", &name));
    TRY(json_get_u64_opt(j, "soft", 0, &soft));
    TRY(json_get_u64_opt(j, "hard", 0, &hard));
    while (i < ARRAY_LEN(limits) && strcmp(limits[i].name, name) != 0)
        i++;
    if (i == ARRAY_LEN(limits))
        return err_new(ERR_USAGE, "no such resource limit: %s", name);
    const struct rlimit want = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit((__rlimit_resource_t)limits[i].resource, &want) == 0)
        return NULL;
    int saved = errno;
    struct rlimit have = {.rlim_max = 0};
    (void)getrlimit((__rlimit_resource_t)limits[i].resource, &have);
    return err_hint(err_sys(saved, "set %s to %llu:%llu", name, (unsigned long long)soft, (unsigned long long)hard),
                    "this user's hard limit is %llu; raise it in /etc/security/limits.conf",
                    (unsigned long long)have.rlim_max);
}

struct err *limits_apply(const struct json *process) {
    JSON_EACH(it, json_get(process, "rlimits"))
    TRY(limit_apply(it));
    return NULL;
}

/* ---- the OOM score ---- */

static bool oom_now(int64_t *ret) {
    autostr struct str text = STR_INIT;
    if (!cgroup_read(AT_FDCWD, "/proc/self/oom_score_adj", &text))
        return false;
    bool negative = *str_c(&text) == '-';
    const char *from = str_c(&text) + negative;
    autofree char *digits = mem_dupn(from, strcspn(from, "\n"));
    if (!str_to_i64(digits, 0, 1000, ret))
        return false;
    *ret = negative ? -*ret : *ret;
    return true;
}

static bool oom_write(int fd, int64_t score) {
    char text[16];
    int n = snprintf(text, sizeof text, "%lld", (long long)score);
    return pwrite(fd, text, (size_t)n, 0) == n;
}

int runtime_oom_open(void) { return open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); }

/* Whether another score is wanted than the caller's own. */
static bool oom_wanted(const struct json *process, int64_t *ret_own, int64_t *ret_score) {
    const struct json *want = json_get(process, "oomScoreAdj");
    *ret_score = json_int_value(want, 0);
    return json_type(want) == JSON_NUMBER && oom_now(ret_own) && *ret_score != *ret_own;
}

struct err *limits_oom_lend(const struct json *process, int fd, struct oom_loan *ret) {
    int64_t score;
    *ret = (struct oom_loan){.lent = false};
    if (!oom_wanted(process, &ret->own, &score))
        return NULL;
    ret->lent = oom_write(fd, score);
    int saved = errno;
    return ret->lent || score < ret->own ? NULL : err_sys(saved, "set the OOM score to %lld", (long long)score);
}

void limits_oom_back(int fd, const struct oom_loan *loan) {
    if (loan->lent)
        (void)oom_write(fd, loan->own);
}

/* How far down a process may go is in no file of the kernel's: it is tried by going there and back. */
void limits_oom_said(const struct json *process, struct strv *warnings) {
    int64_t now, score;
    if (!oom_wanted(process, &now, &score) || score > now)
        return;
    autofd int fd = runtime_oom_open();
    if (!oom_write(fd, score) || !oom_write(fd, now))
        strv_pushf(warnings,
                   "--oom-score-adj %lld has no effect: without root it cannot go below that of this session, %lld",
                   (long long)score, (long long)now);
}
