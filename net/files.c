/*
 * files: <data_root>/networks, one file a definition. A file lands under its name whole and durable, or not at all, so
 * readers need no lock. Writers take .lock: with it they are alone in choosing subnets and names, and a temporary file
 * that they find is a dead process's.
 *
 * .bridge is the definition of the built-in network bridge. Its subnet is chosen once, when somebody first asks, and
 * stays: a VPN that comes or goes must not change it under running containers.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/net_int.h"

static const char lock_file[] = ".lock", bridge_file[] = ".bridge", temp_prefix[] = ".tmp-";

struct err *net_files_open(const struct host *h, int *ret_dir) {
    autofree char *path = path_join(h->data_root, "networks");
    struct err *e = fd_open_dir(AT_FDCWD, path, ret_dir);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    autofd int root = -1;
    TRY(io_mkdirs(AT_FDCWD, path, 0700));
    TRY(fd_open_dir(AT_FDCWD, h->data_root, &root));
    TRY(io_sync(root));
    return fd_open_dir(AT_FDCWD, path, ret_dir);
}

struct err *net_files_lock(int dir, int *ret_lock) {
    autofd int fd = -1;
    TRY(fd_open_at(dir, lock_file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd));
    TRY_CTX(io_lock(fd, IO_LOCK_EXCLUSIVE), "lock the networks");
    *ret_lock = take_fd(&fd);
    return NULL;
}

static struct err *sweep_one(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const int *dir = ctx;
    if (str_starts(name, temp_prefix))
        unlinkat(*dir, name, 0);
    return NULL;
}

void net_files_sweep(int dir) {
    autoerr e = io_each_entry(dir, sweep_one, &dir);
    if (e)
        log_debug("temporary files of networks are left");
}

/* ---- one file ---- */

static struct err *read_def(int dir, const char *file, const char *name, struct net_def **ret) {
    autojson j = NULL;
    autonetdef d = NULL;
    TRY(json_read_file(dir, file, &j));
    struct err *e = net_def_parse(j, &d);
    if (!e && !str_eq(d->name, name))
        e = err_new(ERR_CORRUPT, "it calls itself %s", d->name);
    if (e)
        return err_hint(err_wrap(e, "damaged definition of network %s", name),
                        "Repair or remove the file networks/%s below the store's root.", file);
    *ret = take_ptr(&d);
    return NULL;
}

struct err *net_files_add(int dir, const struct net_def *d) {
    autojson j = net_def_json(d);
    autostr struct str text = STR_INIT;
    json_render(j, JSON_COMPACT, &text);
    if (text.len > JSON_SIZE_MAX)
        return err_new(ERR_USAGE, "the labels and options of network %s are too long", d->name);
    struct err *e = io_create_file(dir, d->name, text.ptr, text.len, 0600, IO_DURABLE);
    if (!e || err_kind(e) != ERR_CONFLICT)
        return e;
    err_free(e);
    return err_new(ERR_CONFLICT, "network with name %s already exists", d->name);
}

/* ---- all of them ---- */

static void defs_push(struct net_defs *defs, struct net_def *take_d) {
    defs->v = mem_resize(defs->v, defs->n + 1, sizeof(struct net_def *));
    defs->v[defs->n++] = take_d;
}

void net_defs_addrs(const struct net_defs *defs, struct net_addrs *out) {
    for (size_t i = 0; i < defs->n; i++)
        for (size_t k = 0; k < defs->v[i]->n_subnets; k++) {
            struct net_addr a = net_addr_of(defs->v[i]->subnets[k].subnet);
            net_addrs_push(out, &a);
        }
}

static struct err *collect_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    if (net_name_ok(name))
        strv_push(ctx, name);
    return NULL;
}

/* Those that users have made, by name. */
static struct err *load_users(int dir, struct net_defs *ret) {
    autostrv struct strv names = {0};
    TRY_CTX(io_each_entry(dir, collect_name, &names), "list the networks");
    strv_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        struct net_def *d = NULL;
        autoerr e = read_def(dir, names.v[i], names.v[i], &d);
        if (!e)
            defs_push(ret, d);
        else if (err_kind(e) != ERR_NOT_FOUND) { /* else removed meanwhile */
            autostr struct str why = STR_INIT;
            err_format(e, &why);
            log_warn("%s", str_c(&why));
        }
    }
    return NULL;
}

/* ---- the bridge ---- */

