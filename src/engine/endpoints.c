/*
 * endpoints: a container's network, from network.json (what is wanted, changed by `network connect`) to a lease of
 * coracle-net. Runs in the monitor: at the start, and when the lease has news. What the container has got stands in
 * endpoints.json while it runs, and in its /etc/hosts and /etc/resolv.conf.
 */
#include "engine/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net/net.h"

/* Below the ten seconds for which a new helper keeps addresses for those whom it does not hear from (net.h). */
enum { RETRY_MAX_S = 8 };

/* Written in place: a running exec or a bind mount of the same inode must see it, and a resolver that reads it
 * meanwhile must find a server in it. Every user of the container reads them, whatever our umask. */
struct err *engine_host_file(int dirfd, const char *file, const char *text) {
    return io_rewrite_file(dirfd, file, text, strlen(text), 0644);
}

/* ---- the request ---- */

struct json *engine_endpoint_json(const struct net_def *def, const struct json *wanted, unsigned n) {
    struct json *j = json_object();
    autofree char *ifname = mem_printf("eth%u", n);
    json_set(j, "network", net_def_json(def));
    json_set_str(j, "ifname", ifname);
    json_set_str(j, "ip", json_text(wanted, "ip"));
    json_set_str(j, "ip6", json_text(wanted, "ip6"));
    json_set_str(j, "mac", json_text(wanted, "mac"));
    json_set_int(j, "gw_priority", json_int_value(json_get(wanted, "gw_priority"), 0));
    static const char *const lists[] = {"aliases", "link_local"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct json *copy = json_copy(json_get(wanted, lists[i]));
        json_set(j, lists[i], copy ? copy : json_array());
    }
    return j;
}

/* "8080", "8000-8010" (any free one of them) or "" (any free one at all). */
static struct json *port_json(const struct json *wanted) {
    struct json *j = json_object();
    const char *range = json_text(wanted, "host_port");
    const char *dash = strchr(range, '-');
    autofree char *low = mem_dupn(range, strcspn(range, "-"));
    int64_t first = 0, last = 0;
    (void)str_to_i64(low, 0, UINT16_MAX, &first);
    last = first;
    if (dash)
        (void)str_to_i64(dash + 1, 0, UINT16_MAX, &last);
    json_set_str(j, "proto", json_text(wanted, "proto"));
    json_set_str(j, "host_ip", json_text(wanted, "host_ip"));
    json_set_int(j, "host_port", first);
    json_set_int(j, "host_port_last", last);
    json_set_int(j, "port", json_int_value(json_get(wanted, "port"), 0));
    return j;
}

/* Whether there is a libslirp of its own, and no network of others'. */
static bool is_alone(const struct json *wanted) { return engine_wants_network(wanted, SPEC_SLIRP); }

struct err *engine_network_def(const struct host *h, const char *id, const struct json *wanted, struct net_def **ret) {
    autostrv struct strv options = {.n = 0};
    const char *name = json_text(wanted, "network");
    if (!str_eq(name, SPEC_SLIRP))
        return net_find(h, name, ret);
    TRY(json_get_strv_opt(wanted, "options", &options));
    return net_def_slirp(id, &options, ret);
}

static struct err *endpoints_json(const struct endpoints *n, const struct json *wanted, struct json **ret,
                                  bool *ret_named) {
    autojson list = json_array();
    unsigned i = 0;
    JSON_EACH(it, json_get(wanted, "networks")) {
        autonetdef def = NULL;
        TRY(engine_network_def(n->host, n->id, it, &def));
        *ret_named |= !def->builtin;
        json_push(list, engine_endpoint_json(def, it, i++));
    }
    *ret = take_ptr(&list);
    return NULL;
}

/* A container that serves DNS itself wants port 53 on every address: then ours is asked on the gateway's. */
static bool serves_dns(const struct json *wanted) {
    JSON_EACH(p, json_get(wanted, "ports"))
    if (json_int_value(json_get(p, "port"), 0) == 53)
        return true;
    return false;
}

static struct err *make_request(const struct endpoints *n, const struct json *wanted, struct json **ret) {
    struct json *endpoints = NULL, *ports = json_array();
    bool named = false;
    autojson r = json_object();
    json_set_str(r, "op", "attach");
    json_set_str(r, "id", n->id);
    json_set_str(r, "name", n->name);
    json_set_str(r, "hostname", json_text(wanted, "hostname"));
    JSON_EACH(p, json_get(wanted, "ports")) { json_push(ports, port_json(p)); }
    json_set(r, "ports", ports);
    struct json *dns = json_copy(json_get(wanted, "dns"));
    json_set(r, "dns", dns ? dns : json_array());
    TRY(endpoints_json(n, wanted, &endpoints, &named));
    json_set(r, "endpoints", endpoints);
    json_set_bool(r, "dns_internal", named && (is_alone(wanted) || !serves_dns(wanted)));
    *ret = take_ptr(&r);
    return NULL;
}

