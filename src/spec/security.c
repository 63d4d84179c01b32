/* --security-opt and what it decides: seccomp, no_new_privs, labels, masked and read-only paths. */
#include "spec/spec_int.h"

#include "base/path.h"

/* docker 28's lists. */
static const char *const masked_paths[] = {
    "/proc/asound",      "/proc/acpi",          "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

static void remove_word(struct strv *sv, const char *word) {
    for (size_t i = 0; i < sv->n;)
        if (str_eq(sv->v[i], word))
            strv_remove(sv, i);
        else
            i++;
}

static struct err *opt_seccomp(struct spec_ctx *x, const char *value) {
    if (str_eq(value, "unconfined") || str_eq(value, "builtin")) {
        mem_set(&x->seccomp, *value == 'u' ? "unconfined" : "default");
        return NULL;
    }
    autojson profile = NULL;
    struct err *e = json_parse(value, strlen(value), "seccomp profile", 0, &profile);
    if (e)
        return err_with_kind(err_wrap(e, "invalid --security-opt seccomp"), ERR_USAGE);
    if (json_type(profile) != JSON_OBJECT)
        return err_new(ERR_USAGE, "invalid --security-opt seccomp: the profile is not a JSON object");
    mem_set(&x->seccomp, value);
    return NULL;
}

static struct err *opt_no_new_privs(struct spec_ctx *x, const char *value) {
    if (!spec_parse_bool(value, &x->no_new_privs))
        return err_new(ERR_USAGE, "invalid --security-opt: \"no-new-privileges=%s\"", value);
    return NULL;
}

/* All of them together are resolve_label()'s. */
static struct err *opt_label(struct spec_ctx *x, const char *value) {
    (void)x;
    (void)value;
    return NULL;
}

/* As docker has it, nobody has a label where SELinux is not (docs/adr/selinux.md). What is typed stands in the place of
 * the label that is shared with the processes of another container. */
static struct err *resolve_label(struct spec_ctx *x) {
    const struct selinux_machine *s = x->in->selinux;
    autostrv struct strv options = {0};
    if (!selinux_wanted(x->o, x->in->config))
        return NULL;
    for (size_t i = 0; i < x->o->security_opt.n; i++) {
        const char *option = selinux_option(x->o->security_opt.v[i]);
        if (option)
            strv_push(&options, option);
    }
    if (!s) {
        if (!options.n)
            strv_push(x->warnings, "\"selinux-enabled\" has no effect: this machine has no SELinux");
        return NULL;
    }
    if (!options.n && s->same)
        selinux_same_as(s->same, &options);
    return selinux_resolve(s->policy, s->level, &options, &x->label);
}

static struct err *opt_apparmor(struct spec_ctx *x, const char *value) {
    x->apparmor = NULL;
    if (str_eq(value, "unconfined"))
        return NULL;
    if (x->in->apparmor)
        x->apparmor = value;
    else
        strv_pushf(x->warnings, "--security-opt apparmor=%s has no effect: this machine has no AppArmor", value);
    return NULL;
}

static struct err *opt_systempaths(struct spec_ctx *x, const char *value) {
    if (!str_eq(value, "unconfined"))
        return err_new(ERR_USAGE, "invalid --security-opt: \"systempaths=%s\"", value);
    strv_done(&x->masked);
    strv_done(&x->readonly);
    return NULL;
}

static struct err *opt_cgroups(struct spec_ctx *x, const char *value) {
    if (!spec_parse_bool(value, &x->writable_cgroups))
        return err_new(ERR_USAGE, "invalid --security-opt: \"writable-cgroups=%s\"", value);
    return NULL;
}

/* podman's spelling: "mask=/a:/b", "unmask=ALL" or "unmask=/a:/b". */
static struct err *each_path(struct spec_ctx *x, const char *key, const char *value) {
    autostrv struct strv paths = {0};
    strv_split(&paths, value, ':');
    for (size_t i = 0; i < paths.n; i++) {
        autofree char *clean = path_clean(paths.v[i]);
        if (*paths.v[i] != '/' || spec_has_control(clean))
            return err_new(ERR_USAGE, "invalid --security-opt: \"%s=%s\": '%s' is not an absolute path", key, value,
                           paths.v[i]);
        remove_word(&x->masked, clean);
        if (*key == 'm')
            strv_push(&x->masked, clean);
        else
            remove_word(&x->readonly, clean);
    }
    return NULL;
}

static struct err *opt_mask(struct spec_ctx *x, const char *value) { return each_path(x, "mask", value); }

static struct err *opt_unmask(struct spec_ctx *x, const char *value) {
    return str_eq(value, "ALL") ? opt_systempaths(x, "unconfined") : each_path(x, "unmask", value);
}

static const struct {
    const char *key;
    struct err *(*apply)(struct spec_ctx *x, const char *value);
} security_opts[] = {
    {"seccomp", opt_seccomp},
    {"no-new-privileges", opt_no_new_privs},
    {"label", opt_label},
    {"apparmor", opt_apparmor},
    {"systempaths", opt_systempaths},
    {"writable-cgroups", opt_cgroups},
    {"mask", opt_mask},
    {"unmask", opt_unmask},
};

static struct err *one_opt(struct spec_ctx *x, const char *text) {
    if (str_eq(text, "no-new-privileges"))
        return opt_no_new_privs(x, "true");
    if (str_eq(text, "disable"))
        return opt_label(x, text);
    /* The old form is "key:value"; a profile's text after '=' may hold colons. */
    size_t len = strcspn(text, "=");
    if (!text[len])
        len = strcspn(text, ":");
    autofree char *key = mem_dupn(text, len);
    if (!text[len] || !text[len + 1])
        return err_new(ERR_USAGE, "Invalid --security-opt: \"%s\"", text);
    for (size_t i = 0; i < ARRAY_LEN(security_opts); i++)
        if (str_eq(key, security_opts[i].key))
            return security_opts[i].apply(x, text + len + 1);
    return err_new(ERR_USAGE, "Invalid --security-opt: \"%s\"", text);
}

/* config.json's "seccomp-profile": its text was read by the caller. */
static struct err *configured_seccomp(struct spec_ctx *x) {
    const struct config *c = x->in->config;
    const char *profile = c ? c->seccomp_profile : NULL;
    if (!profile || !*profile || str_eq(profile, "builtin"))
        return NULL;
    if (str_eq(profile, "unconfined"))
        return opt_seccomp(x, profile);
    if (!x->in->seccomp_text)
        return err_new(ERR_NOT_FOUND, "the seccomp profile %s of the configuration was not read", profile);
    TRY_CTX(opt_seccomp(x, x->in->seccomp_text), "seccomp-profile %s", profile);
    return NULL;
}

struct err *spec_resolve_security(struct spec_ctx *x) {
    for (size_t i = 0; !x->o->privileged && i < ARRAY_LEN(masked_paths); i++)
        strv_push(&x->masked, masked_paths[i]);
    for (size_t i = 0; !x->o->privileged && i < ARRAY_LEN(readonly_paths); i++)
        strv_push(&x->readonly, readonly_paths[i]);
    mem_set(&x->seccomp, x->o->privileged ? "unconfined" : "default");
    x->no_new_privs = x->in->config && x->in->config->no_new_privileges;
    if (!x->o->privileged)
        TRY(configured_seccomp(x));
    for (size_t i = 0; i < x->o->security_opt.n; i++)
        TRY(one_opt(x, x->o->security_opt.v[i]));
    return resolve_label(x);
}