static struct err *choose_bridge(int dir, struct net_def **ret) {
    autonetdefs users = {0};
    autoaddrs taken = {0};
    TRY(load_users(dir, &users));
    net_defs_addrs(&users, &taken);
    net_pool_add_uplink(&taken);
    TRY(net_routes_read(&taken));
    struct net_addr a = net_addr_of("172.17.0.0/16"); /* it has to be there, even where all the pools are taken */
    if (!net_pool_bridge(&taken, &a))
        log_debug("no address pool is free for the network bridge");
    struct net_def *d = net_def_builtin("bridge");
    d->created = clock_now();
    net_def_add_pool(d, &a);
    *ret = d;
    return NULL;
}

static struct err *make_bridge(int dir, struct net_def **ret) {
    autonetdef d = NULL;
    TRY(choose_bridge(dir, &d));
    autojson j = net_def_json(d);
    TRY(json_write_file(dir, bridge_file, j, 0600, IO_DURABLE));
    *ret = take_ptr(&d);
    return NULL;
}

static bool read_bridge(int dir, struct net_def **ret) {
    autoerr e = read_def(dir, bridge_file, "bridge", ret);
    return !e;
}

static struct err *get_bridge(int dir, bool locked, struct net_def **ret) {
    if (read_bridge(dir, ret))
        return NULL;
    autofd int lock = -1;
    if (!locked)
        TRY(net_files_lock(dir, &lock));
    return read_bridge(dir, ret) ? NULL : make_bridge(dir, ret);
}

struct err *net_files_load(int dir, bool locked, struct net_defs *ret) {
    autonetdefs defs = {0};
    struct net_def *bridge = NULL;
    TRY(get_bridge(dir, locked, &bridge));
    defs_push(&defs, bridge);
    defs_push(&defs, net_def_builtin("host"));
    defs_push(&defs, net_def_builtin("none"));
    TRY(load_users(dir, &defs));
    *ret = defs;
    defs = (struct net_defs){0};
    return NULL;
}

/* ---- what others call ---- */

struct err *net_list(const struct host *h, struct net_defs *ret) {
    autofd int dir = -1;
    TRY(net_files_open(h, &dir));
    return net_files_load(dir, false, ret);
}

static struct err *not_found(const char *ref) { return err_new(ERR_NOT_FOUND, "network %s not found", ref); }

/* By id or its beginning. */
static struct err *find_by_id(int dir, const char *ref, struct net_def **ret) {
    autonetdefs defs = {0};
    size_t found = 0, n = 0;
    TRY(net_files_load(dir, false, &defs));
    for (size_t i = 0; i < defs.n && ref[0]; i++)
        if (str_starts(defs.v[i]->id, ref)) {
            found = i;
            n++;
        }
    if (n > 1)
        return err_new(ERR_USAGE, "network %s is ambiguous (%zu matches found based on ID prefix)", ref, n);
    if (!n)
        return not_found(ref);
    *ret = take_ptr(&defs.v[found]);
    return NULL;
}

/* By name; nothing but the one file is read. */
static struct err *find_by_name(int dir, const char *name, struct net_def **ret) {
    if (str_eq(name, "bridge"))
        return get_bridge(dir, false, ret);
    return net_name_ok(name) ? read_def(dir, name, name, ret) : not_found(name);
}

struct err *net_find(const struct host *h, const char *ref, struct net_def **ret) {
    const char *name = str_eq(ref, "default") ? "bridge" : ref;
    if (str_eq(name, "host") || str_eq(name, "none")) {
        *ret = net_def_builtin(name);
        return NULL;
    }
    autofd int dir = -1;
    TRY(net_files_open(h, &dir));
    /* A whole id comes before a name that looks like one, a name before the beginning of an id. */
    struct err *e = path_is_hex64(name) ? find_by_id(dir, name, ret) : not_found(name);
    if (e && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        e = find_by_name(dir, name, ret);
    }
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    return find_by_id(dir, name, ret);
}

struct err *net_remove(const struct host *h, const struct net_def *d) {
    if (d->builtin)
        return err_new(ERR_DENIED, "%s is a pre-defined network and cannot be removed", d->name);
    autofd int dir = -1, lock = -1;
    autonetdef now = NULL;
    TRY(net_files_open(h, &dir));
    TRY(net_files_lock(dir, &lock));
    autoerr e = read_def(dir, d->name, d->name, &now);
    if (e || !str_eq(now->id, d->id)) /* removed meanwhile, and perhaps made anew */
        return not_found(d->name);
    if (unlinkat(dir, d->name, 0) < 0)
        return err_sys(errno, "remove network %s", d->name);
    return io_sync(dir);
}
