/* The texts of /etc/hosts and /etc/resolv.conf. */
#include "spec/spec_int.h"

#include <arpa/inet.h>
#include <ctype.h>

static bool is_ip(const char *s) {
    unsigned char buf[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, s, buf) == 1 || inet_pton(AF_INET6, s, buf) == 1;
}

/* What host-gateway stands for is known when the network is: then it is put in. */
static struct err *gateway(const struct spec_ctx *x, char **ret_ip) {
    if (x->net.mode == SPEC_NS_HOST)
        mem_set(ret_ip, "127.0.0.1");
    else if (!x->n_endpoints)
        return err_hint(
            err_new(ERR_UNSUPPORTED, "--add-host host-gateway: the container has no way to the host without a network"),
            "use a network, --network host, or an address");
    return NULL;
}

static struct err *add_host(struct spec_ctx *x, const char *text) {
    size_t len = strcspn(text, "=");
    if (!text[len])
        len = strcspn(text, ":");
    autofree char *name = mem_dupn(text, len);
    if (!text[len] || !*name || strchr(name, ':') || strpbrk(name, " #") || spec_has_control(name))
        return err_new(ERR_USAGE, "bad format for add-host: \"%s\"", text);
    autofree char *ip = mem_dup(text + len + 1);
    size_t n = strlen(ip);
    if (n > 2 && *ip == '[' && ip[n - 1] == ']') {
        char *inner = mem_dupn(ip + 1, n - 2);
        free(ip);
        ip = inner;
    }
    if (str_eq(ip, "host-gateway"))
        TRY(gateway(x, &ip));
    else if (!is_ip(ip))
        return err_new(ERR_USAGE, "invalid IP address in add-host: \"%s\"", ip);
    strv_pushf(&x->extra_hosts, "%s:%s", name, ip);
    return NULL;
}

/* docker's file. The lines of the container's own addresses come when it has them. */
static void hosts(struct spec_ctx *x) {
    autostr struct str s = STR_INIT;
    if (x->net.mode == SPEC_NS_HOST && x->in->host_hosts) {
        str_append(&s, x->in->host_hosts);
        if (s.len && s.ptr[s.len - 1] != '\n')
            str_append_c(&s, '\n');
    } else {
        str_append(&s, "127.0.0.1\tlocalhost\n"
                       "::1\tlocalhost ip6-localhost ip6-loopback\n"
                       "fe00::\tip6-localnet\n"
                       "ff00::\tip6-mcastprefix\n"
                       "ff02::1\tip6-allnodes\n"
                       "ff02::2\tip6-allrouters\n");
    }
    for (size_t i = 0; i < x->extra_hosts.n; i++) {
        size_t len = strcspn(x->extra_hosts.v[i], ":");
        str_appendf(&s, "%s\t%.*s\n", x->extra_hosts.v[i] + len + 1, (int)len, x->extra_hosts.v[i]);
    }
    x->hosts_text = str_take(&s);
}

struct resolv {
    struct strv servers, search, options;
};

static void resolv_done(struct resolv *r) {
    strv_done(&r->servers);
    strv_done(&r->search);
    strv_done(&r->options);
}

/* A server on the host's own loopback is out of reach from another network namespace. */
static bool is_loopback(const char *server) { return str_starts(server, "127.") || str_eq(server, "::1"); }

/* The words of `s` after its first one, appended. */
static void push_words(const char *s, struct strv *out) {
    s += strcspn(s, " \t");
    for (s += strspn(s, " \t"); *s; s += strspn(s, " \t")) {
        size_t n = strcspn(s, " \t");
        strv_push_take(out, mem_dupn(s, n));
        s += n;
    }
}

static void resolv_line(const char *line, bool drop_loopback, struct resolv *r) {
    autostrv struct strv words = {0};
    push_words(line, &words);
    if (str_starts(line, "nameserver") && words.n && !(drop_loopback && is_loopback(words.v[0]))) {
        strv_push(&r->servers, words.v[0]);
    } else if (str_starts(line, "search") || str_starts(line, "domain")) {
        strv_done(&r->search); /* the last one counts */
        strv_extend(&r->search, &words);
    } else if (str_starts(line, "options")) {
        strv_extend(&r->options, &words);
    }
}

