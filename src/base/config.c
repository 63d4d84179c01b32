/* config: see config.h. One row of a table per key. */
#include "base/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"

enum key_type { KEY_STRV, KEY_STRMAP, KEY_STRING, KEY_BOOL, KEY_INT, KEY_SIZE, KEY_ULIMITS, KEY_REGISTRIES };

static const struct config_key {
    const char *name;
    enum key_type type;
    size_t offset;
} keys[] = {
    {"registry-mirrors", KEY_STRV, offsetof(struct config, registry_mirrors)},
    {"insecure-registries", KEY_STRV, offsetof(struct config, insecure_registries)},
    {"additional-image-stores", KEY_STRV, offsetof(struct config, image_stores)},
    {"short-name-aliases", KEY_STRMAP, offsetof(struct config, aliases)},
    {"cdi-spec-dirs", KEY_STRV, offsetof(struct config, cdi_spec_dirs)},
    {"registries", KEY_REGISTRIES, offsetof(struct config, registries)},
    {"dns", KEY_STRV, offsetof(struct config, dns)},
    {"dns-search", KEY_STRV, offsetof(struct config, dns_search)},
    {"dns-opts", KEY_STRV, offsetof(struct config, dns_opts)},
    {"log-driver", KEY_STRING, offsetof(struct config, log_driver)},
    {"log-opts", KEY_STRMAP, offsetof(struct config, log_opts)},
    {"default-ulimits", KEY_ULIMITS, offsetof(struct config, default_ulimits)},
    {"default-shm-size", KEY_SIZE, offsetof(struct config, shm_size)},
    {"seccomp-profile", KEY_STRING, offsetof(struct config, seccomp_profile)},
    {"no-new-privileges", KEY_BOOL, offsetof(struct config, no_new_privileges)},
    {"userns", KEY_STRING, offsetof(struct config, userns)},
    {"default-ipc-mode", KEY_STRING, offsetof(struct config, ipc_mode)},
    {"default-cgroupns-mode", KEY_STRING, offsetof(struct config, cgroupns_mode)},
    {"cgroup-parent", KEY_STRING, offsetof(struct config, cgroup_parent)},
    {"ip", KEY_STRING, offsetof(struct config, ip)},
    {"init", KEY_BOOL, offsetof(struct config, init)},
    {"selinux-enabled", KEY_BOOL, offsetof(struct config, selinux_enabled)},
    {"dedup", KEY_BOOL, offsetof(struct config, dedup)},
    {"max-concurrent-downloads", KEY_INT, offsetof(struct config, max_concurrent_downloads)},
    {"max-concurrent-uploads", KEY_INT, offsetof(struct config, max_concurrent_uploads)},
    {"upload-chunk-size", KEY_SIZE, offsetof(struct config, upload_chunk_size)},
    {"storage-driver", KEY_STRING, offsetof(struct config, storage_driver)},
    {"network-fallback", KEY_STRING, offsetof(struct config, network_fallback)},
};

/* Keys of daemon.json for which there is something else here: a file that has one was made for docker's daemon, and to
 * pass over what it wants would be to break a promise. */
