/* docker's Config object and the frame around it: what inspect shows. Names and order are those of docker 28. */
#include "spec/spec_int.h"

/* {"80/tcp": {}} of options and image. */
static struct json *exposed_ports(const struct spec_ctx *x) {
    struct json *ports = json_object();
    for (size_t i = 0; i < x->n_ports; i++)
        json_set(ports, x->ports[i].key, json_object());
    JSON_EACH(p, json_get(x->img, "ExposedPorts")) {
        if (json_key(p))
            json_set(ports, json_key(p), json_object());
    }
    return ports;
}

/* Those of the image, and -v without a source. */
static struct json *volumes(const struct spec_ctx *x) {
    autojson v = json_object();
    JSON_EACH(it, json_get(x->img, "Volumes"))
    if (json_key(it))
        json_set(v, json_key(it), json_object());
    for (size_t i = 0; i < x->o->volumes.n; i++)
        if (!strchr(x->o->volumes.v[i], ':'))
            json_set(v, x->o->volumes.v[i], json_object());
    return json_count(v) ? take_ptr(&v) : json_null();
}

static struct json *config(const struct spec_ctx *x) {
    const struct container_options *o = x->o;
    struct json *c = json_object(), *ports = exposed_ports(x);
    json_set_str(c, "Hostname", x->hostname);
    json_set_str(c, "Domainname", o->domainname ? o->domainname : "");
    json_set_str(c, "User", x->user);
    json_set_bool(c, "AttachStdin", o->attach_stdin);
    json_set_bool(c, "AttachStdout", o->attach_stdout);
    json_set_bool(c, "AttachStderr", o->attach_stderr);
    if (json_count(ports))
        json_set(c, "ExposedPorts", ports);
    else
        json_free(ports);
    json_set_bool(c, "Tty", o->tty);
    json_set_bool(c, "OpenStdin", o->interactive);
    json_set_bool(c, "StdinOnce", o->interactive && o->attach_stdin);
    json_set_strv(c, "Env", &x->config_env);
    spec_set_list(c, "Cmd", &x->cmd);
    if (x->health)
        json_set(c, "Healthcheck", json_copy(x->health));
    if (o->health_on_failure && *o->health_on_failure)
        json_set_str(c, "HealthcheckOnFailureAction", o->health_on_failure);
    json_set_str(c, "Image", o->image ? o->image : "");
    json_set(c, "Volumes", volumes(x));
    json_set_str(c, "WorkingDir", x->workdir);
    spec_set_list(c, "Entrypoint", &x->entrypoint);
    json_set(c, "OnBuild", json_null());
    json_set_strmap(c, "Labels", &x->labels);
    if (*x->stop_signal)
        json_set_str(c, "StopSignal", x->stop_signal);
    if (o->umask)
        json_set_str(c, "Umask", o->umask);
    if (o->tz)
        json_set_str(c, "Timezone", o->tz);
    if (o->stop_timeout >= 0)
        json_set_int(c, "StopTimeout", o->stop_timeout);
    return c;
}

struct json *spec_emit_options(const struct spec_ctx *x) {
    struct json *all = json_object(), *net = json_object();
    json_set(all, "Config", config(x));
    json_set(all, "HostConfig", spec_emit_host_config(x));
    json_set(net, "EndpointsConfig", json_object());
    json_set(all, "NetworkingConfig", net);
    json_set(all, "Mounts", spec_emit_mount_points(x));
    return all;
}
