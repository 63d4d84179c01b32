/* volumes: see volumes.h. */
#include "storage/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/store_int.h"

#define RECORD "volume.json"
#define DATA "_data"
#define FILLING "filling"

void store_volume_done(struct store_volume *v) {
    free(v->name);
    strmap_done(&v->labels);
    strmap_done(&v->options);
    *v = (struct store_volume){.name = NULL};
}

static bool name_ok(const char *name) { return id_name_ok(name) && strlen(name) <= NAME_MAX; }

static struct err *check_name(const char *name) {
    if (name_ok(name))
        return NULL;
    if (strlen(name) == 1)
        return err_new(ERR_USAGE, "volume name is too short, names should be at least two alphanumeric characters");
    return err_hint(err_new(ERR_USAGE,
                            "\"%s\" includes invalid characters for a local volume name, only "
                            "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
                            name),
                    "a name has 2 to %d characters; a directory of the host is given as an absolute path", NAME_MAX);
}

static struct err *no_such(const char *name) { return err_new(ERR_NOT_FOUND, "get %s: no such volume", name); }

char *store_volume_path(const char *root, const char *name) {
    return mem_printf("%s/%s/%s/" DATA, root, store_dir_name(STORE_VOLUMES), name);
}

struct err *store_volumes_lock(const struct store *s, bool exclusive, int *ret_fd) {
    int volumes;
    autofd int fd = -1;
    TRY(store_dir(s, STORE_VOLUMES, &volumes));
    TRY(fd_open_dir(volumes, ".", &fd));
    TRY_CTX(io_lock_dir(fd, exclusive ? IO_LOCK_EXCLUSIVE : IO_LOCK_SHARED), "lock %s/volumes", store_root(s));
    *ret_fd = take_fd(&fd);
    return NULL;
}

/* ---- make and remove ---- */

struct err *store_volume_write(int dir, const struct store_volume *v) {
    autojson j = json_object();
    json_set_str(j, "Name", v->name);
    json_set_int(j, "Created", v->created);
    json_set_bool(j, "Anonymous", v->anonymous);
    json_set_strmap(j, "Labels", &v->labels);
    json_set_strmap(j, "Options", &v->options);
    return json_write_file(dir, RECORD, j, 0600, IO_DURABLE); /* which syncs the directory, too */
}

static struct err *make_content(int dir, const struct store_volume *v, const char *device) {
    if ((device ? symlinkat(device, dir, DATA) : mkdirat(dir, DATA, 0755)) < 0)
        return err_sys(errno, "make volume %s", v->name);
    if (!device && fchmodat(dir, DATA, 0755, 0) < 0) /* whatever the umask */
        return err_sys(errno, "make volume %s", v->name);
    return store_volume_write(dir, v);
}

struct err *store_volume_create(struct store *s, const struct store_volume *v, const char *device, bool *ret_made) {
    int volumes, tmp;
    autofd int dir = -1;
    autofree char *work = NULL;
    *ret_made = false;
    TRY(check_name(v->name));
    TRY(store_dir(s, STORE_VOLUMES, &volumes));
    TRY(store_dir(s, STORE_TMP, &tmp));
    if (store_exists(volumes, v->name))
        return NULL;
    TRY(store_tmp_new(s, &work, &dir));
    struct err *e = make_content(dir, v, device);
    if (!e && renameat(tmp, work, volumes, v->name) < 0) {
        if (errno == EEXIST || errno == ENOTEMPTY) { /* somebody was quicker: theirs it is */
            err_free(store_tmp_remove(s, work));
            return NULL;
        }
        e = err_sys(errno, "make volume %s", v->name);
    }
    if (e) {
        err_free(store_tmp_remove(s, work));
        return e;
    }
    *ret_made = true;
    return io_sync(volumes);
}

struct err *store_volume_remove(struct store *s, const char *name) {
    int volumes;
    TRY(store_dir(s, STORE_VOLUMES, &volumes));
    if (!name_ok(name) || !store_exists(volumes, name))
        return no_such(name);
    TRY(store_trash(s, volumes, name));
    return io_sync(volumes);
}

/* ---- look ---- */