static const struct {
    const char *name, *instead;
} elsewhere[] = {
    {"allow-nondistributable-artifacts", "layers of foreign URLs are neither pulled nor pushed"},
    {"bip", "give a network its subnet: coracle network create --subnet"},
    {"bridge", "the bridge is made where it is needed"},
    {"builder", "coracle builder prune clears the build cache"},
    {"containerd", "there is no containerd"},
    {"data-root", "--root or CORACLE_ROOT says where the store is"},
    {"debug", "--debug is for one command"},
    {"default-address-pools", "give a network its subnet: coracle network create --subnet"},
    {"default-network-opts", "coracle network create --opt is for one network"},
    {"default-runtime", "containers run by coracle's own runtime"},
    {"exec-opts", "cgroups are found, not configured"},
    {"experimental", "there is nothing to be switched on"},
    {"features", "there is nothing to be switched on"},
    {"fixed-cidr", "coracle network create --ip-range is for one network"},
    {"fixed-cidr-v6", "coracle network create --ip-range is for one network"},
    {"group", "no socket is listened on"},
    {"hosts", "no socket is listened on"},
    {"icc", "containers that are not to reach each other get networks of their own"},
    {"ip-forward", "the host's kernel is left as it is"},
    {"ip-masq", "traffic leaves by a process of the user's"},
    {"iptables", "the host's filter is left as it is"},
    {"ip6tables", "the host's filter is left as it is"},
    {"ipv6", "coracle network create --ipv6 is for one network"},
    {"labels", "there is no daemon to have labels"},
    {"live-restore", "containers do not depend on a daemon"},
    {"log-level", "--log-level is for one command"},
    {"max-download-attempts", "a download goes on where it broke off"},
    {"metrics-addr", "there is no daemon to be measured"},
    {"mtu", "coracle network create --opt com.docker.network.driver.mtu is for one network"},
    {"oom-score-adjust", "there is no daemon to be spared"},
    {"pidfile", "there is no daemon"},
    {"proxies", "docker's ~/.docker/config.json and the environment have them"},
    {"runtimes", "containers run by coracle's own runtime"},
    {"shutdown-timeout", "--stop-timeout says how long a container may take to stop"},
    {"storage-opts", "an image store needs no options"},
    {"tls", "no socket is listened on"},
    {"tlscacert", "no socket is listened on"},
    {"tlscert", "no socket is listened on"},
    {"tlskey", "no socket is listened on"},
    {"tlsverify", "no socket is listened on"},
    {"userland-proxy", "ports are published by a process of the user's"},
    {"userns-remap", "\"userns\": \"auto\" gives each container ids of its own"},
};

static struct err *unknown_key(const char *key) {
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        if (strcmp(elsewhere[i].name, key) == 0)
            return err_hint(err_new(ERR_UNSUPPORTED, "\"%s\" is for docker's daemon", key), "remove it: %s",
                            elsewhere[i].instead);
    return err_hint(err_new(ERR_USAGE, "unknown key \"%s\"", key), "remove it from the file");
}

/* "64m", "1g", "512k", "1024b": powers of 1024, as docker's RAM sizes. */
static bool parse_size(const char *s, int64_t *ret) {
    static const char suffixes[] = "bkmgt";
    size_t n = strspn(s, "0123456789");
    autofree char *number = mem_dupn(s, n);
    int64_t v, unit = 1;
    if (!str_to_i64(number, 0, INT64_MAX, &v))
        return false;
    if (s[n]) {
        const char *at = strchr(suffixes, s[n] | 0x20);
        const char *rest = s + n + 1;
        if (!at || (*rest && strcasecmp(rest, "b") != 0 && strcasecmp(rest, "ib") != 0))
            return false;
        unit = INT64_C(1) << (10 * (at - suffixes));
    }
    return !__builtin_mul_overflow(v, unit, ret);
}

static struct err *read_size(const struct json *j, const char *key, int64_t *ret) {
    const char *s = json_str_value(json_get(j, key));
    if (!s)
        return json_get_i64_opt(j, key, 0, ret);
    if (!parse_size(s, ret))
        return err_new(ERR_USAGE, "%s: invalid size '%s'", key, s);
    return NULL;
}

/* docker's {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}. */
static struct err *read_ulimits(const struct json *j, const char *key, struct strv *out) {
    struct json *map;
    TRY(json_get_object_opt(j, key, &map));
    JSON_EACH(it, map) {
        int64_t soft, hard;
        TRY(json_get_i64(it, "Soft", &soft));
        TRY(json_get_i64_opt(it, "Hard", soft, &hard));
        strv_pushf(out, "%s=%lld:%lld", json_key(it), (long long)soft, (long long)hard);
    }
    return NULL;
}

/* A header's name is a token (RFC 9110 5.1), and its value has nothing that would end it. What says who we are is not
 * for a configuration file that others may read. */
static struct err *read_header(const char *name, const char *value, struct strv *out) {
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    bool good = *name && name[strspn(name, token)] == '\0' && strcasecmp(name, "authorization") != 0;
    for (const char *p = value; *p; p++)
        good = good && (unsigned char)*p >= ' ' && *p != 0x7f;
    if (!good)
        return err_new(ERR_USAGE, "headers: \"%s\" is no header that can be sent", name);
    strv_pushf(out, "%s: %s", name, value);
    return NULL;
}

static struct err *check_paths(const struct strv *paths, const char *key) {
    for (size_t i = 0; i < paths->n; i++)
        if (*paths->v[i] != '/')
            return err_new(ERR_USAGE, "%s: expected absolute paths, not '%s'", key, paths->v[i]);
    return NULL;
}

