/* cdi: see cdi.h. */
#include "spec/cdi.h"

#include "spec/spec_int.h"

/* ---- names ---- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_alnum(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }

/* Begins as `first` says, ends with a letter or digit, and has only these and `inner` between. */
static bool is_word(const char *s, size_t n, bool (*first)(char), const char *inner) {
    if (!n || !first(s[0]) || !is_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && !strchr(inner, s[i]))
            return false;
    return true;
}

static bool is_kind(const char *s, size_t n) {
    const char *slash = memchr(s, '/', n);
    size_t vendor = slash ? (size_t)(slash - s) : 0;
    return slash && is_word(s, vendor, is_letter, "_-.") && is_word(slash + 1, n - vendor - 1, is_letter, "_-");
}

static bool is_device(const char *s) { return is_word(s, strlen(s), is_alnum, "_-.:"); }

bool spec_cdi_is_name(const char *text) {
    const char *equals = strchr(text, '=');
    return equals && is_kind(text, (size_t)(equals - text)) && is_device(equals + 1);
}

/* ---- --gpus ---- */

static struct err *set_count(struct json *request, const char *text) {
    bool negative = *text == '-';
    int64_t n = -1;
    if (!str_eq(text, "all") && !str_to_i64(text + negative, 0, INT32_MAX, &n))
        return err_new(ERR_USAGE, "invalid count (%s): value must be either \"all\" or an integer", text);
    json_set_int(request, "Count", negative ? -n : n);
    return NULL;
}

static struct json *list_of(const char *text) {
    autostrv struct strv words = {.n = 0};
    struct json *list = json_array();
    strv_split(&words, text, ',');
    for (size_t i = 0; i < words.n; i++)
        json_push_str(list, words.v[i]);
    return list;
}

static void set_capabilities(struct json *request, struct json *take_list) {
    struct json *all = json_array();
    json_push_str(take_list, "gpu");
    json_push(all, take_list);
    json_set(request, "Capabilities", all);
}

static struct err *set_gpu_field(struct json *request, const char *key, const char *value, const char *field) {
    if (str_eq(key, "driver"))
        json_set_str(request, "Driver", value);
    else if (str_eq(key, "count"))
        return set_count(request, value);
    else if (str_eq(key, "device"))
        json_set(request, "DeviceIDs", list_of(value));
    else if (str_eq(key, "capabilities"))
        set_capabilities(request, list_of(value));
    else if (str_eq(key, "options"))
        return err_new(ERR_UNSUPPORTED, "options of a GPU driver are for a daemon's plugins: %s", field);
    else
        return err_new(ERR_USAGE, "unexpected key '%s' in '%s'", key, field);
    return NULL;
}

static struct json *no_request(void) {
    struct json *r = json_object();
    json_set_str(r, "Driver", "");
    json_set_int(r, "Count", 0);
    json_set(r, "DeviceIDs", json_null());
    set_capabilities(r, json_array());
    json_set(r, "Options", json_object());
    return r;
}

static struct err *parse_gpus(const char *text, struct json **ret) {
    autojson request = no_request();
    autostrv struct strv fields = {.n = 0}, seen = {.n = 0};
    TRY(spec_csv_split(text, &fields));
    for (size_t i = 0; i < fields.n; i++) {
        const char *field = fields.v[i], *equals = strchr(field, '=');
        autofree char *key = mem_dupn(field, strcspn(field, "="));
        if (strv_has(&seen, equals ? key : "count"))
            return err_new(ERR_USAGE, "gpu request key '%s' can be specified only once", key);
        strv_push(&seen, equals ? key : "count");
        TRY(equals ? set_gpu_field(request, key, equals + 1, field) : set_count(request, field));
    }
    if (!strv_has(&seen, "count") && !strv_has(&seen, "device"))
        json_set_int(request, "Count", 1);
    *ret = take_ptr(&request);
    return NULL;
}

struct err *spec_cdi_gpus(const char *text, struct json **ret) {
    return spec_invalid("--gpus", text, parse_gpus(text, ret));
}

/* ---- what a file says ---- */

const char *const spec_cdi_numbers[] = {"major", "minor", "fileMode", "uid", "gid", "timeout", "additionalGIDs", NULL};