/* The host's file; what JSON cannot carry is left out. */
static void read_host(const struct spec_ctx *x, struct resolv *r) {
    const char *s = x->in->host_resolv ? x->in->host_resolv : "";
    while (*s) {
        size_t len = strcspn(s, "\n");
        size_t keep = len && s[len - 1] == '\r' ? len - 1 : len;
        autofree char *line = mem_dupn(s, keep);
        if (str_utf8_ok(line, keep))
            resolv_line(line, x->net.mode != SPEC_NS_HOST, r);
        s += len + (s[len] == '\n');
    }
}

/* Labels of letters, digits and inner dashes, with a letter somewhere; or "." for no search at all. */
static bool is_domain(const char *s) {
    bool letter = false;
    if (str_eq(s, "."))
        return true;
    if (strlen(s) > 255)
        return false;
    for (const char *label = s; *label;) {
        size_t n = strcspn(label, ".");
        if (n == 0 || *label == '-' || label[n - 1] == '-')
            return false;
        for (size_t i = 0; i < n; i++) {
            if (!isalnum((unsigned char)label[i]) && label[i] != '-')
                return false;
            letter = letter || isalpha((unsigned char)label[i]);
        }
        label += n + (label[n] == '.');
    }
    return letter;
}

static struct err *check_dns(const struct container_options *o) {
    for (size_t i = 0; i < o->dns.n; i++)
        if (!is_ip(o->dns.v[i]))
            return spec_invalid("--dns", o->dns.v[i],
                                err_new(ERR_USAGE, "IP address is not correctly formatted: %s", o->dns.v[i]));
    for (size_t i = 0; i < o->dns_search.n; i++)
        if (!is_domain(o->dns_search.v[i]))
            return spec_invalid("--dns-search", o->dns_search.v[i],
                                err_new(ERR_USAGE, "%s is not a valid domain", o->dns_search.v[i]));
    for (size_t i = 0; i < o->dns_option.n; i++)
        if (!*o->dns_option.v[i] || spec_has_control(o->dns_option.v[i]) || strpbrk(o->dns_option.v[i], " #;"))
            return err_new(ERR_USAGE, "invalid value for --dns-option: '%s'", o->dns_option.v[i]);
    return NULL;
}

/* A flag's list replaces the configured one, which replaces the host's. */
static void override(struct strv *current, const struct strv *flag, const struct strv *configured) {
    const struct strv *from = flag->n ? flag : configured;
    if (!from || !from->n)
        return;
    strv_done(current);
    strv_extend(current, from);
}

static void resolv_text(struct spec_ctx *x, const struct resolv *r) {
    autostr struct str s = STR_INIT;
    for (size_t i = 0; i < r->servers.n; i++)
        str_appendf(&s, "nameserver %s\n", r->servers.v[i]);
    autofree char *search = strv_join(&r->search, " "), *options = strv_join(&r->options, " ");
    if (*search && !str_eq(search, "."))
        str_appendf(&s, "search %s\n", search);
    if (*options)
        str_appendf(&s, "options %s\n", options);
    x->resolv_text = str_take(&s);
}

struct err *spec_resolve_netfiles(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    const struct config *c = x->in->config;
    for (size_t i = 0; i < o->add_host.n; i++)
        TRY(spec_invalid("--add-host", o->add_host.v[i], add_host(x, o->add_host.v[i])));
    hosts(x);
    TRY(check_dns(o));
    bool chosen =
        o->dns.n || o->dns_search.n || o->dns_option.n || (c && (c->dns.n || c->dns_search.n || c->dns_opts.n));
    if (x->net.mode == SPEC_NS_HOST && !chosen)
        return NULL;
    __attribute__((cleanup(resolv_done))) struct resolv r = {0};
    read_host(x, &r);
    override(&r.servers, &o->dns, c ? &c->dns : NULL);
    override(&r.search, &o->dns_search, c ? &c->dns_search : NULL);
    override(&r.options, &o->dns_option, c ? &c->dns_opts : NULL);
    resolv_text(x, &r);
    return NULL;
}