/* hosts.toml's "ca" and "client". */
static struct err *read_certificates(const struct json *j, struct config_registry *r) {
    const char *cert, *key;
    TRY(json_get_strv_opt(j, "ca", &r->ca));
    TRY(json_get_str_opt(j, "cert", NULL, &cert));
    TRY(json_get_str_opt(j, "key", NULL, &key));
    TRY(check_paths(&r->ca, "ca"));
    if (!cert != !key || (cert && (*cert != '/' || *key != '/')))
        return err_new(ERR_USAGE, "cert and key: expected the absolute paths of both");
    mem_set(&r->cert, cert);
    mem_set(&r->key, key);
    return NULL;
}

static struct err *read_registry(const struct json *j, struct config_registry *r) {
    static const char *const known[] = {"mirrors", "insecure", "headers", "ca", "cert", "key"};
    struct json *headers;
    JSON_EACH(it, j) {
        bool is_known = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            is_known = is_known || strcmp(json_key(it), known[i]) == 0;
        if (!is_known)
            return err_new(ERR_USAGE, "unknown key \"%s\"", json_key(it));
    }
    TRY(json_get_strv_opt(j, "mirrors", &r->mirrors));
    TRY(json_get_bool_opt(j, "insecure", false, &r->insecure));
    TRY(read_certificates(j, r));
    TRY(json_get_object_opt(j, "headers", &headers));
    JSON_EACH(it, headers) {
        const char *value;
        TRY(json_get_str(headers, json_key(it), &value));
        TRY(read_header(json_key(it), value, &r->headers));
    }
    return NULL;
}

static struct err *read_registries(const struct json *j, struct config *c) {
    struct json *map;
    TRY(json_get_object_opt(j, "registries", &map));
    size_t n = json_count(map);
    c->registries = mem_array(n, sizeof *c->registries);
    JSON_EACH(it, map) {
        struct config_registry *r = &c->registries[c->n_registries++];
        *r = (struct config_registry){.name = mem_dup(json_key(it))};
        if (json_type(it) != JSON_OBJECT)
            return err_new(ERR_USAGE, "registries: \"%s\": expected an object", r->name);
        TRY_CTX(read_registry(it, r), "registries: \"%s\"", r->name);
    }
    return NULL;
}

static struct err *read_key(const struct json *j, const struct config_key *k, struct config *c) {
    void *field = (char *)c + k->offset;
    const char *s;
    switch (k->type) {
    case KEY_STRV:
        return json_get_strv_opt(j, k->name, field);
    case KEY_STRMAP:
        return json_get_strmap_opt(j, k->name, field);
    case KEY_BOOL:
        return json_get_bool_opt(j, k->name, false, field);
    case KEY_INT:
        return json_get_i64(j, k->name, field);
    case KEY_SIZE:
        return read_size(j, k->name, field);
    case KEY_REGISTRIES:
        return read_registries(j, c);
    case KEY_ULIMITS:
        return read_ulimits(j, k->name, field);
    case KEY_STRING:
        TRY(json_get_str(j, k->name, &s));
        mem_set(field, s);
        break;
    }
    return NULL;
}

static struct err *read_all(const struct json *j, struct config *c) {
    if (json_type(j) != JSON_OBJECT)
        return err_new(ERR_CORRUPT, "expected an object");
    JSON_EACH(it, j) {
        const struct config_key *k = NULL;
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            if (strcmp(keys[i].name, json_key(it)) == 0)
                k = &keys[i];
        if (!k)
            return unknown_key(json_key(it));
        TRY(read_key(j, k, c));
    }
    return NULL;
}

/* A name as it is typed where nothing says a registry, and a repository without tag: that is typed, too. */
static struct err *check_aliases(const struct strmap *aliases) {
    for (size_t i = 0; i < aliases->n; i++) {
        const char *slash = strrchr(aliases->e[i].value, '/');
        if (strpbrk(aliases->e[i].key, "/:@") || !*aliases->e[i].key || !slash || strpbrk(slash, ":@"))
            return err_new(ERR_USAGE, "short-name-aliases: \"%s\": expected a bare name and \"registry/repository\"",
                           aliases->e[i].key);
    }
    return NULL;
}