/* ---- files ---- */

/* "host-gateway" stands for an address of the host; without one the line goes. */
static void append_hosts_line(struct str *out, const char *line, const char *host) {
    static const char placeholder[] = "host-gateway\t";
    if (!str_starts(line, placeholder))
        str_appendf(out, "%s\n", line);
    else if (*host)
        str_appendf(out, "%s\t%s\n", host, line + sizeof placeholder - 1);
}

/* Whether a container of the helper's list is meant: by name, or by its id or the beginning of that. */
static bool is_meant(const struct json *container, const char *ref) {
    return str_eq(json_text(container, "name"), ref) || str_starts(json_text(container, "id"), ref);
}

/* One --link CONTAINER[:ALIAS]: its address on the first network that both are on. */
static struct err *append_link(const struct endpoints *n, const struct json *list, const char *link, struct str *out) {
    size_t len = strcspn(link, ":");
    autofree char *ref = mem_dupn(link, len);
    const char *alias = link[len] ? link + len + 1 : ref;
    JSON_EACH(c, json_get(list, "containers"))
    JSON_EACH(e, json_get(c, "endpoints")) {
        if (!is_meant(c, ref) || !engine_has_network(json_get(n->lease.answer, "endpoints"), json_text(e, "network")) ||
            !*json_text(e, "ip"))
            continue;
        const char *name = json_text(c, "name");
        str_appendf(out, "%s\t%s%s%s\n", json_text(e, "ip"), alias, str_eq(alias, name) ? "" : " ",
                    str_eq(alias, name) ? "" : name);
        return NULL;
    }
    return err_hint(err_new(ERR_CONFLICT, "cannot link to %s: no such container runs on a network of this one", ref),
                    "start it first, on the same network");
}

/* Who is where is asked of the helper: links hold for as long as both run. */
static struct err *append_links(const struct endpoints *n, const struct json *wanted, struct str *out) {
    const struct json *links = json_get(wanted, "links");
    if (!json_count(links))
        return NULL;
    autojson ask = json_object();
    autojson list = NULL;
    json_set_str(ask, "op", "list");
    TRY(net_ask_own(n->host, ask, &list));
    JSON_EACH(l, links)
    TRY(append_link(n, list, json_str_value(l), out));
    return NULL;
}

static struct err *write_hosts(const struct endpoints *n, const struct json *wanted) {
    autostr struct str s = STR_INIT;
    autostrv struct strv lines = {.n = 0};
    const char *hostname = json_text(wanted, "hostname");
    strv_split(&lines, json_text(wanted, "hosts"), '\n');
    for (size_t i = 0; i < lines.n; i++)
        if (*lines.v[i])
            append_hosts_line(&s, lines.v[i], json_text(n->lease.answer, "host"));
    JSON_EACH(e, json_get(n->lease.answer, "endpoints")) {
        if (*json_text(e, "ip"))
            str_appendf(&s, "%s\t%s\n", json_text(e, "ip"), hostname);
        if (*json_text(e, "ip6"))
            str_appendf(&s, "%s\t%s\n", json_text(e, "ip6"), hostname);
    }
    TRY(append_links(n, wanted, &s));
    return engine_host_file(n->dirfd, "hosts", str_c(&s));
}

static bool on_default_bridge(const struct json *wanted) {
    return str_eq(json_text(json_first(json_get(wanted, "networks")), "network"), "bridge");
}

/* The text that was made at create, with our own server in place of the host's. Servers that the user named himself are
 * asked directly on the default network, and by our own elsewhere, as it knows the containers' names. */
static struct err *write_resolv(const struct endpoints *n, const struct json *wanted) {
    autostr struct str s = STR_INIT;
    autostrv struct strv lines = {.n = 0};
    const char *server = json_text(n->lease.answer, "nameserver");
    bool named = !on_default_bridge(wanted) && !is_alone(wanted), options = false;
    if (!*server || (!named && json_count(json_get(wanted, "dns"))))
        return NULL;
    str_appendf(&s, "nameserver %s\n", server);
    strv_split(&lines, json_text(wanted, "resolv"), '\n');
    for (size_t i = 0; i < lines.n; i++) {
        const char *line = lines.v[i];
        if (!*line || str_starts(line, "nameserver"))
            continue;
        bool ours = named && str_starts(line, "options ") && !strstr(line, "ndots:");
        options |= str_starts(line, "options ");
        str_appendf(&s, "%s%s\n", line, ours ? " ndots:0" : "");
    }
    if (named && !options)
        str_append(&s, "options ndots:0\n");
    return engine_host_file(n->dirfd, "resolv.conf", str_c(&s));
}

