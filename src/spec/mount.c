/* --mount (one line of CSV with key=value fields) and --tmpfs. */
#include "spec/spec_int.h"

#include <ctype.h>

#include "base/path.h"

struct mount_parse {
    struct spec_mount m;
    char *type; /* as typed, lower case */
    bool volume_opt, bind_opt, tmpfs_opt, image_opt;
    bool writable; /* said so: an image is read-only otherwise */
};

static void parse_donep(struct mount_parse *p) {
    spec_mount_done(&p->m);
    free(p->type);
}

/*
 * The quoted field that starts at `s` (behind its opening quote) into out; the end, or NULL when the quotes are wrong.
 */
static const char *csv_quoted(const char *s, struct str *out) {
    for (; *s; s++) {
        if (*s != '"')
            str_append_c(out, *s);
        else if (s[1] == '"')
            str_append_c(out, *s++);
        else
            return s[1] == ',' || !s[1] ? s + 1 : NULL;
    }
    return NULL;
}

/* One record of RFC 4180 fields: quotes only around whole fields, "" for a quote inside. A newline ends a record. */
struct err *spec_csv_split(const char *text, struct strv *out) {
    const char *s = text;
    for (;;) {
        autostr struct str field = STR_INIT;
        if (*s == '"') {
            s = csv_quoted(s + 1, &field);
        } else {
            size_t n = strcspn(s, ",");
            if (memchr(s, '\n', n))
                return err_new(ERR_USAGE, "a field with a newline needs quotes");
            s = memchr(s, '"', n) ? NULL : (str_append_n(&field, s, n), s + n);
        }
        if (!s)
            return err_new(ERR_USAGE, "bare or extraneous \" in a field");
        strv_push_take(out, str_take(&field));
        if (!*s)
            return NULL;
        s++;
    }
}

static bool one_of(const char *word, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(word, list[i]))
            return true;
    return false;
}

static struct err *bad_value(const char *key, const char *value) {
    return err_new(ERR_USAGE, "invalid value for %s: %s", key, value);
}

static struct err *set_read_only(struct mount_parse *p, const char *key, const char *value) {
    return spec_parse_bool(value, &p->m.read_only) ? NULL : bad_value(key, value);
}

/* podman's opposite of readonly. */
static struct err *set_writable(struct mount_parse *p, const char *key, const char *value) {
    if (!spec_parse_bool(value, &p->writable))
        return bad_value(key, value);
    p->m.read_only = !p->writable;
    return NULL;
}