static struct err *check_word(const char *key, const char *value, const char *one, const char *other) {
    if (!value || strcmp(value, one) == 0 || strcmp(value, other) == 0)
        return NULL;
    return err_new(ERR_USAGE, "%s: expected %s or %s, not '%s'", key, one, other, value);
}

/* What types alone do not say. */
static struct err *check(const struct config *c) {
    const char *d = c->storage_driver;
    if (d && strcmp(d, "overlay") != 0 && strcmp(d, "fuse-overlayfs") != 0 && strcmp(d, "copy") != 0)
        return err_hint(err_new(ERR_USAGE, "storage-driver: unknown driver '%s'", d),
                        "choose overlay, fuse-overlayfs or copy");
    TRY(check_word("network-fallback", c->network_fallback, "host", "error"));
    TRY(check_word("default-ipc-mode", c->ipc_mode, "private", "shareable"));
    TRY(check_word("default-cgroupns-mode", c->cgroupns_mode, "private", "host"));
    unsigned char address[sizeof(struct in6_addr)];
    if (c->ip && inet_pton(AF_INET, c->ip, address) != 1 && inet_pton(AF_INET6, c->ip, address) != 1)
        return err_new(ERR_USAGE, "ip: '%s' is no address", c->ip);
    if (c->max_concurrent_downloads < 1 || c->max_concurrent_downloads > 64)
        return err_new(ERR_USAGE, "max-concurrent-downloads: expected a number from 1 to 64");
    if (c->max_concurrent_uploads < 1 || c->max_concurrent_uploads > 64)
        return err_new(ERR_USAGE, "max-concurrent-uploads: expected a number from 1 to 64");
    if (c->upload_chunk_size < 0)
        return err_new(ERR_USAGE, "upload-chunk-size: expected a size");
    if (c->shm_size < 0)
        return err_new(ERR_USAGE, "default-shm-size: expected a size");
    TRY(check_aliases(&c->aliases));
    TRY(check_paths(&c->cdi_spec_dirs, "cdi-spec-dirs"));
    return check_paths(&c->image_stores, "additional-image-stores");
}

static struct err *load_file(const char *path, struct config *c) {
    autojson j = NULL;
    struct err *e = json_read_file(AT_FDCWD, path, &j);
    if (e && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    TRY(e);
    TRY_CTX(read_all(j, c), "%s", path);
    if (str_eq(c->storage_driver, "overlay2")) /* docker's names */
        mem_set(&c->storage_driver, "overlay");
    else if (str_eq(c->storage_driver, "vfs"))
        mem_set(&c->storage_driver, "copy");
    TRY_CTX(check(c), "%s", path);
    return NULL;
}

struct err *config_load(const char *dir, struct config **ret) {
    struct config *c = mem_alloc(sizeof *c);
    c->log_driver = mem_dup("json-file");
    c->max_concurrent_downloads = 3;
    c->max_concurrent_uploads = 5;
    autofree char *path = mem_printf("%s/config.json", dir);
    struct err *e = load_file(path, c);
    if (e)
        config_free(c);
    else
        *ret = c;
    return e;
}

void config_free(struct config *c) {
    if (!c)
        return;
    strmap_done(&c->aliases);
    strv_done(&c->registry_mirrors);
    strv_done(&c->insecure_registries);
    strv_done(&c->image_stores);
    strv_done(&c->cdi_spec_dirs);
    for (size_t i = 0; i < c->n_registries; i++) {
        free(c->registries[i].name);
        strv_done(&c->registries[i].mirrors);
        strv_done(&c->registries[i].headers);
        strv_done(&c->registries[i].ca);
        free(c->registries[i].cert);
        free(c->registries[i].key);
    }
    free(c->registries);
    strv_done(&c->dns);
    strv_done(&c->dns_search);
    strv_done(&c->dns_opts);
    free(c->log_driver);
    strmap_done(&c->log_opts);
    strv_done(&c->default_ulimits);
    free(c->seccomp_profile);
    free(c->userns);
    free(c->ipc_mode);
    free(c->cgroupns_mode);
    free(c->cgroup_parent);
    free(c->ip);
    free(c->storage_driver);
    free(c->network_fallback);
    free(c);
}

const struct config_registry *config_registry(const struct config *c, const char *name) {
    for (size_t i = 0; i < c->n_registries; i++)
        if (!strcasecmp(c->registries[i].name, name))
            return &c->registries[i];
    return NULL;
}
