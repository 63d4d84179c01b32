/* network: create, connect, disconnect and rm. */
#include "cli/cli_int.h"

#include <stddef.h>

#define SWARM "there is no swarm"

/* ---- create ---- */

struct create_opts {
    bool attachable, internal, ipv6;
    char *driver, *ipv4;
    struct strv gateways, ip_ranges, labels, options, subnets;
};
#define AT(m) offsetof(struct create_opts, m)

static const struct cli_flag create_flags[] = {
    {.name = "attachable",
     .type = CLI_BOOL,
     .offset = AT(attachable),
     .help = "Allow containers to be attached by hand"},
    {.name = "aux-address",
     .type = CLI_LIST,
     .metavar = "map",
     .standing = CLI_REFUSED,
     .reason = "keep such addresses out with --ip-range",
     .help = "Addresses that no container gets"},
    {.name = "config-from",
     .type = CLI_STRING,
     .standing = CLI_REFUSED,
     .reason = SWARM,
     .help = "Network to copy the configuration from"},
    {.name = "config-only",
     .type = CLI_BOOL,
     .standing = CLI_REFUSED,
     .reason = SWARM,
     .help = "Create a network that is only a configuration"},
    {.name = "driver",
     .letter = 'd',
     .type = CLI_STRING,
     .offset = AT(driver),
     .def = "bridge",
     .complete = CLI_COMPLETE_WORDS,
     .words = "bridge",
     .help = "Driver of the network"},
    {.name = "gateway", .type = CLI_LIST, .offset = AT(gateways), .metavar = "strings", .help = "Gateway of a subnet"},
    {.name = "ingress",
     .type = CLI_BOOL,
     .standing = CLI_REFUSED,
     .reason = SWARM,
     .help = "Create the routing mesh of a swarm"},
    {.name = "internal", .type = CLI_BOOL, .offset = AT(internal), .help = "Restrict external access to the network"},
    {.name = "ip-range",
     .type = CLI_LIST,
     .offset = AT(ip_ranges),
     .metavar = "strings",
     .help = "Give out addresses of this part of a subnet only"},
    {.name = "ipam-driver",
     .type = CLI_STRING,
     .standing = CLI_REFUSED,
     .reason = "there is one",
     .help = "Driver that gives out addresses"},
    {.name = "ipam-opt",
     .type = CLI_LIST,
     .metavar = "map",
     .standing = CLI_REFUSED,
     .reason = "the address driver has none",
     .help = "Options of the address driver"},
    {.name = "ipv4",
     .type = CLI_BOOL,
     .standing = CLI_IGNORED,
     .reason = "a network always has IPv4",
     .help = "Give out IPv4 addresses (default true)"},
    {.name = "ipv6", .type = CLI_BOOL, .offset = AT(ipv6), .help = "Give out IPv6 addresses"},
    {.name = "label", .type = CLI_LABEL, .offset = AT(labels), .help = "Set metadata on a network"},
    {.name = "opt",
     .letter = 'o',
     .type = CLI_LIST,
     .offset = AT(options),
     .metavar = "map",
     .help = "Set options of the driver"},
    {.name = "scope", .type = CLI_STRING, .standing = CLI_REFUSED, .reason = SWARM, .help = "Scope of the network"},
    {.name = "subnet", .type = CLI_LIST, .offset = AT(subnets), .metavar = "strings", .help = "Subnet in CIDR form"},
    {.name = NULL},
};

/* docker takes several values of one flag apart at commas. */
static void split_commas(const struct strv *typed, struct strv *out) {
    for (size_t i = 0; i < typed->n; i++)
        strv_split(out, typed->v[i], ',');
}

static struct err *run_create(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct create_opts *o = c->opts;
    autostrv struct strv subnets = {.n = 0};
    autostrv struct strv gateways = {.n = 0};
    autostrv struct strv ranges = {.n = 0};
    char id[ID_LEN + 1];
    split_commas(&o->subnets, &subnets);
    split_commas(&o->gateways, &gateways);
    split_commas(&o->ip_ranges, &ranges);
    const struct engine_network_new n = {.name = c->args[0],
                                         .driver = o->driver,
                                         .internal = o->internal,
                                         .ipv6 = o->ipv6,
                                         .attachable = o->attachable,
                                         .subnets = subnets,
                                         .gateways = gateways,
                                         .ip_ranges = ranges,
                                         .labels = o->labels,
                                         .options = o->options};
    TRY(engine_network_create(c->engine, &n, id));
    fprintf(c->out, "%s\n", id);
    return NULL;
}