/* endpoints.json: the answer, without what is only for the next helper. It comes last: who sees it there counts on the
 * others. */
static struct err *record(const struct endpoints *n, const struct json *wanted) {
    autojson got = json_object();
    static const char *const kept[] = {"endpoints", "ports", "lost", "level"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (json_get(n->lease.answer, kept[i]))
            json_set(got, kept[i], json_copy(json_get(n->lease.answer, kept[i])));
    TRY(write_hosts(n, wanted));
    TRY(write_resolv(n, wanted));
    return json_write_file(n->dirfd, ENDPOINTS_FILE, got, 0600, 0);
}

void endpoints_tell(int dirfd, const char *id, const char *action, struct str *batch) {
    autojson got = NULL;
    autoerr none = json_read_file(dirfd, ENDPOINTS_FILE, &got); /* no network of its own */
    JSON_EACH(n, none ? NULL : json_get(got, "endpoints")) {
        const char *type = str_eq(json_text(n, "name"), SPEC_SLIRP) ? SPEC_SLIRP : "bridge";
        const char *const attributes[] = {"container", id, "name", json_text(n, "name"), "type", type, NULL};
        const struct event ev = {
            .type = "network", .action = action, .id = json_text(n, "network"), .attributes = attributes};
        events_add(batch, &ev);
    }
}

/* ---- the lease ---- */

struct err *endpoints_attach(struct endpoints *n, int netns_fd, int *ret_watch) {
    autojson wanted = NULL;
    autojson request = NULL;
    TRY(json_read_file(n->dirfd, NETWORK_FILE, &wanted));
    TRY(make_request(n, wanted, &request));
    TRY(fd_dup(netns_fd, &n->netns));
    TRY(net_attach(n->host, request, netns_fd, &n->lease));
    *ret_watch = n->lease.fd;
    return record(n, wanted);
}

static bool has_port(const struct json *list, const struct json *port) {
    static const char *const texts[] = {"proto", "host_ip"}, *const numbers[] = {"host_port", "port"};
    JSON_EACH(p, list) {
        bool same = true;
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
            same &= str_eq(json_text(p, texts[i]), json_text(port, texts[i])) &&
                    json_int_value(json_get(p, numbers[i]), 0) == json_int_value(json_get(port, numbers[i]), 0);
        if (same)
            return true;
    }
    return false;
}

/* Of each port that is in one list and not in the other. */
static void tell_ports(const struct json *summary, const struct json *here, const struct json *not_there,
                       struct str *batch) {
    JSON_EACH(p, here) {
        const char *why = json_str_value(json_get(p, "why"));
        autofree char *port = endpoints_port_key(p);
        autofree char *host = mem_printf("%d", (int)json_int_value(json_get(p, "host_port"), 0));
        const char *const attributes[] = {
            "port", port, "hostIp", json_text(p, "host_ip"), "hostPort", host, why ? "error" : NULL, why, NULL};
        if (!has_port(not_there, p))
            events_add_container(batch, summary, why ? "port_lost" : "port_restored", attributes);
    }
}

/* What the last helper published, the next one may find taken; what that lost, free. */
static void tell_lost(const struct endpoints *n, const struct json *before) {
    autojson summary = NULL;
    autostr struct str batch = STR_INIT;
    const struct json *lost = json_get(n->lease.answer, "lost"), *ports = json_get(n->lease.answer, "ports");
    autojson back = json_array();
    JSON_EACH(p, json_get(before, "lost"))
    if (has_port(ports, p)) {
        struct json *port = json_copy(p);
        json_remove(port, "why");
        json_push(back, port);
    }
    if (!json_count(lost) && !json_count(back))
        return;
    autoerr gone = json_read_file(n->dirfd, "container.json", &summary);
    if (gone)
        return;
    tell_ports(summary, lost, json_get(before, "lost"), &batch);
    tell_ports(summary, back, NULL, &batch);
    events_write(n->host, &batch);
}

/* `network connect` may have changed what is wanted. */
static struct err *record_change(const struct endpoints *n) {
    autojson wanted = NULL;
    autojson before = NULL;
    TRY(json_read_file(n->dirfd, NETWORK_FILE, &wanted));
    err_free(json_read_file(n->dirfd, ENDPOINTS_FILE, &before));
    TRY(record(n, wanted));
    tell_lost(n, before);
    return NULL;
}

/* A descriptor that is readable after as long; -1: none can be made. */
static int alarm_after(int64_t seconds) {
    autofd int fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
    const struct itimerspec t = {.it_value.tv_sec = seconds};
    return fd < 0 || timerfd_settime(fd, 0, &t, NULL) < 0 ? -1 : take_fd(&fd);
}

/*
 * The helper was killed: another one takes over. Where none can be started the container has no way out, and its
 * neighbours on the bridge as before, until one can: a machine that has no memory or no process left for it now has
 * some a little later.
 */
static bool restore(struct endpoints *n) {
    autoerr lost = net_restore(n->host, n->netns, &n->lease);
    if (!lost) {
        n->retry_after = 0;
        return true;
    }
    n->retry_after = n->retry_after ? 2 * n->retry_after : 1;
    if (n->retry_after > RETRY_MAX_S)
        n->retry_after = RETRY_MAX_S;
    n->retry = alarm_after(n->retry_after);
    return false;
}

void endpoints_event(struct endpoints *n, int *watch) {
    bool changed = false;
    autoerr ended = n->retry < 0 ? net_lease_read(&n->lease, &changed) : NULL;
    bool again = ended || n->retry >= 0;
    fd_replace(&n->retry, -1);
    bool have = !again || restore(n);
    *watch = have ? n->lease.fd : n->retry;
    autoerr bad = have && (changed || again) ? record_change(n) : NULL;
    if (bad)
        log_debug("container %.12s: its network could not be recorded", n->id);
}

void endpoints_end(struct endpoints *n) {
    fd_replace(&n->netns, -1);
    fd_replace(&n->retry, -1);
    net_lease_done(&n->lease);
    *n = (struct endpoints)ENDPOINTS_INIT;
}

/* ---- on the host's network ---- */

/* Servers of the host's, or those that the user named, with the search list and options that were made at create. */
static struct err *host_resolv(const struct engine *e, int dirfd, const struct json *wanted) {
    static const char word[] = "nameserver";
    autostr struct str s = STR_INIT;
    autostr struct str host = STR_INIT_MAX(1 << 16);
    autostrv struct strv lines = {.n = 0};
    autostrv struct strv of_host = {.n = 0};
    bool chosen = json_count(json_get(wanted, "dns")) || e->config->dns.n;
    if (!chosen)
        err_free(io_read_file(AT_FDCWD, "/etc/resolv.conf", 1 << 16, &host));
    strv_split(&of_host, str_c(&host), '\n');
    strv_split(&lines, json_text(wanted, "resolv"), '\n');
    for (size_t i = 0; i < of_host.n; i++)
        if (str_starts(of_host.v[i], word))
            str_appendf(&s, "%s\n", of_host.v[i]);
    for (size_t i = 0; i < lines.n; i++)
        if (*lines.v[i] && (chosen || !str_starts(lines.v[i], word)))
            str_appendf(&s, "%s\n", lines.v[i]);
    return engine_host_file(dirfd, "resolv.conf", str_c(&s));
}

/* Its own ports are the host's. */
static struct json *host_ports(const struct json *wanted) {
    struct json *list = json_array();
    JSON_EACH(p, json_get(wanted, "ports")) {
        struct json *j = json_object();
        json_set_str(j, "proto", json_text(p, "proto"));
        json_set_str(j, "host_ip", json_text(p, "host_ip"));
        json_set_int(j, "host_port", json_int_value(json_get(p, "port"), 0));
        json_set_int(j, "port", json_int_value(json_get(p, "port"), 0));
        json_push(list, j);
    }
    return list;
}

struct err *endpoints_on_host(const struct engine *e, int dirfd) {
    struct endpoints n = {.host = e->host, .dirfd = dirfd};
    autojson wanted = NULL;
    autojson answer = json_object();
    autojson got = json_object();
    TRY(json_read_file(dirfd, NETWORK_FILE, &wanted));
    struct json *self = json_object();
    json_set_str(self, "ip", "127.0.1.1");
    json_set_str(answer, "host", "127.0.0.1");
    json_set(answer, "endpoints", json_array());
    json_push(json_get(answer, "endpoints"), self);
    n.lease.answer = answer;
    TRY(write_hosts(&n, wanted));
    TRY(host_resolv(e, dirfd, wanted));
    json_set(got, "endpoints", json_array());
    json_set(got, "ports", host_ports(wanted));
    json_set_str(got, "level", "host");
    return json_write_file(dirfd, ENDPOINTS_FILE, got, 0600, 0);
}
