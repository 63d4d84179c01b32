/* repair: quarantine, and records that can be made from what is left. See check.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/check.h"
#include "storage/store_int.h"
#include "storage/volumes.h"

#define QUARANTINE "quarantine"

static struct err *open_quarantine(const struct store *s, int *ret_fd) {
    int root = s->dirs[STORE_ROOT];
    if (mkdirat(root, QUARANTINE, 0700) < 0 && errno != EEXIST)
        return err_sys(errno, "make %s/" QUARANTINE, s->root);
    return fd_open_dir(root, QUARANTINE, ret_fd);
}

/* The note goes first: what is moved is never without one. */
static struct err *write_note(int dir, const char *moved, const char *from, const char *why) {
    autostr struct str text = STR_INIT;
    autofree char *file = mem_printf("%s.txt", moved);
    str_appendf(&text, "'coracle system check --repair' moved this here from %s, on ", from);
    clock_format_rfc3339(clock_now(), &text);
    str_appendf(&text, ":\n%s\n", why);
    str_append(&text, "Nothing in it was changed. Delete it, with this note, when you need it no more.\n");
    return io_write_file(dir, file, str_c(&text), text.len, 0600, IO_DURABLE);
}

static struct err *move_away(struct store *s, int from, const char *name, const char *as, const char *why) {
    autofd int dir = -1;
    autofree char *origin = mem_printf("%s/%s", as, name);
    autofree char *flat = mem_dup(as);
    char random[ID_LEN + 1];
    id_random(random);
    for (char *p = flat; (p = strchr(p, '/')); p++)
        *p = '-';
    autofree char *to = mem_printf("%s-%.180s.%.8s", flat, name, random);
    TRY(open_quarantine(s, &dir));
    TRY_CTX(write_note(dir, to, origin, why), "quarantine %s", origin);
    if (renameat(from, name, dir, to) < 0)
        return err_sys(errno, "quarantine %s", origin);
    TRY(io_sync(dir));
    return io_sync(from);
}

struct err *store_quarantine(struct store *s, const char *which, const char *name, const char *why) {
    int from = store_dirfd(s, which);
    if (from < 0 || !path_is_component(name))
        return err_new(ERR_NOT_FOUND, "there is no %s/%s in the store", which, name);
    return move_away(s, from, name, which, why);
}

struct err *store_name_relink(struct store *s, const char *id) {
    autojson j = NULL;
    const char *name;
    int names;
    TRY(store_dir(s, STORE_NAMES, &names));
    TRY(store_container_read(s, id, "container.json", &j));
    TRY(json_get_str(j, "Name", &name));
    TRY(store_name_reserve(s, name[0] == '/' ? name + 1 : name, id));
    return io_sync(names);
}

struct err *store_volume_record(struct store *s, const char *name, const char *why) {
    int volumes;
    autofd int dir = -1;
    struct stat st;
    autofree char *as = mem_printf("volumes/%s", name);
    TRY(store_dir(s, STORE_VOLUMES, &volumes));
    TRY(fd_open_dir(volumes, name, &dir));
    if (fstat(dir, &st) < 0)
        return err_sys(errno, "stat volume %s", name);
    if (store_exists(dir, "volume.json"))
        TRY(move_away(s, dir, "volume.json", as, why));
    const struct store_volume v = {.name = as + strlen("volumes/"),
                                   .created = st.st_ctim.tv_sec * NSEC_PER_SEC + st.st_ctim.tv_nsec};
    return store_volume_write(dir, &v);
}

/* ---- reset ---- */

static struct err *collect_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    if (strcmp(name, "version") != 0)
        strv_push(ctx, name);
    return NULL;
}

/* Cut short, this leaves a store that lacks things, and can be erased again: that it is one stands in its version. */
struct err *store_erase(struct store *s) {
    int root = s->dirs[STORE_ROOT];
    bool got = false;
    autofd int lock = -1;
    autostrv struct strv names = {.n = 0};
    struct err *first = NULL;
    TRY_CTX(fd_open_at(root, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &lock), "lock the store %s", s->root);
    TRY_CTX(io_try_lock(lock, IO_LOCK_EXCLUSIVE, &got), "lock the store %s", s->root);
    if (!got)
        return err_hint(err_new(ERR_IN_USE, "another command is adding to the store %s", s->root),
                        "Let it end, and try again.");
    TRY(io_each_entry(root, collect_name, &names));
    for (size_t i = 0; i < names.n; i++)
        first = err_first(first, io_remove_tree(root, names.v[i]));
    if (first)
        return err_wrap(first, "erase the store %s", s->root);
    return io_remove_tree(root, "version");
}
