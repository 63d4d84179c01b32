/*
 * seccomp_profile: rules and system calls put together, from JSON in docker's form (names, includes, excludes, archMap)
 * or the OCI's (architectures). One reader serves both, as the OCI's form is a subset but for the architectures.
 *
 * What docker does and we do too: unknown names are skipped, since profiles list calls of all times and machines; a
 * rule that only repeats the default is dropped; an argument that one rule mentions twice makes alternatives of its
 * conditions, not a conjunction.
 */
#include <linux/seccomp.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/seccomp_int.h"
#include "spec/spec.h"

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

/* ---- building ---- */

struct err *seccomp_add_rule(struct seccomp_profile *p, const struct seccomp_rule *r, uint16_t *ret) {
    if (p->n_rules == UINT16_MAX)
        return err_new(ERR_USAGE, "the seccomp profile has more than %d rules", UINT16_MAX);
    if (p->n_rules == p->cap_rules) {
        p->cap_rules = p->cap_rules ? 2 * p->cap_rules : 64;
        p->rules = mem_resize(p->rules, p->cap_rules, sizeof *p->rules);
    }
    *ret = (uint16_t)p->n_rules;
    p->rules[p->n_rules++] = *r;
    return NULL;
}

struct err *seccomp_link_rule(struct seccomp_profile *p, unsigned id, uint16_t rule) {
    if (p->rules[rule].action == p->default_action)
        return NULL;
    if (p->count[id] == SECCOMP_CHAIN_MAX)
        return err_new(ERR_USAGE, "the seccomp profile has more than %d rules for %s", SECCOMP_CHAIN_MAX,
                       seccomp_id_name(id));
    if (p->n_links == UINT16_MAX - 1)
        return err_new(ERR_USAGE, "the seccomp profile names more than %d system calls", UINT16_MAX - 1);
    if (p->n_links == p->cap_links) {
        p->cap_links = p->cap_links ? 2 * p->cap_links : 512;
        p->links = mem_resize(p->links, p->cap_links, sizeof *p->links);
    }
    p->links[p->n_links++] = (struct seccomp_link){.rule = rule};
    uint16_t at = (uint16_t)p->n_links;
    if (p->tail[id])
        p->links[p->tail[id] - 1].next = at;
    else
        p->head[id] = at;
    p->tail[id] = at;
    p->count[id]++;
    return NULL;
}

void seccomp_profile_done(struct seccomp_profile *p) {
    free(p->rules);
    free(p->links);
    *p = (struct seccomp_profile){0};
}

/* ---- words ---- */

struct word {
    const char *text;
    uint32_t value;
};

static bool find_word(const struct word *words, size_t n, const char *text, uint32_t *ret) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(words[i].text, text)) {
            *ret = words[i].value;
            return true;
        }
    return false;
}

