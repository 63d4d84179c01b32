/*
 * container: directories containers/<id>; their names are in names.c, where the argument for crashes and races stands.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/check.h"
#include "storage/store_int.h"

/* config.json first: the order in which a start reads them. */
static const char *const record_files[] = {"config.json", "options.json", "container.json", "state.json",
                                           "network.json"};

static struct err *no_such(const char *id) { return err_new(ERR_NOT_FOUND, "No such container: %s", id); }

/* "<id>/<file>" in containers/. */
static struct err *record_path(const char *id, const char *file, char ret[512]) {
    if (!path_is_hex64(id))
        return no_such(id);
    if (!path_is_component(file))
        return err_new(ERR_USAGE, "%s is not the name of a record", file);
    memcpy(ret, id, ID_LEN);
    ret[ID_LEN] = '/';
    snprintf(ret + ID_LEN + 1, 512 - ID_LEN - 1, "%s", file);
    return NULL;
}

/* ---- create ---- */

/* Writes a file of a directory that nobody sees yet. */
static struct err *write_new(int dirfd, const char *name, const struct json *j) {
    autostr struct str text = STR_INIT;
    json_render(j, JSON_COMPACT, &text);
    autofd int fd = -1;
    TRY(fd_open_at(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd));
    TRY_CTX(io_write_all(fd, str_c(&text), text.len), "write %s", name);
    return NULL;
}

/*
 * Overlay shows the upper directory's owner and mode as those of "/", so they are the top layer's. An owner other than
 * the user can only be given in the user namespace: what is left to do here, store_rootfs_plan() does at the first
 * start.
 */
