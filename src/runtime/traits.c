/*
 * traits: what a process is beside its rights and limits: its execution domain, how it is scheduled, and the priority
 * of its input and output ("linux.personality", "scheduler" and "ioPriority" of the runtime specification 1.1). All
 * three are inherited over execve. A value that the kernel refuses is an error: rising above the own priority is
 * root's.
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/personality.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

struct word {
    const char *name;
    int value;
};

static struct err *find_word(const struct word *words, size_t n, const char *name, int *ret) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i].name, name) == 0) {
            *ret = words[i].value;
            return NULL;
        }
    return err_new(ERR_USAGE, "unknown value %s", name);
}

static struct err *set_personality(const struct json *j) {
    static const struct word domains[] = {{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}};
    const char *domain;
    int persona = 0;
    if (!j)
        return NULL;
    TRY(json_get_str(j, "domain", &domain));
    TRY(find_word(domains, ARRAY_LEN(domains), domain, &persona));
    if (json_count(json_get(j, "flags")))
        return err_new(ERR_UNSUPPORTED, "flags of a personality");
    return personality((unsigned long)persona) < 0 ? err_sys(errno, "become %s", domain) : NULL;
}

static struct err *read_flags(const struct json *list, uint64_t *ret) {
    static const struct word flags[] = {
        {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
        {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
        {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
        {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
        {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
        {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
        {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
    };
    JSON_EACH(it, list) {
        int flag = 0;
        TRY(find_word(flags, ARRAY_LEN(flags), json_str_value(it) ? json_str_value(it) : "", &flag));
        *ret |= (uint64_t)flag;
    }
    return NULL;
}

static struct err *set_scheduler(const struct json *j) {
    static const struct word policies[] = {{"SCHED_OTHER", SCHED_NORMAL}, {"SCHED_FIFO", SCHED_FIFO},
                                           {"SCHED_RR", SCHED_RR},        {"SCHED_BATCH", SCHED_BATCH},
                                           {"SCHED_IDLE", SCHED_IDLE},    {"SCHED_DEADLINE", SCHED_DEADLINE}};
    const char *policy;
    int number = 0;
    int64_t nice, priority;
    uint64_t flags = 0, runtime, deadline, period;
    if (!j)
        return NULL;
    TRY(json_get_str(j, "policy", &policy));
    TRY(find_word(policies, ARRAY_LEN(policies), policy, &number));
    TRY(json_get_i64_opt(j, "nice", 0, &nice));
    TRY(json_get_i64_opt(j, "priority", 0, &priority));
    TRY(json_get_u64_opt(j, "runtime", 0, &runtime));
    TRY(json_get_u64_opt(j, "deadline", 0, &deadline));
    TRY(json_get_u64_opt(j, "period", 0, &period));
    TRY(read_flags(json_get(j, "flags"), &flags));
    const struct sched_attr attr = {.size = sizeof attr,
                                    .sched_policy = (__u32)number,
                                    .sched_flags = flags,
                                    .sched_nice = (__s32)nice,
                                    .sched_priority = (__u32)priority,
                                    .sched_runtime = runtime,
                                    .sched_deadline = deadline,
                                    .sched_period = period};
    return sys_sched_setattr(&attr) < 0 ? err_sys(errno, "be scheduled by %s", policy) : NULL;
}

static struct err *set_io_priority(const struct json *j) {
    static const struct word classes[] = {{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
                                          {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
                                          {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE}};
    const char *class;
    int number = 0;
    int64_t priority;
    if (!j)
        return NULL;
    TRY(json_get_str(j, "class", &class));
    TRY(find_word(classes, ARRAY_LEN(classes), class, &number));
    TRY(json_get_i64_opt(j, "priority", 0, &priority));
    if (priority < 0 || priority > 7)
        return err_new(ERR_USAGE, "priority %lld is not one of 0 to 7", (long long)priority);
    int value = number << IOPRIO_CLASS_SHIFT | (int)priority; /* what the header offers differs from kernel to kernel */
    return sys_ioprio_set(IOPRIO_WHO_PROCESS, 0, value) < 0 ? err_sys(errno, "set %s %lld", class, (long long)priority)
                                                            : NULL;
}

/* Of the process itself, else of the container's first one. */
static const struct json *trait(const struct launch *l, const char *key) {
    const struct json *own = json_get(l->process, key);
    return own ? own : json_get(json_get(l->config, "process"), key);
}

struct err *traits_take(const struct launch *l) {
    TRY_CTX(set_personality(json_path(l->config, "linux.personality")), "personality");
    TRY_CTX(set_scheduler(trait(l, "scheduler")), "scheduler");
    TRY_CTX(set_io_priority(trait(l, "ioPriority")), "ioPriority");
    return NULL;
}
