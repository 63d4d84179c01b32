/*
 * fallback: the last rung of the ladder (docs/internals/networks.md). Where this machine can give containers no network
 * (no network namespaces, no bridges, a helper that cannot run), a container of the default network may run on the
 * host's, with a warning. Nothing that was asked for is dropped by that: where the container would be reachable at
 * other ports, or its walls or names would be gone, it does not start, and the error says what stands against it. Nor
 * does it where the machine has only run out of something, or the helper was killed: it would have its walls the next
 * time.
 */
#include "engine/engine_int.h"

#include <errno.h>
#include <string.h>

static const char level_host[] = "host", level_error[] = "error";

static const char *choice(const struct engine *e, const struct json *wanted) {
    const char *own = json_text(wanted, "fallback");
    if (*own)
        return own;
    return e->config->network_fallback ? e->config->network_fallback : level_host;
}

const char *engine_fallback_level(const struct engine *e) {
    return str_eq(choice(e, NULL), level_error) ? "none (--network-fallback=error)" : "host (--network-fallback=host)";
}

/* ---- what stands against it ---- */

static struct err *check_networks(const struct json *wanted) {
    JSON_EACH(w, json_get(wanted, "networks")) {
        const char *name = json_text(w, "network");
        if (!str_eq(name, "bridge"))
            return err_new(ERR_UNSUPPORTED, "network %s has names and walls that the host's network has not", name);
        if (*json_text(w, "mac"))
            return err_new(ERR_UNSUPPORTED, "it cannot have a MAC address of its own there");
    }
    return NULL;
}

static struct err *check_port(const struct json *p) {
    const char *host_ip = json_text(p, "host_ip"), *host_port = json_text(p, "host_port");
    autofree char *port = mem_printf("%d", (int)json_int_value(json_get(p, "port"), 0));
    if (*host_ip && !str_eq(host_ip, "0.0.0.0") && !str_eq(host_ip, "::"))
        return err_new(ERR_UNSUPPORTED, "there its port %s would be open at all addresses, not only at %s", port,
                       host_ip);
    if (*host_port && !str_eq(host_port, port))
        return err_new(ERR_UNSUPPORTED, "there its port %s cannot be published as %s", port, host_port);
    return NULL;
}

/* Those of the container's own; docker's default for ports below 1024 is the host's to decide then. */
static struct err *check_sysctls(const struct json *config) {
    JSON_EACH(it, json_path(config, "linux.sysctl")) {
        bool ours = str_eq(json_key(it), "net.ipv4.ip_unprivileged_port_start") && str_eq(json_str_value(it), "0");
        if (str_starts(json_key(it), "net.") && !ours)
            return err_new(ERR_UNSUPPORTED, "there --sysctl %s would be the host's own", json_key(it));
    }
    return NULL;
}

static struct err *check(const struct json *wanted, const struct json *config) {
    TRY(check_networks(wanted));
    if (json_count(json_get(wanted, "links")))
        return err_new(ERR_UNSUPPORTED, "there are no other containers to link to");
    JSON_EACH(p, json_get(wanted, "ports"))
    TRY(check_port(p));
    return check_sysctls(config);
}

/* ---- doing it ---- */

void engine_config_host_network(struct json *config) {
    struct json *section = json_get(config, "linux"), *left = json_array(), *sysctls = json_object();
    JSON_EACH(ns, json_get(section, "namespaces"))
    if (!str_eq(json_text(ns, "type"), "network"))
        json_push(left, json_copy(ns));
    JSON_EACH(it, json_get(section, "sysctl"))
    if (!str_starts(json_key(it), "net."))
        json_set(sysctls, json_key(it), json_copy(it));
    json_set(section, "namespaces", left);
    json_set(section, "sysctl", sysctls);
}

/* Why there are no networks; NULL when there are. */
static struct err *no_networks(struct engine *e) {
    autojson level = NULL;
    int fd = -1;
    autoerr other = engine_userns(e, &fd, NULL);
    return other ? NULL : net_level(e->host, fd, &level);
}

static bool is_passing(const struct err *why) {
    int code = err_errno(why);
    return code == ENOMEM || code == EAGAIN || code == EMFILE || code == ENFILE || code == ECONNRESET;
}

struct err *engine_fallback(struct engine *e, const struct engine_container *c, struct err *take_failed) {
    struct err *why = no_networks(e);
    if (!why)
        return take_failed;
    err_free(take_failed);
    if (is_passing(why))
        return why;
    autojson wanted = NULL;
    autojson config = NULL;
    autoerr unread = json_read_file(c->dirfd, NETWORK_FILE, &wanted);
    if (!unread)
        unread = json_read_file(c->dirfd, "config.json", &config);
    if (unread || str_eq(choice(e, wanted), level_error))
        return err_wrap(why, "this machine has no networks for containers");
    autoerr against = check(wanted, config);
    autostr struct str text = STR_INIT;
    if (against) {
        err_format(against, &text);
        return err_wrap(why,
                        "this machine has no networks for containers, and container %s cannot run on the host's: %s",
                        engine_container_name(c), str_c(&text));
    }
    err_format(why, &text);
    err_free(why);
    log_warn("this machine has no networks for containers (%s): container %s runs on the host's network, with the "
             "host's loopback and abstract sockets in reach; --network-fallback=error refuses that",
             str_c(&text), engine_container_name(c));
    return NULL;
}
