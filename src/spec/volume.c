/* -v and --device: colon-separated grammars. */
#include "spec/spec_int.h"

#include "base/path.h"

void spec_mount_done(struct spec_mount *m) {
    mem_set(&m->source, NULL);
    mem_set(&m->target, NULL);
    mem_set(&m->propagation, NULL);
    mem_set(&m->consistency, NULL);
    strv_done(&m->options);
}

struct spec_mount spec_mount_take(struct spec_mount *m) {
    struct spec_mount taken = *m;
    *m = (struct spec_mount){.type = taken.type};
    return taken;
}

static void mount_donep(struct spec_mount *m) { spec_mount_done(m); }

struct err *spec_mount_err(const char *type, struct err *take_cause) {
    return err_wrap(take_cause, "invalid mount config for type \"%s\"", type);
}

struct err *spec_check_target(const char *path, char **ret) {
    if (*path != '/')
        return err_new(ERR_USAGE, "invalid mount path: '%s' mount path must be absolute", path);
    autofree char *clean = path_clean(path);
    if (str_eq(clean, "/"))
        return err_new(ERR_USAGE, "invalid specification: destination can't be '/'");
    *ret = take_ptr(&clean);
    return NULL;
}

static bool is_volume_name(const char *s) {
    static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return strlen(s) >= 2 && *s != '_' && *s != '.' && *s != '-' && s[strspn(s, set)] == '\0';
}

/* What a mode word of -v is about: each kind may come once. docker's words first, then podman's. */
enum mode_kind {
    MODE_ACCESS,
    MODE_PROPAGATION,
    MODE_LABEL,
    MODE_COPY,
    MODE_CONSISTENCY,
    MODE_EXEC,
    MODE_SUID,
    MODE_DEV,
    MODE_DEPTH,
    MODE_OVERLAY,
    MODE_UPPER,
    MODE_WORK,
    MODE_CHOWN
};

static int mode_kind(const char *word) {
    static const struct {
        const char *word;
        int kind; /* enum mode_kind */
    } modes[] = {{"ro", MODE_ACCESS},
                 {"rw", MODE_ACCESS},
                 {"rshared", MODE_PROPAGATION},
                 {"rslave", MODE_PROPAGATION},
                 {"rprivate", MODE_PROPAGATION},
                 {"shared", MODE_PROPAGATION},
                 {"slave", MODE_PROPAGATION},
                 {"private", MODE_PROPAGATION},
                 {"z", MODE_LABEL},
                 {"Z", MODE_LABEL},
                 {"nocopy", MODE_COPY},
                 {"copy", MODE_COPY},
                 {"consistent", MODE_CONSISTENCY},
                 {"cached", MODE_CONSISTENCY},
                 {"delegated", MODE_CONSISTENCY},
                 {"exec", MODE_EXEC},
                 {"noexec", MODE_EXEC},
                 {"suid", MODE_SUID},
                 {"nosuid", MODE_SUID},
                 {"dev", MODE_DEV},
                 {"nodev", MODE_DEV},
                 {"O", MODE_OVERLAY},
                 {"U", MODE_CHOWN},
                 {"bind", MODE_DEPTH},
                 {"rbind", MODE_DEPTH}};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (str_eq(word, modes[i].word))
            return modes[i].kind;
    if (str_starts(word, "upperdir=/"))
        return MODE_UPPER;
    return str_starts(word, "workdir=/") ? MODE_WORK : -1;
}

static void apply_mode(struct spec_mount *m, const char *word, int kind) {
    if (kind == MODE_ACCESS)
        m->read_only = str_eq(word, "ro");
    else if (kind == MODE_PROPAGATION)
        mem_set(&m->propagation, word);
    else if (kind == MODE_COPY)
        m->no_copy = *word == 'n';
    else if (kind == MODE_CONSISTENCY)
        mem_set(&m->consistency, word);
    else if (kind == MODE_OVERLAY)
        m->overlay = true;
    else if (kind != MODE_DEPTH)
        strv_push(&m->options, word);
    else if (str_eq(word, "bind"))
        strv_push(&m->options, "bind-recursive=disabled");
}

/* The container's changes go to a directory of its own, or to two of the user's. */
static struct err *check_overlay(const struct spec_mount *m) {
    const char *upper = spec_mount_option(m, "upperdir"), *work = spec_mount_option(m, "workdir");
    if ((upper || work) && !m->overlay)
        return err_new(ERR_USAGE, "upperdir and workdir are about an overlay: they go with O");
    if (!upper != !work)
        return err_new(ERR_USAGE, "an overlay needs both or neither of upperdir and workdir");
    if (m->overlay && m->read_only)
        return err_new(ERR_USAGE, "an overlay is there to be written to: O and ro contradict each other");
    return NULL;
}

static bool valid_modes(const char *text) {
    autostrv struct strv words = {0};
    strv_split(&words, text, ',');
    unsigned seen = 0;
    for (size_t i = 0; i < words.n; i++) {
        int kind = mode_kind(words.v[i]);
        if (kind < 0 || seen & (1U << kind))
            return false;
        seen |= 1U << kind;
    }
    return true;
}

