/*
 * The summary: what ps and the lifecycle commands read of every container. Kept small: it is parsed a thousand times.
 */
#include "spec/spec_int.h"

#include "base/clock.h"

/* docker's ps: path and arguments, those with spaces in single quotes. */
static char *command_text(const struct strv *args) {
    autostr struct str s = STR_INIT;
    for (size_t i = 0; i < args->n; i++)
        str_appendf(&s, i && strchr(args->v[i], ' ') ? "%s'%s'" : "%s%s", i ? " " : "", args->v[i]);
    return str_take(&s);
}

static struct json *mounts(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_mounts; i++) {
        if (x->mounts[i].from == SPEC_FROM_TMPFS)
            continue;
        const struct spec_user_mount *u = &x->mounts[i];
        bool volume = u->m.type == SPEC_MOUNT_VOLUME;
        struct json *m = json_object();
        json_set_str(m, volume ? "Name" : "Source", u->m.source ? u->m.source : "");
        json_set_str(m, "Destination", u->m.target);
        if (u->anonymous)
            json_set_bool(m, "Anonymous", true);
        if (volume && u->m.read_only)
            json_set_bool(m, "ReadOnly", true);
        json_push(list, m);
    }
    return list;
}

static void set_command(const struct spec_ctx *x, struct json *s) {
    autofree char *text = command_text(&x->args);
    json_set_str(s, "Command", text);
    json_set_str(s, "Path", x->args.v[0]);
    struct json *args = json_array();
    for (size_t i = 1; i < x->args.n; i++)
        json_push_str(args, x->args.v[i]);
    json_set(s, "Args", args);
}

/* ["80/tcp"], of options and image; nothing for the many that expose none. */
static void set_exposed(const struct spec_ctx *x, struct json *s) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_ports; i++)
        json_push_str(list, x->ports[i].key);
    JSON_EACH(p, json_get(x->img, "ExposedPorts"))
    if (json_key(p))
        json_push_str(list, json_key(p));
    if (json_count(list))
        json_set(s, "Exposed", list);
    else
        json_free(list);
}

/* By which the sweep knows the layers that were made for it, and --userns auto the ids that are taken. */
static struct json *id_map(const struct spec_input *in) {
    struct json *m = json_object();
    char name[65];
    autoerr none = idmap_name(in->map, name);
    if (!none)
        json_set_str(m, "Name", name);
    json_set_bool(m, "Auto", in->map_auto);
    idmap_to_json(in->map, m);
    return m;
}

struct json *spec_emit_summary(const struct spec_ctx *x) {
    const struct spec_input *in = x->in;
    const struct config *c = in->config;
    const struct strv none = {0};
    struct json *s = json_object();
    autostr struct str created = STR_INIT;
    clock_format_rfc3339(in->created, &created);
    json_set_str(s, "Id", in->id);
    json_set_str(s, "Name", in->name);
    json_set_str(s, "Image", in->image_id);
    json_set_str(s, "ImageName", in->image_name);
    set_command(x, s);
    json_set_str(s, "Created", str_c(&created));
    json_set_int(s, "CreatedNs", in->created);
    json_set_strmap(s, "Labels", &x->labels);
    if (in->rootfs) {
        json_set_str(s, "Rootfs", in->rootfs);
        json_set_bool(s, "RootfsOverlay", in->rootfs_overlay);
    }
    if (in->map)
        json_set(s, "IdMap", id_map(in));
    if (x->label.process) {
        json_set_str(s, "ProcessLabel", x->label.process);
        json_set_str(s, "MountLabel", x->label.file);
    }
    json_set_strv(s, "Layers", in->layers ? in->layers : &none);
    json_set_bool(s, "Tty", x->o->tty);
    json_set_bool(s, "OpenStdin", x->o->interactive);
    json_set_bool(s, "StdinOnce", x->o->interactive && x->o->attach_stdin);
    json_set_bool(s, "AutoRemove", x->o->rm);
    json_set_str(s, "StopSignal", *x->stop_signal ? x->stop_signal : "SIGTERM");
    json_set_int(s, "StopTimeout", x->o->stop_timeout >= 0 ? x->o->stop_timeout : 10);
    json_set_str(s, "NetworkMode", x->net_name);
    json_set_bool(s, "Networked", x->n_endpoints > 0);
    set_exposed(x, s);
    json_set(s, "Mounts", mounts(x));
    struct json *trees = spec_emit_trees(x);
    if (trees)
        json_set(s, "Trees", trees);
    if (!str_eq(x->restart, "no"))
        json_set(s, "RestartPolicy", spec_restart_json(x->restart, x->restart_max));
    json_set_str(s, "LogDriver", x->log_driver);
    json_set_strmap(s, "LogOpts", &x->log_opts);
    if (x->log_attrs.n)
        json_set_strmap(s, "LogAttrs", &x->log_attrs);
    if (x->log_tag)
        json_set_str(s, "LogTag", x->log_tag);
    json_set_str(s, "Driver", c && c->storage_driver ? c->storage_driver : "overlay");
    return s;
}