static struct err *known_keys(const struct json *j, const char *const *known, size_t n) {
    JSON_EACH(it, j) {
        bool found = false;
        for (size_t i = 0; i < n; i++)
            found |= str_eq(known[i], json_key(it));
        if (!found)
            return err_new(ERR_USAGE, "unknown member \"%s\"", json_key(it));
    }
    return NULL;
}

static struct err *absolute(const struct json *j, const char *key, bool wanted) {
    const char *path;
    TRY(json_get_str_opt(j, key, NULL, &path));
    if (!path && !wanted)
        return NULL;
    if (!path || *path != '/' || spec_has_control(path))
        return err_new(ERR_USAGE, "%s is not an absolute path", key);
    return NULL;
}

static struct err *check_node(const struct json *j) {
    TRY(absolute(j, "path", true));
    return absolute(j, "hostPath", false);
}

static struct err *check_mount(const struct json *j) {
    autostrv struct strv options = {.n = 0};
    TRY(absolute(j, "containerPath", true));
    TRY(absolute(j, "hostPath", !str_eq(json_text(j, "type"), "tmpfs")));
    return json_get_strv_opt(j, "options", &options);
}

static struct err *check_hook(const struct json *j) {
    static const char *const names[] = {"prestart",       "createRuntime", "createContainer",
                                        "startContainer", "poststart",     "poststop"};
    autostrv struct strv list = {.n = 0};
    int64_t timeout;
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        found |= str_eq(names[i], json_text(j, "hookName"));
    if (!found)
        return err_new(ERR_USAGE, "there is no hook \"%s\"", json_text(j, "hookName"));
    TRY(json_get_strv_opt(j, "args", &list));
    TRY(json_get_strv_opt(j, "env", &list));
    TRY(json_get_i64_opt(j, "timeout", 0, &timeout));
    return absolute(j, "path", true);
}

static struct err *check_variable(const struct json *j) {
    const char *text = json_str_value(j), *equals = text ? strchr(text, '=') : NULL;
    return equals && equals != text ? NULL : err_new(ERR_USAGE, "a variable is not NAME=VALUE");
}

static struct err *check_group(const struct json *j) {
    int64_t gid = json_int_value(j, -1);
    return gid >= 0 && gid < UINT32_MAX ? NULL : err_new(ERR_USAGE, "a group is not a number");
}

static const struct part {
    const char *name;
    struct err *(*check)(const struct json *j);
} parts[] = {
    {"env", check_variable}, {"deviceNodes", check_node},     {"mounts", check_mount},
    {"hooks", check_hook},   {"additionalGIDs", check_group},
};

static struct err *check_edits(const struct json *edits) {
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        struct json *list;
        TRY(json_get_array_opt(edits, parts[i].name, &list));
        JSON_EACH(it, list)
        TRY_CTX(parts[i].check(it), "%s", parts[i].name);
    }
    JSON_EACH(it, edits) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
            found |= str_eq(parts[i].name, json_key(it));
        if (!found)
            return err_new(ERR_UNSUPPORTED, "\"%s\" of containerEdits is not for users without root", json_key(it));
    }
    return NULL;
}

static struct err *check_devices(const struct json *file) {
    static const char *const known[] = {"name", "annotations", "containerEdits"};
    struct json *devices, *edits;
    TRY(json_get_array(file, "devices", &devices));
    JSON_EACH(it, devices) {
        const char *name = json_text(it, "name");
        if (!is_device(name))
            return err_new(ERR_USAGE, "\"%s\" is no name of a device", name);
        TRY_CTX(known_keys(it, known, ARRAY_LEN(known)), "device %s", name);
        TRY_CTX(json_get_object_opt(it, "containerEdits", &edits), "device %s", name);
        TRY_CTX(check_edits(edits), "device %s", name);
    }
    return NULL;
}