/* An empty mode ("a:/b:") is allowed, as docker's parser allows it. */
static struct err *parse_modes(const char *text, struct spec_mount *m) {
    if (!*text)
        return NULL;
    if (!valid_modes(text))
        return err_new(ERR_USAGE, "invalid mode: %s", text);
    autostrv struct strv words = {0};
    strv_split(&words, text, ',');
    for (size_t i = 0; i < words.n; i++)
        apply_mode(m, words.v[i], mode_kind(words.v[i]));
    if (m->type == SPEC_MOUNT_BIND && m->no_copy)
        return spec_mount_err("bind", err_new(ERR_USAGE, "field VolumeOptions must not be specified"));
    if (m->type == SPEC_MOUNT_VOLUME && (m->propagation || spec_mount_option(m, "bind-recursive")))
        return spec_mount_err("volume", err_new(ERR_USAGE, "field BindOptions must not be specified"));
    return check_overlay(m);
}

static struct err *bind_source(const char *source, const char *cwd, struct spec_mount *m) {
    m->type = SPEC_MOUNT_BIND;
    m->create_source = true;
    if (*source == '/') {
        m->source = path_clean(source);
        return NULL;
    }
    if (!cwd || *cwd != '/')
        return err_new(ERR_USAGE, "the relative path '%s' has nothing to be relative to: use an absolute path", source);
    autofree char *joined = path_join(cwd, source);
    m->source = path_clean(joined);
    return NULL;
}

static struct err *volume_source(const char *source, const char *cwd, struct spec_mount *m) {
    if (*source == '/' || *source == '.')
        return bind_source(source, cwd, m);
    m->type = SPEC_MOUNT_VOLUME;
    if (!is_volume_name(source))
        return err_hint(err_new(ERR_USAGE,
                                "\"%s\" includes invalid characters for a local volume name, only "
                                "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
                                source),
                        "if you intended to pass a host directory, use an absolute path, or one that starts with ./");
    m->source = mem_dup(source);
    return NULL;
}

static struct err *volume_fields(const struct strv *f, const char *cwd, struct spec_mount *m) {
    const char *target = f->n == 1 ? f->v[0] : f->v[1];
    if (f->n == 1)
        m->type = SPEC_MOUNT_VOLUME;
    else
        TRY(volume_source(f->v[0], cwd, m));
    struct err *e = spec_check_target(target, &m->target);
    if (e)
        return spec_mount_err(m->type == SPEC_MOUNT_BIND ? "bind" : "volume", e);
    return f->n == 3 ? parse_modes(f->v[2], m) : NULL;
}

struct err *spec_parse_volume(const char *text, const char *cwd, struct spec_mount *ret) {
    autostrv struct strv f = {0};
    strv_split(&f, text, ':');
    if (!*text)
        return err_new(ERR_USAGE, "invalid empty volume spec");
    for (size_t i = 0; i < f.n; i++)
        if (!*f.v[i])
            return err_new(ERR_USAGE, "invalid spec: %s: empty section between colons", text);
    /* "/foo:rw" is a destination with a mode, which docker refuses: an anonymous volume cannot have one. */
    bool mode_only = f.n == 2 && *f.v[1] && valid_modes(f.v[1]);
    if (f.n > 3 || mode_only)
        return err_new(ERR_USAGE, "invalid volume specification: '%s'", text);
    __attribute__((cleanup(mount_donep))) struct spec_mount m = {.tmpfs_size = -1, .tmpfs_mode = -1};
    TRY_CTX(volume_fields(&f, cwd, &m), "invalid volume specification: '%s'", text);
    *ret = spec_mount_take(&m);
    return NULL;
}

/* A non-empty set of r, w and m, each at most once. */
static bool device_perms(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > 3 || s[strspn(s, "rwm")])
        return false;
    for (size_t i = 1; i < n; i++)
        if (memchr(s, s[i], i))
            return false;
    return true;
}

struct err *spec_parse_device(const char *text, char **ret_host, char **ret_container, char **ret_perms) {
    autostrv struct strv f = {0};
    strv_split(&f, text, ':');
    if (f.n > 3 || !*f.v[0] || spec_has_control(text))
        return err_new(ERR_USAGE, "invalid device specification: %s", text);
    const char *target = f.v[0], *perms = "rwm";
    if (f.n >= 2 && (f.n == 3 || !device_perms(f.v[1])))
        target = f.v[1];
    else if (f.n == 2)
        perms = f.v[1];
    if (f.n == 3)
        perms = f.v[2];
    if (!device_perms(perms))
        return err_new(ERR_USAGE, "bad mode specified: %s", perms);
    if (*f.v[0] != '/' || *target != '/')
        return err_new(ERR_USAGE, "%s is not an absolute path", *f.v[0] == '/' ? target : f.v[0]);
    autofree char *clean = NULL;
    TRY_CTX(spec_check_target(target, &clean), "invalid device specification: %s", text);
    *ret_host = path_clean(f.v[0]);
    *ret_container = take_ptr(&clean);
    *ret_perms = mem_dup(perms);
    return NULL;
}
