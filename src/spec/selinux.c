/* selinux: see selinux.h. */
#include "spec/selinux.h"

#include <string.h>

#include "base/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "spec/spec.h"

enum part { PART_USER, PART_ROLE, PART_TYPE, PART_LEVEL, PARTS };
enum { LABEL_MAX = 200 }; /* what a mount option takes is 255 bytes */

void selinux_labels_done(struct selinux_labels *l) {
    free(l->process);
    free(l->file);
    free(l->layers);
    *l = (struct selinux_labels){.process = NULL};
}

static struct selinux_labels take_labels(struct selinux_labels *l) {
    struct selinux_labels taken = *l;
    *l = (struct selinux_labels){.process = NULL};
    return taken;
}

/* ---- what is asked for ---- */

const char *selinux_option(const char *security_opt) {
    if (str_eq(security_opt, "disable"))
        return security_opt;
    if (str_starts(security_opt, "label=") || str_starts(security_opt, "label:"))
        return security_opt + strlen("label=");
    return NULL;
}

bool selinux_wanted(const struct container_options *o, const struct config *c) {
    bool typed = false;
    for (size_t i = 0; i < o->security_opt.n; i++) {
        const char *option = selinux_option(o->security_opt.v[i]);
        if (str_eq(option, "disable"))
            return false;
        typed |= option != NULL;
    }
    if (typed || o->privileged || str_eq(o->pid, "host") || str_eq(o->ipc, "host"))
        return typed;
    return c && c->selinux_enabled;
}

/* ---- labels ---- */

/* Of a label's or an option's part. Nothing else is ever in one, and nothing that a mount option would end at. */
static bool is_part(const char *s, enum part part) {
    static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-,:";
    size_t n = strspn(s, set), plain = strcspn(s, ",:");
    return n && !s[n] && (part == PART_LEVEL || plain == n);
}

/* Where the part begins, NULL: the label ends before it. Levels have colons of their own. */
static const char *part_at(const char *label, enum part part) {
    for (int i = 0; label && i < (int)part; i++) {
        label = strchr(label, ':');
        label = label ? label + 1 : NULL;
    }
    return label;
}

static char *get_part(const char *label, enum part part) {
    const char *at = part_at(label, part);
    return at ? mem_dupn(at, part == PART_LEVEL ? strlen(at) : strcspn(at, ":")) : NULL;
}

static char *with_part(const char *label, enum part part, const char *value) {
    const char *at = part_at(label, part);
    if (!at)
        return mem_dup(label);
    const char *rest = part == PART_LEVEL ? "" : at + strcspn(at, ":");
    return mem_printf("%.*s%s%s", (int)(at - label), label, value, rest);
}

static bool is_label(const char *s) {
    if (strlen(s) > LABEL_MAX)
        return false;
    for (int i = 0; i < PARTS; i++) {
        autofree char *part = get_part(s, (enum part)i);
        if (part ? !is_part(part, (enum part)i) : i < PART_LEVEL)
            return false;
    }
    return true;
}

char *selinux_level(uint32_t number) {
    /* The pairs in the order of their higher category: of that one n there are n. */
    uint32_t high = 1;
    while (number >= high)
        number -= high++;
    return mem_printf("s0:c%u,c%u", (unsigned)number, (unsigned)high);
}

const char *selinux_level_of(const char *label) {
    const char *at = part_at(label, PART_LEVEL);
    return at ? at : "";
}

char *selinux_with_level(const char *label, const char *level) { return with_part(label, PART_LEVEL, level); }

char *selinux_shared(const char *file_label) { return selinux_with_level(file_label, "s0"); }

static const char *const words[PARTS] = {"user", "role", "type", "level"};

void selinux_same_as(const char *process_label, struct strv *options) {
    for (int i = 0; i < PARTS; i++) {
        autofree char *part = get_part(process_label, (enum part)i);
        if (part)
            strv_pushf(options, "%s:%s", words[i], part);
    }
}