const struct cmd cmd_network_create = {
    .name = "create",
    .group = "network",
    .summary = "Create a network",
    .usage = "[OPTIONS] NETWORK",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .flags = create_flags,
    .opts_size = sizeof(struct create_opts),
    .run = run_create,
};
#undef AT

/* ---- connect, disconnect ---- */

struct connect_opts {
    struct strv aliases, link_local;
    char *ip, *ip6;
    int64_t gw_priority;
};
#define AT(m) offsetof(struct connect_opts, m)

static const struct cli_flag connect_flags[] = {
    {.name = "alias",
     .type = CLI_LIST,
     .offset = AT(aliases),
     .metavar = "strings",
     .help = "Alias of the container within the network"},
    {.name = "driver-opt",
     .type = CLI_LIST,
     .metavar = "strings",
     .standing = CLI_REFUSED,
     .reason = "endpoints have no options",
     .help = "Options of the endpoint's driver"},
    {.name = "gw-priority",
     .type = CLI_INT,
     .offset = AT(gw_priority),
     .help = "The network with the highest priority gives the default gateway"},
    {.name = "ip", .type = CLI_STRING, .offset = AT(ip), .help = "IPv4 address (e.g., 172.30.100.104)"},
    {.name = "ip6", .type = CLI_STRING, .offset = AT(ip6), .help = "IPv6 address (e.g., 2001:db8::33)"},
    {.name = "link",
     .type = CLI_LIST,
     .standing = CLI_REFUSED,
     .reason = "containers of one network find each other by name",
     .help = "Link to another container"},
    {.name = "link-local-ip",
     .type = CLI_LIST,
     .offset = AT(link_local),
     .metavar = "strings",
     .help = "Link-local address of the container"},
    {.name = NULL},
};

static struct err *run_connect(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct connect_opts *o = c->opts;
    const struct engine_endpoint p = {
        .ip = o->ip, .ip6 = o->ip6, .aliases = o->aliases, .link_local = o->link_local, .gw_priority = o->gw_priority};
    return engine_network_connect(c->engine, c->args[0], c->args[1], &p);
}

const struct cmd cmd_network_connect = {
    .name = "connect",
    .group = "network",
    .summary = "Connect a container to a network",
    .usage = "[OPTIONS] NETWORK CONTAINER",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_NETWORKS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = connect_flags,
    .opts_size = sizeof(struct connect_opts),
    .run = run_connect,
};
#undef AT

struct force_opts {
    bool force;
};
#define AT(m) offsetof(struct force_opts, m)

static const struct cli_flag disconnect_flags[] = {
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = AT(force),
     .help = "Force the container to disconnect from the network"},
    {.name = NULL},
};

static struct err *run_disconnect(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    return engine_network_disconnect(c->engine, c->args[0], c->args[1]);
}

const struct cmd cmd_network_disconnect = {
    .name = "disconnect",
    .group = "network",
    .summary = "Disconnect a container from a network",
    .usage = "[OPTIONS] NETWORK CONTAINER",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_NETWORKS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = disconnect_flags,
    .opts_size = sizeof(struct force_opts),
    .run = run_disconnect,
};

/* ---- rm ---- */

static const struct cli_flag rm_flags[] = {
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = AT(force),
     .help = "Do not error if the network does not exist"},
    {.name = NULL},
};

static struct err *remove_one(struct cli_ctx *c, const char *name) {
    const struct force_opts *o = c->opts;
    struct err *e = engine_network_remove(c->engine, name);
    if (e && o->force && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    if (!e)
        fprintf(c->out, "%s\n", name);
    return e;
}

static struct err *run_rm(struct cli_ctx *c, int *ret_code) { return cli_each(c, remove_one, ret_code); }

const struct cmd cmd_network_rm = {
    .name = "rm",
    .group = "network",
    .aliases = "remove",
    .summary = "Remove one or more networks",
    .usage = "NETWORK [NETWORK...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_NETWORKS,
    .complete_rest = CLI_COMPLETE_NETWORKS,
    .flags = rm_flags,
    .opts_size = sizeof(struct force_opts),
    .run = run_rm,
};