static struct err *make_upper(const struct store *s, int dirfd, const char *top) {
    struct stat st = {.st_mode = S_IFDIR | 0755};
    int layers;
    if (mkdirat(dirfd, "upper", 0755) < 0 || mkdirat(dirfd, "work", 0700) < 0)
        return err_sys(errno, "make the upper directory");
    TRY(store_dir(s, STORE_LAYERS, &layers));
    if (top) {
        autofree char *diff = mem_printf("%s/diff", digest_hex(top));
        if (fstatat(layers, diff, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_sys(errno, "stat layer %s", top);
    }
    if (fchmodat(dirfd, "upper", st.st_mode & 07777, 0) < 0)
        return err_sys(errno, "set the mode of the upper directory");
    return NULL;
}

/* All layers are there; *ret_top is the uppermost, borrowed, or NULL. */
static struct err *check_layers(const struct store *s, const struct json *summary, const char **ret_top) {
    const char *top = NULL;
    JSON_EACH(it, json_get(summary, "Layers")) {
        top = json_str_value(it);
        if (!top || !store_layer_has(s, top))
            return err_hint(err_new(ERR_NOT_FOUND, "layer %s is not in the store", top ? top : "null"),
                            "The image was removed meanwhile; pull it again.");
    }
    *ret_top = top;
    return NULL;
}

static struct err *fill(const struct store *s, int dirfd, const struct store_container_new *c, const char *top) {
    const struct json *records[] = {c->config, c->options, c->summary, c->state, c->network};
    autojson named = NULL;
    if (c->summary && !str_eq(json_str_value(json_get(c->summary, "Name")), c->name)) {
        const char *given = json_str_value(json_get(c->summary, "Name"));
        if (!given || given[0] != '/' || !str_eq(given + 1, c->name)) { /* what names.c relies on */
            named = json_copy(c->summary);
            json_set_str(named, "Name", c->name);
            records[2] = named;
        }
    }
    TRY(make_upper(s, dirfd, top));
    for (size_t i = 0; i < ARRAY_LEN(records); i++)
        if (records[i])
            TRY(write_new(dirfd, record_files[i], records[i]));
    return NULL;
}

static struct err *sync_dir(int dirfd) {
    for (size_t i = 0; i < ARRAY_LEN(record_files); i++) {
        autofd int fd = openat(dirfd, record_files[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0)
            TRY(io_sync(fd));
    }
    return io_sync(dirfd);
}

static struct err *make_lock(int dirfd, int *ret_lock) {
    bool got;
    autofd int fd = -1;
    TRY(fd_open_at(dirfd, "lock", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &fd));
    TRY(io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got)); /* nobody else knows of it */
    *ret_lock = take_fd(&fd);
    return NULL;
}

/*
 * Fills tmp/<id>, which we hold, reserves the name, and moves it to containers/: visible and whole. There our hold on
 * it as work in progress ends, lest a descriptor that is kept were taken for it when the container is in the trash.
 */
static struct err *build(const struct store *s, int dirfd, const struct store_container_new *c, const char *top,
                         int *ret_lock) {
    int tmp, containers, names;
    TRY(store_dir(s, STORE_TMP, &tmp));
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    TRY(store_dir(s, STORE_NAMES, &names));
    TRY(store_name_reserve(s, c->name, c->id)); /* first, as it may be taken */
    struct err *e = fill(s, dirfd, c, top);
    if (!e && ret_lock)
        e = make_lock(dirfd, ret_lock);
    if (!e && c->durable)
        e = sync_dir(dirfd);
    if (!e && c->durable)
        e = io_sync(names);
    if (!e && renameat(tmp, c->id, containers, c->id) < 0)
        e = errno == ENOTEMPTY || errno == EEXIST ? err_new(ERR_CONFLICT, "the container id %s is in use", c->id)
                                                  : err_sys(errno, "make container %s", c->id);
    if (e) {
        err_free(store_name_release(s, c->name, c->id)); /* else it is stale */
        return e;
    }
    flock(dirfd, LOCK_UN);
    return c->durable ? io_sync(containers) : NULL;
}

/*
 * What was not synced yet has the sticky bit on its directory, which costs nothing and says so for as long: a power cut
 * may leave the names of such a container without the content of its files.
 */
enum { MODE_SYNCED = 0700, MODE_UNSYNCED = 01700 };

struct err *store_container_create(struct store *s, const struct store_container_new *c, int *ret_dirfd,
                                   int *ret_lock) {
    autofd int hold = -1, dirfd = -1, lock = -1;
    const char *top;
    int tmp;
    if (!path_is_hex64(c->id))
        return err_new(ERR_USAGE, "%s is not a container id", c->id);
    TRY(store_dir(s, STORE_TMP, &tmp));
    TRY(store_hold(s, &hold)); /* from the look at the layers until the container keeps them from the sweep */
    TRY_CTX(check_layers(s, c->summary, &top), "make container %s", c->name);
    TRY(store_tmp_make(s, c->id, c->durable ? MODE_SYNCED : MODE_UNSYNCED, &dirfd));
    struct err *e = build(s, dirfd, c, top, ret_dirfd ? &lock : NULL);
    if (e && store_same_file(tmp, c->id, dirfd))
        err_free(io_remove_tree(tmp, c->id));
    if (e || !ret_dirfd)
        return e;
    *ret_dirfd = take_fd(&dirfd);
    *ret_lock = take_fd(&lock);
    return NULL;
}

struct err *store_container_sync(struct store *s, const char *id) {
    int containers, names;
    autofd int dirfd = -1;
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    TRY(store_dir(s, STORE_NAMES, &names));
    TRY(store_container_open(s, id, &dirfd));
    TRY_CTX(io_sync(names), "sync container %s", id); /* first: a name too many does no harm, one too few does */
    TRY_CTX(sync_dir(dirfd), "sync container %s", id);
    TRY_CTX(io_sync(containers), "sync container %s", id);
    if (fchmod(dirfd, MODE_SYNCED) < 0)
        return err_sys(errno, "sync container %s", id);
    return NULL;
}

bool store_container_unsynced(const struct store *s, const char *id) {
    struct stat st;
    int containers;
    autoerr e = store_dir(s, STORE_CONTAINERS, &containers);
    return !e && path_is_hex64(id) && fstatat(containers, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_ISVTX);
}

struct err *store_container_check_torn(struct store *s, const char *id, bool *ret_torn) {
    bool running = true;
    *ret_torn = false;
    if (!store_container_unsynced(s, id))
        return NULL;
    TRY(store_container_running(s, id, &running));
    for (size_t i = 0; !running && !*ret_torn && i < 3; i++) { /* the other two are written later or not at all */
        autojson j = NULL;
        autoerr bad = store_container_read(s, id, record_files[i], &j);
        *ret_torn = bad && (err_kind(bad) == ERR_CORRUPT || err_kind(bad) == ERR_NOT_FOUND);
    }
    return NULL;
}

/* ---- look-up ---- */

static struct err *add_id(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    if (path_is_hex64(name))
        strv_push(ctx, name);
    return NULL;
}

struct err *store_container_ids(const struct store *s, struct strv *out) {
    int containers;
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    TRY_CTX(io_each_entry(containers, add_id, out), "list the containers");
    return NULL;
}

struct prefix_search {
    const char *prefix;
    size_t n;
    char found[ID_LEN + 1];
};

static struct err *match_prefix(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct prefix_search *search = ctx;
    if (str_starts(name, search->prefix) && path_is_hex64(name)) {
        memcpy(search->found, name, sizeof search->found);
        search->n++;
    }
    return NULL;
}

struct err *store_container_find(const struct store *s, const char *name_or_id, char ret[65]) {
    const char *key = name_or_id[0] == '/' ? name_or_id + 1 : name_or_id;
    struct prefix_search search = {.prefix = key};
    int containers;
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    if (path_is_hex64(key) && store_exists(containers, key)) {
        memcpy(ret, key, ID_LEN + 1);
        return NULL;
    }
    if (store_name_get(s, key, ret))
        return NULL;
    size_t len = strlen(key);
    if (name_or_id[0] == '/' || !len || len >= ID_LEN || strspn(key, "0123456789abcdef") != len)
        return no_such(name_or_id);
    TRY_CTX(io_each_entry(containers, match_prefix, &search), "list the containers");
    if (search.n > 1)
        return err_hint(err_new(ERR_CONFLICT, "multiple IDs found with provided prefix: %s", key),
                        "Give more digits of the id.");
    if (!search.n)
        return no_such(name_or_id);
    memcpy(ret, search.found, sizeof search.found);
    return NULL;
}

struct err *store_container_open(const struct store *s, const char *id, int *ret_dirfd) {
    int containers;
    if (!path_is_hex64(id))
        return no_such(id);
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    int fd = openat(containers, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? no_such(id) : err_sys(errno, "open container %s", id);
    *ret_dirfd = fd;
    return NULL;
}

struct err *store_container_text(const struct store *s, const char *id, const char *file, struct str *out,
                                 bool *ret_there) {
    char path[512];
    int containers;
    TRY(record_path(id, file, path));
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    TRY_CTX(io_read_record(containers, path, JSON_SIZE_MAX, out, ret_there), "container %.12s", id);
    return NULL;
}

struct err *store_container_read(const struct store *s, const char *id, const char *file, struct json **ret) {
    autostr struct str text = STR_INIT;
    bool there;
    TRY(store_container_text(s, id, file, &text, &there));
    if (!there)
        return store_exists(s->dirs[STORE_CONTAINERS], id)
                   ? err_new(ERR_NOT_FOUND, "container %.12s: there is no %s", id, file)
                   : no_such(id);
    TRY_CTX(json_parse(str_c(&text), text.len, file, 0, ret), "container %.12s", id);
    return NULL;
}

/* ---- lock ---- */

static struct err *lock_container(const struct store *s, const char *id, enum io_lock how, bool wait, int *ret_fd) {
    char path[512];
    int containers;
    bool got = true;
    TRY(record_path(id, "lock", path));
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    autofd int fd = openat(containers, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOENT ? no_such(id) : err_sys(errno, "lock container %s", id);
    if (wait)
        TRY_CTX(io_lock(fd, how), "lock container %s", id);
    else
        TRY_CTX(io_try_lock(fd, how, &got), "lock container %s", id);
    if (!got)
        return err_new(ERR_IN_USE, "container %.12s is in use by another process", id);
    if (!store_same_file(containers, path, fd)) /* removed while we waited */
        return no_such(id);
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *store_container_lock(const struct store *s, const char *id, bool wait, int *ret_fd) {
    return lock_container(s, id, IO_LOCK_EXCLUSIVE, wait, ret_fd);
}

struct err *store_container_hold(const struct store *s, const char *id, int *ret_fd) {
    return lock_container(s, id, IO_LOCK_SHARED, false, ret_fd);
}

struct err *store_container_running(const struct store *s, const char *id, bool *ret) {
    char path[512];
    int containers;
    TRY(record_path(id, "lock", path));
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    autofd int fd = openat(containers, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        TRY_CTX(io_lock_held(fd, ret), "container %s", id);
        return NULL;
    }
    if (errno != ENOENT)
        return err_sys(errno, "open the lock of container %s", id);
    if (!store_exists(containers, id))
        return no_such(id);
    *ret = false; /* never started */
    return NULL;
}

/* ---- change ---- */

struct err *store_container_lock_records(int dirfd, int *ret_fd) {
    autofd int lock = -1;
    TRY(fd_open_at(dirfd, "records.lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &lock));
    TRY(io_lock(lock, IO_LOCK_EXCLUSIVE));
    *ret_fd = take_fd(&lock);
    return NULL;
}

struct err *store_container_rename(struct store *s, const char *id, const char *new_name) {
    return store_name_change(s, id, new_name);
}

struct err *store_container_remove(struct store *s, const char *id) {
    int containers;
    autojson j = NULL;
    if (!path_is_hex64(id))
        return no_such(id);
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    autoerr unreadable = store_container_read(s, id, "container.json", &j);
    const char *name = json_str_value(json_get(j, "Name"));
    if (!store_exists(containers, id))
        return no_such(id);
    TRY_CTX(store_trash(s, containers, id), "remove container %.12s", id);
    /* A rename may have come between the two: then this name is another's or a stale link, both harmless. */
    if (unreadable || !name)
        return store_names_heal(s);
    return store_name_release(s, name[0] == '/' ? name + 1 : name, id);
}
