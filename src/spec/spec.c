/* spec_build: the steps in order. Each step is pure; what one needs of another is said at its prototype. */
#include "spec/spec_int.h"

static void free_ports(struct spec_ctx *x) {
    for (size_t i = 0; i < x->n_ports; i++) {
        free(x->ports[i].key);
        free(x->ports[i].host_ip);
        free(x->ports[i].host_port);
    }
    free(x->ports);
}

static void free_files(struct spec_ctx *x) {
    for (size_t i = 0; i < x->n_mounts; i++)
        spec_mount_done(&x->mounts[i].m);
    free(x->mounts);
    for (size_t i = 0; i < x->n_devices; i++) {
        free(x->devices[i].host);
        free(x->devices[i].container);
        free(x->devices[i].perms);
    }
    free(x->devices);
}

void spec_ctx_done(struct spec_ctx *x) {
    struct strv *const lists[] = {&x->entrypoint, &x->cmd,    &x->args,     &x->config_env, &x->env,
                                  &x->unset_env,  &x->masked, &x->readonly, &x->extra_hosts};
    struct strmap *const maps[] = {&x->labels, &x->annotations, &x->sysctls, &x->log_opts, &x->log_attrs};
    char *const texts[] = {x->workdir,     x->user,    x->stop_signal, x->hostname, x->seccomp,     x->hosts_text,
                           x->resolv_text, x->log_tag, x->timezone,    x->pidfile,  x->passwd_line, x->group_line};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        strv_done(lists[i]);
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        strmap_done(maps[i]);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free(x->rlimits);
    json_free(x->health);
    json_free(x->health_plan);
    json_free(x->limits);
    free_files(x);
    free_ports(x);
    spec_endpoints_done(x);
    selinux_labels_done(&x->label);
}

void spec_free(struct spec *s) {
    if (!s)
        return;
    json_free(s->config);
    json_free(s->options);
    json_free(s->summary);
    json_free(s->network);
    json_free(s->volumes);
    strv_done(&s->warnings);
    free(s);
}
static void spec_freep(struct spec **s) { spec_free(*s); }

/* Sets and lists of an image are searched one by one below: no honest image comes near this. */
#define IMAGE_ENTRIES_MAX 10000

static struct err *check_image(const struct json *img) {
    static const char *const keys[] = {"Env", "ExposedPorts", "Volumes", "Labels"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (json_count(json_get(img, keys[i])) > IMAGE_ENTRIES_MAX)
            return err_new(ERR_CORRUPT, "image config: %s has more than %d entries", keys[i], IMAGE_ENTRIES_MAX);
    return NULL;
}

static struct err *resolve(struct spec_ctx *x) {
    static struct err *(*const steps[])(struct spec_ctx *) = {
        spec_resolve_namespaces, spec_resolve_process,  spec_resolve_env,     spec_resolve_labels,
        spec_resolve_caps,       spec_resolve_security, spec_resolve_rlimits, spec_resolve_resources,
        spec_resolve_sysctls,    spec_resolve_mounts,   spec_resolve_cdi,     spec_resolve_netfiles,
        spec_resolve_ports,      spec_resolve_restart,  spec_resolve_health,  spec_resolve_misc,
        spec_resolve_secrets,    spec_resolve_account,
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        TRY(steps[i](x));
    return NULL;
}

struct err *spec_build(const struct spec_input *in, struct spec **ret) {
    __attribute__((cleanup(spec_freep))) struct spec *s = mem_alloc(sizeof *s);
    __attribute__((cleanup(spec_ctx_done))) struct spec_ctx x = {.in = in, .o = in->options, .warnings = &s->warnings};
    struct json *img;
    TRY(spec_options_check(in->options));
    TRY_CTX(json_get_object_opt(in->image_config, "config", &img), "image config");
    TRY(check_image(img));
    x.img = img;
    TRY(resolve(&x));
    s->config = spec_emit_oci(&x);
    s->options = spec_emit_options(&x);
    s->summary = spec_emit_summary(&x);
    s->network = spec_emit_network(&x);
    s->volumes = spec_emit_volumes(&x);
    s->tty = in->options->tty;
    s->open_stdin = in->options->interactive;
    s->rm = in->options->rm;
    *ret = take_ptr(&s);
    return NULL;
}