static struct err *open_volume(const struct store *s, const char *name, int *ret_fd) {
    int volumes;
    TRY(store_dir(s, STORE_VOLUMES, &volumes));
    if (!name_ok(name))
        return no_such(name);
    struct err *e = fd_open_at(volumes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, ret_fd);
    if (!e || err_errno(e) != ENOENT)
        return e;
    err_free(e);
    return no_such(name);
}

struct err *store_volume_open(const struct store *s, const char *name, int *ret_fd) {
    autofd int dir = -1;
    TRY(open_volume(s, name, &dir));
    TRY_CTX(fd_open_at(dir, DATA, O_RDONLY | O_DIRECTORY, 0, ret_fd), "volume %s", name);
    return NULL;
}

static struct err *read_record(int dir, const char *name, struct store_volume *v) {
    autojson j = NULL;
    TRY_CTX(json_read_file(dir, RECORD, &j), "volume %s", name);
    TRY(json_get_i64_opt(j, "Created", 0, &v->created));
    TRY(json_get_bool_opt(j, "Anonymous", false, &v->anonymous));
    TRY(json_get_strmap_opt(j, "Labels", &v->labels));
    return json_get_strmap_opt(j, "Options", &v->options);
}

struct err *store_volume_get(const struct store *s, const char *name, struct store_volume *ret) {
    autofd int dir = -1;
    struct store_volume v = {.name = NULL};
    TRY(open_volume(s, name, &dir));
    struct err *e = read_record(dir, name, &v);
    if (e) {
        store_volume_done(&v);
        return e;
    }
    v.name = mem_dup(name);
    *ret = v;
    return NULL;
}

static struct err *add_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    if (name_ok(name))
        strv_push(ctx, name);
    return NULL;
}

struct err *store_volume_names(const struct store *s, struct strv *out) {
    int volumes;
    TRY(store_dir(s, STORE_VOLUMES, &volumes));
    TRY(io_each_entry(volumes, add_name, out));
    strv_sort(out);
    return NULL;
}

struct err *store_volume_size(const struct store *s, const char *name, int64_t *ret) {
    autofd int dir = -1;
    struct stat st;
    struct store_usage usage = {.bytes = 0};
    *ret = 0;
    TRY(open_volume(s, name, &dir));
    if (fstatat(dir, DATA, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return NULL;
    TRY(store_measure(dir, DATA, &usage));
    *ret = usage.bytes;
    return NULL;
}

/* ---- the image's files ---- */

static struct err *found_one(void *ctx, const char *name, unsigned char d_type) {
    (void)name;
    (void)d_type;
    *(bool *)ctx = true;
    return NULL;
}

/* Nothing in it, or not all that was to be. */
static struct err *wants_files(int dir, int data, bool *ret) {
    bool any = false;
    TRY(io_each_entry(data, found_one, &any));
    *ret = !any || store_exists(dir, FILLING);
    return NULL;
}

static struct err *fill(int dir, int data, int source) {
    autofd int lock = -1;
    bool wanted;
    TRY(fd_open_at(dir, RECORD, O_RDWR | O_NOFOLLOW, 0, &lock));
    TRY(io_lock(lock, IO_LOCK_EXCLUSIVE));
    TRY(wants_files(dir, data, &wanted)); /* somebody else may have done it while we waited */
    if (!wanted)
        return NULL;
    autofd int mark = -1;
    TRY(fd_open_at(dir, FILLING, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600, &mark));
    TRY(store_copy_tree(source, data));
    if (unlinkat(dir, FILLING, 0) < 0)
        return err_sys(errno, "remove the mark of an unfinished copy");
    return NULL;
}

struct err *store_volume_fill(const char *store_root, const char *name, int image_root, const char *target) {
    autofree char *path = mem_printf("%s/%s/%s", store_root, store_dir_name(STORE_VOLUMES), name);
    autofd int dir = -1, data = -1;
    autofd int source = path_find_in_root(image_root, target, O_RDONLY | O_DIRECTORY);
    bool wanted;
    if (source < 0) /* nothing there, or no directory: the mount will say what there is to say */
        return NULL;
    TRY(fd_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir));
    TRY_CTX(fd_open_at(dir, DATA, O_RDONLY | O_DIRECTORY, 0, &data), "volume %s", name);
    TRY(wants_files(dir, data, &wanted));
    if (wanted)
        TRY_CTX(fill(dir, data, source), "copy the image's %s into volume %s", target, name);
    return NULL;
}
