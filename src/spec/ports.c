/* --publish and --expose. */
#include "spec/spec_int.h"

#include <arpa/inet.h>

struct range {
    unsigned first, last;
};

/* Go's strconv.ParseUint for 16 bits. */
static struct err *parse_port(const char *s, unsigned *ret) {
    int64_t port;
    if (!*s || s[strspn(s, "0123456789")])
        return err_new(ERR_USAGE, "strconv.ParseUint: parsing \"%s\": invalid syntax", s);
    if (!str_to_i64(s, 0, 65535, &port))
        return err_new(ERR_USAGE, "strconv.ParseUint: parsing \"%s\": value out of range", s);
    *ret = (unsigned)port;
    return NULL;
}

/* "80" or "80-90". */
static struct err *parse_range(const char *s, struct range *ret) {
    const char *dash = strchr(s, '-');
    autofree char *low = mem_dupn(s, dash ? (size_t)(dash - s) : strlen(s));
    struct range r = {0, 0};
    TRY(parse_port(low, &r.first));
    r.last = r.first;
    if (dash)
        TRY(parse_port(dash + 1, &r.last));
    if (r.last < r.first)
        return err_new(ERR_USAGE, "invalid range specified for port: %s", s);
    *ret = r;
    return NULL;
}

/* For a published port docker says only that it is wrong. */
static struct err *published_range(const char *s, const char *which, struct range *ret) {
    autoerr bad = parse_range(s, ret);
    return bad ? err_new(ERR_USAGE, "invalid %s: %s", which, s) : NULL;
}

static void push_port(struct spec_ctx *x, struct spec_port p) {
    if ((x->n_ports & (x->n_ports - 1)) == 0)
        x->ports = mem_resize(x->ports, x->n_ports ? x->n_ports * 2 : 1, sizeof *x->ports);
    x->ports[x->n_ports++] = p;
}

/* Cuts "/proto" off `text`; the default is tcp. */
static struct err *take_proto(char *text, const char **ret) {
    static const char *const protos[] = {"tcp", "udp", "sctp"};
    char *slash = strchr(text, '/');
    *ret = protos[0];
    if (!slash)
        return NULL;
    *slash = '\0';
    for (size_t i = 0; i < ARRAY_LEN(protos); i++)
        if (str_eq(slash + 1, protos[i])) {
            *ret = protos[i];
            return NULL;
        }
    return err_new(ERR_USAGE, "invalid proto: %s", slash + 1);
}

/* "[ip:][host]:container": cut from the right, since an IPv6 address holds colons too. */
static void cut_publish(char *text, const char **ret_ip, const char **ret_host, const char **ret_container) {
    *ret_ip = *ret_host = "";
    *ret_container = text;
    char *colon = strrchr(text, ':');
    if (!colon)
        return;
    *colon = '\0';
    *ret_container = colon + 1;
    *ret_host = text;
    colon = strrchr(text, ':');
    if (!colon)
        return;
    *colon = '\0';
    *ret_host = colon + 1;
    *ret_ip = text;
}

static struct err *check_ip(const char *text, char **ret) {
    size_t n = strlen(text);
    bool brackets = n > 2 && *text == '[' && text[n - 1] == ']';
    autofree char *ip = brackets ? mem_dupn(text + 1, n - 2) : mem_dup(text);
    unsigned char buf[sizeof(struct in6_addr)];
    if (*ip && inet_pton(AF_INET, ip, buf) != 1 && inet_pton(AF_INET6, ip, buf) != 1)
        return err_new(ERR_USAGE, "invalid IP address: %s", ip);
    *ret = take_ptr(&ip);
    return NULL;
}

static char *host_port(const char *host, struct range h, struct range c, unsigned i) {
    if (!*host)
        return mem_dup("");
    if (h.last - h.first == c.last - c.first)
        return mem_printf("%u", h.first + i);
    return mem_dup(host); /* one container port on any host port of a range */
}

static struct err *publish(struct spec_ctx *x, const char *text) {
    autofree char *copy = mem_dup(text);
    const char *proto, *raw_ip, *host, *container;
    TRY(take_proto(copy, &proto));
    cut_publish(copy, &raw_ip, &host, &container);
    if (!*container)
        return err_new(ERR_USAGE, "no port specified: %s<empty>", text);
    if (!*raw_ip && x->in->config && x->in->config->ip)
        raw_ip = x->in->config->ip;
    autofree char *ip = NULL;
    TRY(check_ip(raw_ip, &ip));
    struct range c, h = {0, 0};
    TRY(published_range(container, "containerPort", &c));
    if (*host)
        TRY(published_range(host, "hostPort", &h));
    if (*host && h.last - h.first != c.last - c.first && c.first != c.last)
        return err_new(ERR_USAGE, "invalid ranges specified for container and host Ports: %s and %s", container, host);
    for (unsigned i = 0; i <= c.last - c.first; i++)
        push_port(x, (struct spec_port){.key = mem_printf("%u/%s", c.first + i, proto),
                                        .host_ip = mem_dup(ip),
                                        .host_port = host_port(host, h, c, i)});
    return NULL;
}

static struct err *expose(struct spec_ctx *x, const char *text) {
    autofree char *copy = mem_dup(text);
    const char *proto;
    struct range r;
    if (strchr(text, ':'))
        return err_new(ERR_USAGE, "invalid port format for --expose: %s", text);
    TRY(take_proto(copy, &proto));
    TRY_CTX(parse_range(copy, &r), "invalid range format for --expose: %s, error", text);
    for (unsigned p = r.first; p <= r.last; p++)
        push_port(x, (struct spec_port){.key = mem_printf("%u/%s", p, proto)});
    return NULL;
}

/* libslirp and the relays know TCP and UDP. */
static struct err *publishable(const struct spec_ctx *x) {
    for (size_t i = 0; i < x->n_ports; i++)
        if (x->ports[i].host_port && str_ends(x->ports[i].key, "/sctp"))
            return err_hint(err_new(ERR_UNSUPPORTED, "port %s cannot be published without root", x->ports[i].key),
                            "SCTP works between containers of one network, and with --network host");
    return NULL;
}

/* Ranges multiply: more than this is a slip of the finger, and each becomes an object of inspect. */
#define PORTS_MAX 16384

struct err *spec_resolve_ports(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    for (size_t i = 0; i < o->publish.n; i++)
        TRY(publish(x, o->publish.v[i]));
    for (size_t i = 0; i < o->expose.n; i++)
        TRY(expose(x, o->expose.v[i]));
    if (x->n_ports > PORTS_MAX)
        return err_new(ERR_USAGE, "more than %d ports to publish or expose", PORTS_MAX);
    if (x->n_endpoints)
        return publishable(x);
    if (!o->publish.n && !o->publish_all)
        return NULL;
    if (x->net.mode == SPEC_NS_HOST)
        strv_push(x->warnings, "published ports are discarded when using host network mode");
    else if (x->net.mode == SPEC_NS_PATH)
        strv_push(x->warnings, "published ports have no effect in a network namespace of somebody else's");
    else
        strv_push(x->warnings, "published ports have no effect on network none");
    return NULL;
}