static struct err *set_type(struct mount_parse *p, const char *key, const char *value) {
    (void)key;
    mem_set(&p->type, value);
    for (char *c = p->type; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return NULL;
}

static struct err *set_source(struct mount_parse *p, const char *key, const char *value) {
    (void)key;
    mem_set(&p->m.source, value);
    return NULL;
}

static struct err *set_target(struct mount_parse *p, const char *key, const char *value) {
    (void)key;
    mem_set(&p->m.target, value);
    return NULL;
}

static struct err *set_consistency(struct mount_parse *p, const char *key, const char *value) {
    (void)key;
    mem_set(&p->m.consistency, value);
    return NULL;
}

static struct err *set_propagation(struct mount_parse *p, const char *key, const char *value) {
    static const char *const words[] = {"private", "rprivate", "shared", "rshared", "slave", "rslave"};
    p->bind_opt = true;
    if (!one_of(value, words, ARRAY_LEN(words)))
        return bad_value(key, value);
    mem_set(&p->m.propagation, value);
    return NULL;
}

/* Kept as the option word "bind-recursive=…"; "enabled" is the default and leaves none. */
static struct err *set_recursive(struct mount_parse *p, const char *key, const char *value) {
    static const char *const words[] = {"disabled", "writable", "readonly", "enabled"};
    p->bind_opt = true;
    if (!one_of(value, words, ARRAY_LEN(words)))
        return err_new(ERR_USAGE,
                       "invalid value for %s: %s (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
                       key, value);
    if (!str_eq(value, "enabled"))
        strv_pushf(&p->m.options, "bind-recursive=%s", value);
    return NULL;
}

static struct err *set_nonrecursive(struct mount_parse *p, const char *key, const char *value) {
    bool off;
    if (!spec_parse_bool(value, &off))
        return bad_value(key, value);
    return set_recursive(p, key, off ? "disabled" : "enabled");
}

static struct err *set_nocopy(struct mount_parse *p, const char *key, const char *value) {
    p->volume_opt = true;
    return spec_parse_bool(value, &p->m.no_copy) ? NULL : bad_value(key, value);
}

static struct err *set_volume_opt(struct mount_parse *p, const char *key, const char *value) {
    p->volume_opt = true;
    strv_pushf(&p->m.options, "%s=%s", key, value);
    return NULL;
}

/* The source of a bind that is missing is made, as by -v. */
static struct err *set_create_source(struct mount_parse *p, const char *key, const char *value) {
    p->bind_opt = true;
    return spec_parse_bool(value, &p->m.create_source) ? NULL : bad_value(key, value);
}

static struct err *set_image_subpath(struct mount_parse *p, const char *key, const char *value) {
    (void)key;
    p->image_opt = true;
    strv_pushf(&p->m.options, "image-subpath=%s", value);
    return NULL;
}

/* podman's one word for both. Which it is stands in type=, maybe later. */
static struct err *set_subpath(struct mount_parse *p, const char *key, const char *value) {
    strv_pushf(&p->m.options, "%s=%s", key, value);
    return NULL;
}

/* noexec and the like. */
static struct err *set_attribute(struct mount_parse *p, const char *key, const char *value) {
    if (!str_eq(value, "true"))
        return bad_value(key, value);
    strv_push(&p->m.options, key);
    return NULL;
}

/* podman's word for z and Z. */
static struct err *set_relabel(struct mount_parse *p, const char *key, const char *value) {
    if (!str_eq(value, "shared") && !str_eq(value, "private"))
        return bad_value(key, value);
    strv_push(&p->m.options, *value == 's' ? "z" : "Z");
    return NULL;
}

/* podman's U: the source is given to the container's user. */
static struct err *set_chown(struct mount_parse *p, const char *key, const char *value) {
    bool on;
    if (!spec_parse_bool(value, &on))
        return bad_value(key, value);
    if (on && !strv_has(&p->m.options, SPEC_OPTION_CHOWN))
        strv_push(&p->m.options, SPEC_OPTION_CHOWN);
    return NULL;
}

static struct err *set_tmpfs_size(struct mount_parse *p, const char *key, const char *value) {
    p->tmpfs_opt = true;
    autoerr e = spec_parse_bytes(value, &p->m.tmpfs_size);
    return e ? bad_value(key, value) : NULL;
}

static struct err *set_tmpfs_mode(struct mount_parse *p, const char *key, const char *value) {
    uint64_t mode;
    p->tmpfs_opt = true;
    if (!str_to_u64(value, 8, 07777, &mode))
        return bad_value(key, value);
    p->m.tmpfs_mode = (int64_t)mode;
    return NULL;
}

static const struct {
    const char *key;
    struct err *(*set)(struct mount_parse *p, const char *key, const char *value);
    bool bare; /* may stand without a value */
} mount_keys[] = {
    {"type", set_type, false},
    {"source", set_source, false},
    {"src", set_source, false},
    {"target", set_target, false},
    {"dst", set_target, false},
    {"destination", set_target, false},
    {"readonly", set_read_only, true},
    {"ro", set_read_only, true},
    {"rw", set_writable, true},
    {"readwrite", set_writable, true},
    {"consistency", set_consistency, false},
    {"relabel", set_relabel, false},
    {"chown", set_chown, true},
    {"u", set_chown, true},
    {"exec", set_attribute, true},
    {"noexec", set_attribute, true},
    {"suid", set_attribute, true},
    {"nosuid", set_attribute, true},
    {"dev", set_attribute, true},
    {"nodev", set_attribute, true},
    {"bind-create-src", set_create_source, true},
    {"bind-propagation", set_propagation, false},
    {"bind-recursive", set_recursive, false},
    {"bind-nonrecursive", set_nonrecursive, true},
    {"volume-nocopy", set_nocopy, true},
    {"volume-label", set_volume_opt, false},
    {"volume-driver", set_volume_opt, false},
    {"volume-opt", set_volume_opt, false},
    {"volume-subpath", set_volume_opt, false},
    {"image-subpath", set_image_subpath, false},
    {"subpath", set_subpath, false},
    {"tmpfs-size", set_tmpfs_size, false},
    {"tmpfs-mode", set_tmpfs_mode, false},
};

static struct err *mount_field(struct mount_parse *p, const char *field) {
    size_t len = strcspn(field, "=");
    autofree char *key = mem_dupn(field, len);
    for (char *c = key; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    for (size_t i = 0; i < ARRAY_LEN(mount_keys); i++) {
        if (!str_eq(key, mount_keys[i].key))
            continue;
        if (!field[len] && !mount_keys[i].bare)
            break;
        return mount_keys[i].set(p, key, field[len] ? field + len + 1 : "true");
    }
    if (!field[len])
        return err_new(ERR_USAGE, "invalid field '%s' must be a key=value pair", field);
    return err_new(ERR_USAGE, "unexpected key '%s' in '%s'", key, field);
}

static const char *const type_names[] = {"bind", "volume", "tmpfs", "image"}; /* by enum spec_mount_type */

/* Without type= it is a volume. */
static struct err *mount_type(struct mount_parse *p) {
    const char *type = p->type ? p->type : "volume";
    size_t i = 0;
    while (i < ARRAY_LEN(type_names) && !str_eq(type, type_names[i]))
        i++;
    if (str_eq(type, "cluster"))
        return err_hint(
            spec_mount_err(type, err_new(ERR_UNSUPPORTED, "there are no cluster volumes without a cluster")),
            "type=volume is a volume of this machine");
    if (str_eq(type, "npipe"))
        return spec_mount_err(type, err_new(ERR_UNSUPPORTED, "named pipes are Windows' own"));
    if (i == ARRAY_LEN(type_names))
        return spec_mount_err(type, err_new(ERR_USAGE, "mount type unknown"));
    p->m.type = (enum spec_mount_type)i;
    return NULL;
}

static struct err *mixed_options(const struct mount_parse *p) {
    const struct {
        const char *family;
        bool used;
        enum spec_mount_type of;
    } families[] = {{"volume", p->volume_opt, SPEC_MOUNT_VOLUME},
                    {"bind", p->bind_opt, SPEC_MOUNT_BIND},
                    {"image", p->image_opt, SPEC_MOUNT_IMAGE},
                    {"tmpfs", p->tmpfs_opt, SPEC_MOUNT_TMPFS}};
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (families[i].used && p->m.type != families[i].of)
            return err_new(ERR_USAGE, "cannot mix '%s-*' options with mount type '%s'", families[i].family,
                           type_names[p->m.type]);
    return NULL;
}

/* docker: a read-only bind that must be so all the way down says so in both other options too. */
static struct err *recursive_readonly(const struct spec_mount *m) {
    if (!strv_has(&m->options, "bind-recursive=readonly"))
        return NULL;
    if (!m->read_only)
        return err_new(ERR_USAGE,
                       "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
    if (!str_eq(m->propagation, "rprivate"))
        return err_new(
            ERR_USAGE,
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
    return NULL;
}

static struct err *mount_fields_ok(struct spec_mount *m) {
    autofree char *target = NULL;
    TRY(spec_check_target(m->target, &target));
    mem_set(&m->target, target);
    bool has_source = m->source && *m->source;
    if ((m->type == SPEC_MOUNT_BIND || m->type == SPEC_MOUNT_IMAGE) && !has_source)
        return err_new(ERR_USAGE, "field Source must not be empty");
    if (m->type == SPEC_MOUNT_TMPFS && has_source)
        return err_new(ERR_USAGE, "field Source must not be specified");
    if (m->type == SPEC_MOUNT_BIND && *m->source != '/' && *m->source != '.')
        return err_new(ERR_USAGE, "invalid mount path: '%s' mount path must be absolute", m->source);
    if (!has_source)
        mem_set(&m->source, NULL);
    return NULL;
}

/* What depends on the type, which may have come last: the meaning of "subpath", and an image that is not written to. */
static struct err *settle_type(struct mount_parse *p) {
    struct spec_mount *m = &p->m;
    for (size_t i = 0; i < m->options.n; i++) {
        if (!str_starts(m->options.v[i], "subpath="))
            continue;
        if (m->type != SPEC_MOUNT_VOLUME && m->type != SPEC_MOUNT_IMAGE)
            return err_new(ERR_USAGE, "cannot mix 'subpath' with mount type '%s'", type_names[m->type]);
        autofree char *word = mem_printf("%s-%s", type_names[m->type], m->options.v[i]);
        mem_set(&m->options.v[i], word);
    }
    if (m->type != SPEC_MOUNT_IMAGE)
        return NULL;
    m->read_only = !p->writable;
    if (strv_has(&m->options, SPEC_OPTION_CHOWN))
        return err_new(ERR_USAGE, "cannot mix 'chown' with mount type 'image': its files have the image's owners");
    return NULL;
}

struct err *spec_parse_mount(const char *text, struct spec_mount *ret) {
    __attribute__((cleanup(parse_donep))) struct mount_parse p = {.m = {.tmpfs_size = -1, .tmpfs_mode = -1}};
    autostrv struct strv fields = {0};
    TRY(spec_csv_split(text, &fields));
    for (size_t i = 0; i < fields.n; i++)
        TRY(mount_field(&p, fields.v[i]));
    if (!p.m.target || !*p.m.target)
        return err_new(ERR_USAGE, "target is required");
    TRY(mount_type(&p));
    TRY(mixed_options(&p));
    TRY(settle_type(&p));
    TRY(recursive_readonly(&p.m));
    struct err *e = mount_fields_ok(&p.m);
    if (e)
        return spec_mount_err(type_names[p.m.type], e);
    *ret = spec_mount_take(&p.m);
    return NULL;
}

/* Taken from the user and left out: they name what is the case anyway, and the new mount interface has no word for
 * them. */
static bool tmpfs_default(const char *o) {
    static const char *const words[] = {"defaults", "async", "atime", "norelatime", "nostrictatime"};
    return one_of(o, words, ARRAY_LEN(words));
}

/* A flag or a key=value pair that docker lets a user give to a tmpfs. */
static bool tmpfs_option_ok(const char *o) {
    static const char *const flags[] = {
        "rw",       "ro",      "exec",    "noexec",   "suid",       "nosuid",     "dev",         "nodev",
        "sync",     "dirsync", "noatime", "diratime", "nodiratime", "relatime",   "strictatime", "private",
        "rprivate", "shared",  "rshared", "slave",    "rslave",     "unbindable", "runbindable", SPEC_OPTION_CHOWN};
    static const char *const keys[] = {"size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=", "mpol="};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_starts(o, keys[i]) && o[strlen(keys[i])])
            return true;
    return one_of(o, flags, ARRAY_LEN(flags));
}

static struct err *tmpfs_options(const char *text, struct spec_mount *m) {
    autostrv struct strv words = {0};
    strv_split(&words, text, ',');
    for (size_t i = 0; *text && i < words.n; i++) {
        if (tmpfs_default(words.v[i]))
            continue;
        if (!tmpfs_option_ok(words.v[i]) || spec_has_control(words.v[i]))
            return err_new(ERR_USAGE, "invalid tmpfs option \"%s\"", words.v[i]);
        if (str_eq(words.v[i], "ro") || str_eq(words.v[i], "rw"))
            m->read_only = words.v[i][1] == 'o';
        strv_push(&m->options, words.v[i]);
    }
    return NULL;
}

struct err *spec_parse_tmpfs(const char *text, struct spec_mount *ret) {
    __attribute__((cleanup(parse_donep))) struct mount_parse p = {
        .m = {.type = SPEC_MOUNT_TMPFS, .tmpfs_size = -1, .tmpfs_mode = -1}};
    size_t len = strcspn(text, ":");
    autofree char *path = mem_dupn(text, len);
    struct err *e = spec_check_target(path, &p.m.target);
    if (e)
        return spec_mount_err("tmpfs", e);
    if (text[len])
        TRY(tmpfs_options(text + len + 1, &p.m));
    *ret = spec_mount_take(&p.m);
    return NULL;
}
