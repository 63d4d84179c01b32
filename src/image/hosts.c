/* hosts: what is known about a registry's host before it is asked: loopback, insecure by configuration, its
 * certificates. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/registry_int.h"

/* "host" of host[:port]; brackets of an IPv6 address are taken off. */
static char *bare_host(const char *address) {
    if (*address == '[')
        return mem_dupn(address + 1, strcspn(address + 1, "]"));
    return mem_dupn(address, strcspn(address, ":"));
}

bool host_is_loopback(const char *address) {
    autofree char *host = bare_host(address);
    struct in_addr v4;
    struct in6_addr v6;
    if (!strcasecmp(host, "localhost"))
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool same_bits(const unsigned char *a, const unsigned char *b, int64_t bits) {
    size_t whole = (size_t)bits / 8;
    unsigned rest = (unsigned)bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* Names are not resolved for this: a name server must not decide what may be talked to without TLS. */
static bool in_cidr(const char *cidr, const char *host) {
    const char *slash = strchr(cidr, '/');
    autofree char *net = mem_dupn(cidr, slash ? (size_t)(slash - cidr) : strlen(cidr));
    unsigned char a[16], b[16];
    int64_t bits = 0;
    for (size_t i = 0; slash && i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;
        if (inet_pton(family, net, a) == 1 && inet_pton(family, host, b) == 1)
            return str_to_i64(slash + 1, 0, i ? 128 : 32, &bits) && same_bits(a, b, bits);
    }
    return false;
}

bool host_is_insecure(const struct strv *entries, const char *address) {
    autofree char *host = bare_host(address);
    for (size_t i = 0; i < entries->n; i++) {
        const char *e = entries->v[i];
        if (!strcasecmp(e, address) || !strcasecmp(e, host) || in_cidr(e, host))
            return true;
    }
    return false;
}

void tls_files_done(struct tls_files *t) {
    strv_done(&t->ca);
    free(t->cert);
    free(t->key);
    *t = (struct tls_files){0};
}

struct certs_dir {
    const char *path;
    struct tls_files *tls;
};

static struct err *take_cert(void *ctx, const char *name, unsigned char d_type) {
    const struct certs_dir *d = ctx;
    (void)d_type;
    if (str_ends(name, ".crt")) {
        strv_push_take(&d->tls->ca, path_join(d->path, name));
    } else if (str_ends(name, ".cert") && !d->tls->cert) {
        d->tls->cert = path_join(d->path, name);
        autofree char *key = mem_printf("%.*s.key", (int)(strlen(name) - strlen(".cert")), name);
        d->tls->key = path_join(d->path, key);
    }
    return NULL;
}

static struct err *scan_dir(const char *base, const char *address, struct tls_files *t) {
    autofree char *path = path_join(base, address);
    autofd int fd = -1;
    autoerr e = fd_open_dir(AT_FDCWD, path, &fd);
    if (e) /* absent, or not for us to read: as if it were not there */
        return NULL;
    struct certs_dir d = {.path = path, .tls = t};
    return io_each_entry(fd, take_cert, &d);
}

struct err *tls_find(const struct host *h, const char *address, struct tls_files *ret) {
    if (!path_is_component(address))
        return err_new(ERR_USAGE, "unusable registry address \"%s\"", address);
    autostrv struct strv dirs = {0};
    strv_push(&dirs, "/etc/docker/certs.d");
    strv_push(&dirs, "/etc/containers/certs.d");
    strv_pushf(&dirs, "%s/../docker/certs.d", h->config_dir);
    strv_pushf(&dirs, "%s/../containers/certs.d", h->config_dir);
    struct tls_files t = {0};
    for (size_t i = 0; i < dirs.n; i++) {
        autofree char *dir = path_clean(dirs.v[i]);
        struct err *e = scan_dir(dir, address, &t);
        if (e) {
            tls_files_done(&t);
            return e;
        }
    }
    strv_sort(&t.ca);
    *ret = t;
    return NULL;
}