static struct err *check_version(const struct json *file) {
    static const char *const versions[] = {"0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0",
                                           "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
    const char *version;
    TRY(json_get_str(file, "cdiVersion", &version));
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        if (str_eq(version + (*version == 'v'), versions[i]))
            return NULL;
    return err_new(ERR_UNSUPPORTED, "cdiVersion %s", version);
}

struct err *spec_cdi_check(const struct json *file) {
    static const char *const known[] = {"cdiVersion", "kind", "annotations", "devices", "containerEdits"};
    const char *kind;
    struct json *edits;
    if (json_type(file) != JSON_OBJECT)
        return err_new(ERR_USAGE, "not an object");
    TRY(check_version(file));
    TRY(json_get_str(file, "kind", &kind));
    if (!is_kind(kind, strlen(kind)))
        return err_new(ERR_USAGE, "kind \"%s\" is not vendor/class", kind);
    TRY(known_keys(file, known, ARRAY_LEN(known)));
    TRY(json_get_object_opt(file, "containerEdits", &edits));
    TRY(check_edits(edits));
    return check_devices(file);
}

/* ---- into the container ---- */

#define EACH_OF(it, edit, x, part)                                                                                     \
    JSON_EACH(edit, json_get((x)->in->cdi, "Edits"))                                                                   \
    JSON_EACH(it, json_get(edit, part))

static struct err *free_place(const struct spec_ctx *x, const char *path) {
    return spec_mount_at(x, path) ? err_new(ERR_USAGE, "duplicate mount point: %s is a CDI device's", path) : NULL;
}

struct err *spec_resolve_cdi(struct spec_ctx *x) {
    EACH_OF(it, edit, x, "env")
    strv_env_set(&x->env, json_str_value(it));
    EACH_OF(it, edit, x, "mounts")
    TRY(free_place(x, json_text(it, "containerPath")));
    EACH_OF(it, edit, x, "deviceNodes")
    TRY(free_place(x, json_text(it, "path")));
    return NULL;
}

static struct json *bound(const char *source, const char *target) {
    autostrv struct strv options = {.n = 0};
    struct json *m = json_object();
    strv_split(&options, "rbind,rprivate,nosuid,noexec", ',');
    json_set_str(m, "destination", target);
    json_set_str(m, "type", "bind");
    json_set_str(m, "source", source);
    json_set_strv(m, "options", &options);
    return m;
}

/* Without a type and without a word of it, it is a bind mount. */
static struct json *mount_of(const struct json *edit) {
    struct json *m = json_object(), *options = json_array();
    const char *type = json_text(edit, "type"), *source = json_text(edit, "hostPath");
    bool bind = false;
    JSON_EACH(it, json_get(edit, "options")) {
        bind |= str_eq(json_str_value(it), "bind") || str_eq(json_str_value(it), "rbind");
        json_push_str(options, json_str_value(it));
    }
    if (!bind && (!*type || str_eq(type, "bind")))
        json_push_str(options, "rbind");
    json_set_str(m, "destination", json_text(edit, "containerPath"));
    json_set_str(m, "type", *type && !bind ? type : "bind");
    json_set_str(m, "source", *source ? source : type);
    json_set(m, "options", options);
    return m;
}

void spec_emit_cdi_mounts(const struct spec_ctx *x, spec_mount_fn *add, void *ctx) {
    EACH_OF(it, edit, x, "deviceNodes") {
        const char *host = json_text(it, "hostPath");
        add(ctx, bound(*host ? host : json_text(it, "path"), json_text(it, "path")));
    }
    EACH_OF(it, edit, x, "mounts")
    add(ctx, mount_of(it));
}

struct json *spec_emit_cdi_hooks(const struct spec_ctx *x) {
    static const char *const members[] = {"path", "args", "env", "timeout"};
    struct json *hooks = NULL;
    EACH_OF(it, edit, x, "hooks") {
        const char *name = json_text(it, "hookName");
        struct json *hook = json_object();
        hooks = hooks ? hooks : json_object();
        if (!json_get(hooks, name))
            json_set(hooks, name, json_array());
        for (size_t i = 0; i < ARRAY_LEN(members); i++)
            if (json_get(it, members[i]))
                json_set(hook, members[i], json_copy(json_get(it, members[i])));
        json_push(json_get(hooks, name), hook);
    }
    return hooks;
}

void spec_emit_cdi_groups(const struct spec_ctx *x, struct json *groups) {
    EACH_OF(it, edit, x, "additionalGIDs") {
        autofree char *gid = mem_printf("%lld", (long long)json_int_value(it, 0));
        if (!str_eq(gid, "0"))
            json_push_str(groups, gid);
    }
}