static const struct word action_words[] = {
    {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
    {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO},
    {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
    {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
    {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
    {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE},
    {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
};
static const struct word op_words[] = {
    {"SCMP_CMP_EQ", SECCOMP_EQ},
    {"SCMP_CMP_NE", SECCOMP_NE},
    {"SCMP_CMP_LT", SECCOMP_LT},
    {"SCMP_CMP_LE", SECCOMP_LE},
    {"SCMP_CMP_GT", SECCOMP_GT},
    {"SCMP_CMP_GE", SECCOMP_GE},
    {"SCMP_CMP_MASKED_EQ", SECCOMP_MASKED_EQ},
};
/* Architectures without a table here are those of other machines: 0. */
static const struct word arch_words[] = {
    {"SCMP_ARCH_X86_64", SECCOMP_ARCH_BIT(SECCOMP_X86_64)},
    {"SCMP_ARCH_X86", SECCOMP_ARCH_BIT(SECCOMP_X86)},
    {"SCMP_ARCH_X32", SECCOMP_ARCH_BIT(SECCOMP_X32)},
    {"SCMP_ARCH_AARCH64", SECCOMP_ARCH_BIT(SECCOMP_AARCH64)},
    {"SCMP_ARCH_ARM", SECCOMP_ARCH_BIT(SECCOMP_ARM)},
    {"SCMP_ARCH_MIPS", 0},
    {"SCMP_ARCH_MIPS64", 0},
    {"SCMP_ARCH_MIPS64N32", 0},
    {"SCMP_ARCH_MIPSEL", 0},
    {"SCMP_ARCH_MIPSEL64", 0},
    {"SCMP_ARCH_MIPSEL64N32", 0},
    {"SCMP_ARCH_PPC", 0},
    {"SCMP_ARCH_PPC64", 0},
    {"SCMP_ARCH_PPC64LE", 0},
    {"SCMP_ARCH_S390", 0},
    {"SCMP_ARCH_S390X", 0},
    {"SCMP_ARCH_PARISC", 0},
    {"SCMP_ARCH_PARISC64", 0},
    {"SCMP_ARCH_RISCV64", 0},
    {"SCMP_ARCH_LOONGARCH64", 0},
    {"SCMP_ARCH_M68K", 0},
    {"SCMP_ARCH_SH", 0},
    {"SCMP_ARCH_SHEB", 0},
};
static const struct word flag_words[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", 0}, /* there is one thread when the filter is installed */
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

static struct err *read_action(const char *text, bool has_errno, uint64_t errno_ret, uint32_t *ret) {
    uint32_t action;
    if (!find_word(action_words, ARRAY_LEN(action_words), text, &action))
        return err_new(ERR_USAGE, "unknown seccomp action '%s'", text);
    if (action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE) {
        if (errno_ret > ERRNO_MAX)
            return err_new(ERR_USAGE, "errno %llu of %s is beyond %d", (unsigned long long)errno_ret, text, ERRNO_MAX);
        action |= (uint32_t)errno_ret;
    } else if (has_errno) {
        return err_new(ERR_USAGE, "seccomp action %s takes no errno", text);
    }
    *ret = action;
    return NULL;
}

/* An action beside its errno, which is EPERM where it is not given. */
static struct err *read_action_of(const struct json *j, const char *key, const char *errno_key, uint32_t *ret) {
    const char *text;
    uint64_t errno_ret;
    TRY(json_get_str(j, key, &text));
    TRY(json_get_u64_opt(j, errno_key, 1, &errno_ret));
    const struct json *given = json_get(j, errno_key);
    return read_action(text, given && json_type(given) != JSON_NULL, errno_ret, ret);
}

/* ---- includes and excludes ---- */

struct reader {
    uint64_t caps;
    enum seccomp_arch native;
    struct seccomp_profile *p;
};

static const char *docker_arch(enum seccomp_arch native) { return native == SECCOMP_X86_64 ? "amd64" : "arm64"; }

static bool cap_held(uint64_t caps, const char *name) {
    for (int i = 0; i < 64; i++)
        if ((caps >> i & 1) && str_eq(spec_cap_name(i), name))
            return true;
    return false;
}

/* "4.8" against the running kernel. */
static struct err *kernel_at_least(const char *text, bool *ret) {
    struct utsname u;
    char *end;
    unsigned long major = strtoul(text, &end, 10), minor = 0;
    if (end == text || *end != '.' || end[1] < '0' || end[1] > '9' || (minor = strtoul(end + 1, &end, 10), *end))
        return err_new(ERR_USAGE, "minKernel '%s' of the seccomp profile is not of the form 5.10", text);
    if (uname(&u) < 0)
        return err_new(ERR_SYSTEM, "uname failed");
    unsigned long have_major = strtoul(u.release, &end, 10), have_minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    *ret = have_major > major || (have_major == major && have_minor >= minor);
    return NULL;
}

struct conditions {
    bool has_caps, all_caps, any_cap;
    bool has_arches, arch;
    bool has_kernel, kernel;
};

static struct err *read_conditions(const struct reader *r, const struct json *j, struct conditions *c) {
    struct json *caps, *arches;
    const char *kernel;
    *c = (struct conditions){.all_caps = true};
    TRY(json_get_array_opt(j, "caps", &caps));
    JSON_EACH(it, caps) {
        bool held = cap_held(r->caps, json_str_value(it));
        c->has_caps = true;
        c->all_caps = c->all_caps && held;
        c->any_cap = c->any_cap || held;
    }
    TRY(json_get_array_opt(j, "arches", &arches));
    JSON_EACH(it, arches) {
        c->has_arches = true;
        c->arch = c->arch || str_eq(json_str_value(it), docker_arch(r->native));
    }
    TRY(json_get_str_opt(j, "minKernel", NULL, &kernel));
    if (kernel && *kernel) {
        c->has_kernel = true;
        TRY(kernel_at_least(kernel, &c->kernel));
    }
    return NULL;
}

/* Whether a rule counts here: all that it includes is there, none of what it excludes is. */
static struct err *rule_applies(const struct reader *r, const struct json *j, bool *ret) {
    struct json *includes, *excludes;
    struct conditions in, ex;
    TRY(json_get_object_opt(j, "includes", &includes));
    TRY(json_get_object_opt(j, "excludes", &excludes));
    TRY_CTX(read_conditions(r, includes, &in), "includes");
    TRY_CTX(read_conditions(r, excludes, &ex), "excludes");
    bool included = in.all_caps && (!in.has_arches || in.arch) && (!in.has_kernel || in.kernel);
    *ret = included && !ex.any_cap && !ex.arch && !ex.kernel;
    return NULL;
}

/* ---- rules ---- */

static struct err *read_condition(const struct json *j, struct seccomp_cond *ret) {
    uint64_t index, value, value_two;
    const char *text;
    uint32_t op;
    TRY(json_get_u64_opt(j, "index", 0, &index));
    TRY(json_get_u64_opt(j, "value", 0, &value));
    TRY(json_get_u64_opt(j, "valueTwo", 0, &value_two));
    TRY(json_get_str(j, "op", &text));
    if (index > 5)
        return err_new(ERR_USAGE, "argument index %llu is beyond 5", (unsigned long long)index);
    if (!find_word(op_words, ARRAY_LEN(op_words), text, &op))
        return err_new(ERR_USAGE, "unknown seccomp operator '%s'", text);
    *ret = (struct seccomp_cond){.arg = (uint8_t)index, .op = (uint8_t)op, .value = value};
    if (op == SECCOMP_MASKED_EQ) {
        ret->mask = value;
        ret->value = value_two;
    }
    return NULL;
}

/* Links one rule to all names of an entry. */
static struct err *link_names(const struct reader *r, const struct strv *names, const struct seccomp_rule *rule) {
    uint16_t index;
    TRY(seccomp_add_rule(r->p, rule, &index));
    for (size_t i = 0; i < names->n; i++) {
        int id = seccomp_id_of(names->v[i]);
        /* the listener is sent by who is behind the filter already */
        if (rule->action == SECCOMP_RET_USER_NOTIF && str_eq(names->v[i], "sendmsg"))
            return err_new(ERR_UNSUPPORTED, "SCMP_ACT_NOTIFY cannot be the action for sendmsg: the listener itself is "
                                            "sent by it");
        if (id >= 0)
            TRY(seccomp_link_rule(r->p, (unsigned)id, index));
    }
    return NULL;
}

#define ARGS_MAX 64
static struct err *read_args(const struct reader *r, const struct json *args, const struct strv *names,
                             uint32_t action) {
    struct seccomp_cond cond[ARGS_MAX] = {0};
    size_t n = 0, seen[6] = {0};
    bool repeated = false;
    JSON_EACH(it, args) {
        if (n == ARGS_MAX)
            return err_new(ERR_USAGE, "more than %d argument conditions in one rule", ARGS_MAX);
        TRY_CTX(read_condition(it, &cond[n]), "args[%zu]", n);
        repeated = repeated || seen[cond[n].arg]++;
        n++;
    }
    struct seccomp_rule rule = {.action = action};
    if (!repeated) {
        rule.n_conds = (uint32_t)n; /* at most six, as none is repeated */
        memcpy(rule.cond, cond, n * sizeof *cond);
        return link_names(r, names, &rule);
    }
    for (size_t i = 0; i < n; i++) {
        rule.n_conds = 1;
        rule.cond[0] = cond[i];
        TRY(link_names(r, names, &rule));
    }
    return NULL;
}

static struct err *read_names(const struct json *j, struct strv *names) {
    const char *name;
    TRY(json_get_strv_opt(j, "names", names));
    TRY(json_get_str_opt(j, "name", NULL, &name));
    if (name && *name && names->n)
        return err_new(ERR_USAGE, "both 'name' and 'names' are given");
    if (name && *name)
        strv_push(names, name);
    if (!names->n)
        return err_new(ERR_USAGE, "no system call is named");
    return NULL;
}

static struct err *read_syscall(const struct reader *r, const struct json *j) {
    autostrv struct strv names = {0};
    struct json *args = NULL;
    uint32_t action = 0;
    bool applies = false;
    TRY(read_names(j, &names));
    TRY(read_action_of(j, "action", "errnoRet", &action));
    TRY(json_get_array_opt(j, "args", &args));
    TRY(rule_applies(r, j, &applies));
    return applies ? read_args(r, args, &names, action) : NULL;
}

/* ---- architectures and flags ---- */

static struct err *read_arches(const struct reader *r, const struct json *list) {
    JSON_EACH(it, list) {
        uint32_t bit;
        const char *text = json_str_value(it);
        if (!text || !find_word(arch_words, ARRAY_LEN(arch_words), text, &bit))
            return err_new(ERR_USAGE, "unknown seccomp architecture '%s'", text ? text : "");
        r->p->arches |= bit & seccomp_family(r->native);
    }
    return NULL;
}

/* docker's archMap: the entry of this machine's architecture and those below it. */
static struct err *read_arch_map(const struct reader *r, const struct json *map) {
    JSON_EACH(it, map) {
        const char *text;
        struct json *subs;
        uint32_t bit;
        TRY(json_get_str(it, "architecture", &text));
        TRY(json_get_array_opt(it, "subArchitectures", &subs));
        if (find_word(arch_words, ARRAY_LEN(arch_words), text, &bit) && bit == SECCOMP_ARCH_BIT(r->native))
            return read_arches(r, subs);
    }
    return NULL;
}

static struct err *read_flags(const struct reader *r, const struct json *flags) {
    JSON_EACH(it, flags) {
        uint32_t flag;
        const char *text = json_str_value(it);
        if (!text || !find_word(flag_words, ARRAY_LEN(flag_words), text, &flag))
            return err_new(ERR_UNSUPPORTED, "unknown seccomp flag '%s'", text ? text : "");
        r->p->flags |= flag;
    }
    return NULL;
}

static struct err *read_head(const struct reader *r, const struct json *j) {
    struct json *arches, *map, *flags;
    TRY(json_get_array_opt(j, "architectures", &arches));
    TRY(json_get_array_opt(j, "archMap", &map));
    TRY(json_get_array_opt(j, "flags", &flags));
    if (json_count(arches) && json_count(map))
        return err_new(ERR_USAGE, "both 'architectures' and 'archMap' are given");
    TRY(read_arches(r, arches));
    TRY(read_arch_map(r, map));
    TRY(read_flags(r, flags));
    return read_action_of(j, "defaultAction", "defaultErrnoRet", &r->p->default_action);
}

/* Calls that somebody else answers, over a descriptor that comes with the filter. */
static struct err *settle_listener(const struct reader *r, const struct json *j) {
    const char *path, *metadata;
    bool notifies = false;
    TRY(json_get_str_opt(j, "listenerPath", NULL, &path));
    TRY(json_get_str_opt(j, "listenerMetadata", NULL, &metadata));
    if (metadata && *metadata && !(path && *path))
        return err_new(ERR_USAGE, "listenerMetadata is given without a listenerPath");
    if (r->p->default_action == SECCOMP_RET_USER_NOTIF)
        return err_hint(err_new(ERR_UNSUPPORTED, "SCMP_ACT_NOTIFY cannot be the default action"),
                        "name the system calls that are to be answered by the listener");
    for (size_t i = 0; i < r->p->n_rules; i++)
        notifies |= r->p->rules[i].action == SECCOMP_RET_USER_NOTIF;
    if (!notifies)
        return NULL;
    r->p->flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    return path && *path ? NULL
                         : err_hint(err_new(ERR_USAGE, "SCMP_ACT_NOTIFY without a listenerPath"),
                                    "name the socket of who answers the system calls");
}

static struct err *read_profile(const struct reader *r, const struct json *j) {
    struct json *calls;
    const char *action;
    size_t i = 0;
    TRY(json_get_array_opt(j, "syscalls", &calls));
    TRY(json_get_str_opt(j, "defaultAction", "", &action));
    r->p->unconfined = !*action && !json_count(calls);
    if (r->p->unconfined)
        return NULL;
    TRY(read_head(r, j));
    JSON_EACH(it, calls) {
        TRY_CTX(read_syscall(r, it), "syscalls[%zu]", i);
        i++;
    }
    return settle_listener(r, j);
}

struct err *seccomp_profile_parse(const struct json *j, uint64_t caps, enum seccomp_arch native,
                                  struct seccomp_profile *ret) {
    if (!seccomp_family(native))
        return err_hint(err_new(ERR_UNSUPPORTED, "no table of system calls for this architecture"),
                        "use --security-opt seccomp=unconfined");
    if (json_type(j) != JSON_OBJECT)
        return err_new(ERR_CORRUPT, "seccomp profile: expected an object");
    struct seccomp_profile p = {.arches = SECCOMP_ARCH_BIT(native)};
    const struct reader r = {.caps = caps, .native = native, .p = &p};
    struct err *e = read_profile(&r, j);
    if (e) {
        seccomp_profile_done(&p);
        return err_wrap(e, "seccomp profile");
    }
    *ret = p;
    return NULL;
}
