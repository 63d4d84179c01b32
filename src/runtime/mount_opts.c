/*
 * mount_opts: the option words of an OCI mount, sorted into attributes, propagation and what the file system reads. The
 * recursive words of the specification 1.1 ("rro", "rnosuid") say what holds without the letter, too: attributes are
 * always set on all mounts below.
 */
#include <string.h>
#include <sys/mount.h>

#include "base/json.h"
#include "base/mem.h"
#include "runtime/runtime_int.h"

enum opt_kind {
    OPT_SET,         /* attributes to set */
    OPT_CLEAR,       /* attributes not to set after all */
    OPT_ATIME,       /* one of the atime modes */
    OPT_PROPAGATION, /* MS_* */
    OPT_BIND,        /* value 1: recursive */
    OPT_IDS,         /* the same */
    OPT_IGNORE       /* has no meaning for mounts of a user namespace */
};
static const struct opt {
    const char *name;
    enum opt_kind kind;
    uint64_t value;
} opts[] = {
    {"ro", OPT_SET, MOUNT_ATTR_RDONLY},
    {"rw", OPT_CLEAR, MOUNT_ATTR_RDONLY},
    {"nosuid", OPT_SET, MOUNT_ATTR_NOSUID},
    {"suid", OPT_CLEAR, MOUNT_ATTR_NOSUID},
    {"nodev", OPT_SET, MOUNT_ATTR_NODEV},
    {"dev", OPT_CLEAR, MOUNT_ATTR_NODEV},
    {"noexec", OPT_SET, MOUNT_ATTR_NOEXEC},
    {"exec", OPT_CLEAR, MOUNT_ATTR_NOEXEC},
    {"nosymfollow", OPT_SET, MOUNT_ATTR_NOSYMFOLLOW},
    {"nodiratime", OPT_SET, MOUNT_ATTR_NODIRATIME},
    {"diratime", OPT_CLEAR, MOUNT_ATTR_NODIRATIME},
    {"relatime", OPT_ATIME, MOUNT_ATTR_RELATIME},
    {"noatime", OPT_ATIME, MOUNT_ATTR_NOATIME},
    {"strictatime", OPT_ATIME, MOUNT_ATTR_STRICTATIME},
    {"private", OPT_PROPAGATION, MS_PRIVATE},
    {"rprivate", OPT_PROPAGATION, MS_PRIVATE},
    {"slave", OPT_PROPAGATION, MS_SLAVE},
    {"rslave", OPT_PROPAGATION, MS_SLAVE},
    {"shared", OPT_PROPAGATION, MS_SHARED},
    {"rshared", OPT_PROPAGATION, MS_SHARED},
    {"unbindable", OPT_PROPAGATION, MS_UNBINDABLE},
    {"runbindable", OPT_PROPAGATION, MS_UNBINDABLE},
    {"bind", OPT_BIND, 0},
    {"rbind", OPT_BIND, 1},
    {"idmap", OPT_IDS, 0},
    {"ridmap", OPT_IDS, 1},
    {"defaults", OPT_IGNORE, 0},
    {"async", OPT_IGNORE, 0},
    {"loud", OPT_IGNORE, 0},
    {"nomand", OPT_IGNORE, 0},
    {"noiversion", OPT_IGNORE, 0},
    {"tmpcopyup", OPT_IGNORE, 0},
    {"z", OPT_IGNORE, 0},
    {"Z", OPT_IGNORE, 0},
};

static void apply(struct mount_opts *ret, const struct opt *o) {
    switch (o->kind) {
    case OPT_SET:
        ret->attrs |= o->value;
        break;
    case OPT_CLEAR:
        ret->attrs &= ~o->value;
        break;
    case OPT_ATIME:
        ret->attrs = (ret->attrs & ~(uint64_t)MOUNT_ATTR__ATIME) | o->value;
        break;
    case OPT_PROPAGATION:
        ret->propagation = o->value;
        break;
    case OPT_BIND:
        ret->bind = true;
        ret->recursive = o->value != 0;
        break;
    case OPT_IDS:
        ret->ids_below = o->value != 0;
        break;
    case OPT_IGNORE:
        break;
    }
}

static bool is_word(const struct opt *o, const char *word) {
    bool recursive = *word == 'r' && (o->kind == OPT_SET || o->kind == OPT_CLEAR || o->kind == OPT_ATIME);
    return strcmp(o->name, word) == 0 || (recursive && strcmp(o->name, word + 1) == 0);
}

void mount_opts_parse(const struct json *options, struct mount_opts *ret) {
    *ret = (struct mount_opts){.attrs = 0};
    JSON_EACH(it, options) {
        const char *word = json_str_value(it);
        size_t i = 0;
        if (!word || !*word)
            continue;
        while (i < ARRAY_LEN(opts) && !is_word(&opts[i], word))
            i++;
        if (i < ARRAY_LEN(opts))
            apply(ret, &opts[i]);
        else
            strv_push(&ret->data, word);
    }
}

void mount_opts_done(struct mount_opts *o) { strv_done(&o->data); }
