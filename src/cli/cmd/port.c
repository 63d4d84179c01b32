/* port: what of a container is published where. */
#include "cli/cli_int.h"

#include <string.h>

static void print_address(FILE *out, const struct json *p) {
    const char *ip = json_str_value(json_get(p, "IP"));
    fprintf(out, strchr(ip, ':') ? "[%s]:%d\n" : "%s:%d\n", ip, (int)json_int_value(json_get(p, "PublicPort"), 0));
}

/* Published no more: another program has taken it while the helper of networks was being replaced. */
static void warn_lost(const char *container, const struct json *p) {
    const char *ip = json_text(p, "HostIp");
    log_warn("port %s%s%d/%s is no longer published for port %d of %s (%s); free it, then: coracle restart %s", ip,
             *ip ? ":" : "", (int)json_int_value(json_get(p, "PublicPort"), 0), json_text(p, "Type"),
             (int)json_int_value(json_get(p, "PrivatePort"), 0), container, json_text(p, "Lost"), container);
}

/* "80" and "80/tcp" ask for one port. */
static struct err *parse_wanted(const char *text, int64_t *ret_port, const char **ret_proto) {
    autofree char *number = mem_dupn(text, strcspn(text, "/"));
    const char *slash = strchr(text, '/');
    *ret_proto = slash ? slash + 1 : "tcp";
    if (!str_to_i64(number, 0, UINT16_MAX, ret_port))
        return err_new(ERR_USAGE, "invalid port '%s'", text);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autojson ports = NULL;
    int64_t port = 0;
    const char *proto = NULL;
    size_t found = 0;
    if (c->n_args > 1)
        TRY(parse_wanted(c->args[1], &port, &proto));
    TRY(engine_container_ports(c->engine, c->args[0], &ports));
    JSON_EACH(p, ports) {
        const char *type = json_str_value(json_get(p, "Type"));
        int64_t inside = json_int_value(json_get(p, "PrivatePort"), 0);
        if (proto && (inside != port || !str_eq(type, proto)))
            continue;
        if (json_get(p, "Lost")) {
            warn_lost(c->args[0], p);
            continue;
        }
        found++;
        if (!proto)
            fprintf(c->out, "%d/%s -> ", (int)inside, type);
        print_address(c->out, p);
    }
    if (proto && !found)
        return err_new(ERR_NOT_FOUND, "no public port '%s' published for %s", c->args[1], c->args[0]);
    return NULL;
}

const struct cmd cmd_port = {
    .name = "port",
    .group = "container",
    .top_level = true,
    .summary = "List port mappings or a specific mapping for the container",
    .usage = "CONTAINER [PRIVATE_PORT[/PROTO]]",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .run = run,
};