static void set_part(char **label, enum part part, const char *value) {
    char *changed = with_part(*label, part, value);
    free(*label);
    *label = changed;
}

static struct err *bad_option(const char *option) {
    return err_new(ERR_USAGE,
                   "--security-opt: bad label option \"%s\", valid options 'disable' or 'user, role, level, type, "
                   "filetype' followed by ':' and a value",
                   option);
}

static struct err *apply(const char *option, struct selinux_labels *l) {
    const char *colon = strchr(option, ':');
    if (str_eq(option, "nested"))
        return err_hint(err_new(ERR_UNSUPPORTED, "--security-opt label=nested: a container that sets labels itself"),
                        "labels are the machine's, and a user may not hand them out; label=disable gives none");
    if (!colon)
        return bad_option(option);
    autofree char *key = mem_dupn(option, (size_t)(colon - option));
    const char *value = colon + 1;
    if (str_eq(key, "filetype") && is_part(value, PART_TYPE)) {
        set_part(&l->file, PART_TYPE, value);
        return NULL;
    }
    for (int i = 0; i < PARTS; i++) {
        if (!str_eq(key, words[i]) || !is_part(value, (enum part)i))
            continue;
        if (!part_at(l->process, (enum part)i))
            return err_new(ERR_UNSUPPORTED, "--security-opt label=%s: the policy of this machine has no levels",
                           option);
        set_part(&l->process, (enum part)i, value);
        if (i == PART_LEVEL || i == PART_USER)
            set_part(&l->file, (enum part)i, value);
        return NULL;
    }
    return bad_option(option);
}

struct err *selinux_resolve(const struct selinux_labels *policy, const char *level, const struct strv *options,
                            struct selinux_labels *ret) {
    autolabels l = {selinux_with_level(policy->process, level), selinux_with_level(policy->file, level),
                    mem_dup(policy->layers)};
    for (size_t i = 0; i < options->n; i++)
        TRY(apply(options->v[i], &l));
    if (strlen(l.process) > LABEL_MAX || strlen(l.file) > LABEL_MAX)
        return err_new(ERR_USAGE, "--security-opt label: a label of more than %d bytes", LABEL_MAX);
    *ret = take_labels(&l);
    return NULL;
}

/* ---- files of the policy ---- */

struct err *selinux_contexts_parse(const char *text, struct selinux_labels *ret) {
    autolabels l = {str_assigned(text, "process"), str_assigned(text, "file"), str_assigned(text, "ro_file")};
    if (!l.process || !l.file)
        return err_new(ERR_NOT_FOUND, "no label for the %s of containers", l.process ? "files" : "processes");
    l.layers = l.layers ? l.layers : selinux_shared(l.file);
    const char *const all[] = {l.process, l.file, l.layers};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (!is_label(all[i]))
            return err_new(ERR_CORRUPT, "\"%s\" is no label", all[i]);
    *ret = take_labels(&l);
    return NULL;
}

char *selinux_policy_name(const char *config_text) {
    autofree char *name = str_assigned(config_text, "SELINUXTYPE");
    return name && *name != '.' && is_part(name, PART_TYPE) ? take_ptr(&name) : NULL;
}

/* ---- relabelling ---- */

bool selinux_is_precious(const char *path, const char *home) {
    /* Those that docker and podman leave alone. */
    static const char *const system[] = {"/",        "/bin",        "/boot", "/dev", "/etc",     "/etc/passwd",
                                         "/etc/pki", "/etc/shadow", "/home", "/lib", "/lib64",   "/media",
                                         "/opt",     "/proc",       "/root", "/run", "/sbin",    "/srv",
                                         "/sys",     "/tmp",        "/usr",  "/var", "/var/lib", "/var/log"};
    for (size_t i = 0; i < ARRAY_LEN(system); i++)
        if (path_is_below(system[i], path))
            return true;
    return home && *home && path_is_below(home, path);
}
