/* --secret: NAME[,type=mount|env][,target=T][,uid=N][,gid=N][,mode=OCTAL], podman's grammar. What a secret says comes
 * from the store; a container has its own copies, as files beside its record, which are bound where it wants them. */
#include "spec/secret.h"

#include "base/path.h"
#include "spec/spec_int.h"

#define SECRETS_DIR "/run/secrets"

void spec_secret_done(struct spec_secret *x) {
    free(x->name);
    free(x->target);
    *x = (struct spec_secret){.name = NULL};
}

static struct err *parse_number(const char *key, const char *value, int base, uint64_t max, uint32_t *ret) {
    uint64_t n;
    if (!str_to_u64(value, base, max, &n))
        return err_new(ERR_USAGE, "invalid %s \"%s\" of --secret", key, value);
    *ret = (uint32_t)n;
    return NULL;
}

static struct err *set_field(struct spec_secret *x, const char *key, const char *value) {
    bool env = str_eq(value, "env");
    if (str_eq(key, "source")) {
        mem_set(&x->name, value);
        return NULL;
    }
    if (str_eq(key, "type")) {
        x->env = env;
        return env || str_eq(value, "mount")
                   ? NULL
                   : err_new(ERR_USAGE, "type \"%s\" of --secret is invalid: mount or env", value);
    }
    if (str_eq(key, "target")) {
        mem_set(&x->target, value);
        return NULL;
    }
    x->mount_field = true;
    if (str_eq(key, "uid") || str_eq(key, "UID"))
        return parse_number("uid", value, 10, UINT32_MAX - 1, &x->uid);
    if (str_eq(key, "gid") || str_eq(key, "GID"))
        return parse_number("gid", value, 10, UINT32_MAX - 1, &x->gid);
    if (str_eq(key, "mode"))
        return parse_number("mode", value, 8, 07777, &x->mode);
    return err_new(ERR_USAGE, "option %s of --secret is not known: type, target, uid, gid, mode", key);
}

struct err *spec_parse_secret(const char *text, struct spec_secret *ret) {
    __attribute__((cleanup(spec_secret_done))) struct spec_secret x = {.mode = 0444};
    autostrv struct strv fields = {0};
    strv_split(&fields, text, ',');
    for (size_t i = 0; i < fields.n; i++) {
        char *eq = strchr(fields.v[i], '=');
        if (!eq && i > 0)
            return err_new(ERR_USAGE, "option %s of --secret must be in form option=value", fields.v[i]);
        if (!eq) {
            mem_set(&x.name, fields.v[i]);
            continue;
        }
        *eq = '\0';
        TRY(set_field(&x, fields.v[i], eq + 1));
    }
    if (!x.name || !*x.name)
        return err_new(ERR_USAGE, "--secret needs the name of a secret");
    if (x.env && x.mount_field)
        return err_new(ERR_USAGE, "uid, gid and mode of --secret cannot be used with type env");
    if (x.target && !*x.target)
        return err_new(ERR_USAGE, "the target of --secret is empty");
    if (!x.target)
        x.target = mem_dup(x.name);
    if (!x.env && *x.target != '/') {
        autofree char *joined = path_join(SECRETS_DIR, x.target);
        mem_set(&x.target, joined);
    }
    *ret = x;
    x = (struct spec_secret){.name = NULL};
    return NULL;
}

char *spec_secret_source(const char *containers_root, const char *id, size_t n) {
    return mem_printf("%s/containers/%s/" SPEC_SECRETS_DIR "/%zu", containers_root, id, n);
}

/* ---- in a spec ---- */

static struct err *env_of(struct spec_ctx *x, const struct spec_secret *s) {
    const char *value = json_str_value(json_get(x->in->secrets, s->name));
    if (!value)
        return err_new(ERR_UNSUPPORTED, "secret %s is no text: it cannot be a variable of the environment", s->name);
    autofree char *pair = mem_printf("%s=%s", s->target, value);
    strv_env_set(&x->env, pair);
    return NULL;
}

struct err *spec_resolve_secrets(struct spec_ctx *x) {
    for (size_t i = 0; i < x->o->secrets.n; i++) {
        __attribute__((cleanup(spec_secret_done))) struct spec_secret s = {0};
        TRY(spec_parse_secret(x->o->secrets.v[i], &s));
        if (!json_get(x->in->secrets, s.name))
            return err_hint(err_new(ERR_NOT_FOUND, "no secret with name or id \"%s\": no such secret", s.name),
                            "run 'coracle secret ls' to see what there is");
        if (s.env)
            TRY(env_of(x, &s));
    }
    return NULL;
}

/* Mount points below /run/secrets are of a tmpfs: nothing of them is left in the container's files. */
void spec_emit_secrets(const struct spec_ctx *x, spec_secret_fn *add, void *ctx) {
    bool dir = false;
    for (size_t i = 0; i < x->o->secrets.n; i++) {
        __attribute__((cleanup(spec_secret_done))) struct spec_secret s = {0};
        autoerr seen_before = spec_parse_secret(x->o->secrets.v[i], &s);
        if (seen_before || s.env)
            continue;
        if (!dir && str_starts(s.target, SECRETS_DIR "/") && !spec_mount_at(x, SECRETS_DIR)) {
            add(ctx, SECRETS_DIR, NULL);
            dir = true;
        }
        autofree char *source = spec_secret_source(x->in->containers_root, x->in->id, i);
        add(ctx, s.target, source);
    }
}
