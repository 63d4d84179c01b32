/*
 * shift: an image's files as a container with a map of ids of its own sees them.
 *
 * A layer is unpacked once, with the owners of the user's map. For another map each file needs another owner, but no
 * other content, and overlay can take the two from different places: a file that is as long as the real one but has no
 * blocks, with its own owner, mode, times and attributes, and two attributes by which overlay finds the data of the
 * real file in a data-only layer (user.overlay.metacopy, user.overlay.redirect). So a shifted image is
 *
 *     idmaps/<name of the map>/<chain id of its top layer>/diff        what it has, by inodes without data
 *     idmaps/<name of the map>/<chain id of its top layer>/data/<n>/   hard links to the files of its layer n, named by
 *                                                                      their inode numbers
 *
 * It is one tree, its layers merged as the copy driver does it: without the option metacopy, which user namespaces do
 * not get, overlay follows such a redirect from the lowest of the layers that have names, and from no other. The links
 * keep the redirects short: both attributes then fit into the inode (of 256 bytes, on ext4), where a path would take a
 * block of its own for each file. What has no data (directories, links, empty files) is simply made again.
 *
 * Where the kernel's overlay does not do this (before Linux 6.16 it did not in user namespaces), or where it is not
 * used, the shifted image is a copy, <chain id>.full/diff: data by reflink where the file system can.
 *
 * Like a layer it is made in tmp/ and shown by a rename, and never changed. It belongs to whoever uses the map: with
 * the last container of that map, or with the image, the sweep takes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "storage/store_int.h"

static char *place_of(const char *map_name, const char *chain_id, bool full) {
    return mem_printf("%s/%s%s", map_name, digest_hex(chain_id), full ? ".full" : "");
}

struct shifting {
    struct store *s;
    const struct strv *chain_ids; /* in the image's order */
    const struct id_map *map;
    const char *map_name;
    bool full;
};

/*
 * What belongs to an id that the container does not have is to belong to nobody there: to an id of ours that is none of
 * its own, if there is one.
 */
static void find_strays(int dir, struct store_shift *shift) {
    const struct id_map *m = shift->map;
    shift->stray_uid = idmap_foreign(m->uid, m->n_uid);
    shift->stray_gid = idmap_foreign(m->gid, m->n_gid);
    if (fchown(dir, shift->stray_uid, (gid_t)-1) < 0)
        shift->stray_uid = m->uid[0].outside;
    if (fchown(dir, (uid_t)-1, shift->stray_gid) < 0)
        shift->stray_gid = m->gid[0].outside;
}

static struct err *add_layer(const struct shifting *sh, size_t i, int tmp, int to) {
    int layers;
    autofd int from = -1;
    autofd int data = -1;
    struct store_shift shift = {.map = sh->map, .depth = i};
    autofree char *diff = mem_printf("%s/diff", digest_hex(sh->chain_ids->v[i]));
    autofree char *links = mem_printf("data/%zu", i);
    autofree char *shared = store_layer_data(sh->s, sh->chain_ids->v[i]);
    autofd int theirs = -1;
    TRY(store_dir(sh->s, STORE_LAYERS, &layers));
    TRY(fd_open_dir(layers, diff, &from));
    if (shared && sh->full)
        TRY(fd_open_dir(AT_FDCWD, shared, &theirs));
    if (!sh->full) {
        TRY(io_mkdirs(tmp, links, 0700));
        TRY(fd_open_dir(tmp, links, &data));
    }
    shift.data = data;
    find_strays(to, &shift);
    return store_copy_shifted(from, sh->full ? theirs : STORE_DATA_REFER, to, &shift);
}

static struct err *fill(const struct shifting *sh, int tmp) {
    autofd int to = -1;
    if (mkdirat(tmp, "diff", 0755) < 0)
        return err_sys(errno, "make the directory of the files");
    TRY(fd_open_dir(tmp, "diff", &to));
    for (size_t i = 0; i < sh->chain_ids->n; i++) {
        if (sh->full)
            log_warn("copying layer %zu of %zu: this container's files have other owners, and overlay cannot give them "
                     "here",
                     i + 1, sh->chain_ids->n);
        TRY_CTX(add_layer(sh, i, tmp, to), "layer %s", sh->chain_ids->v[i]);
    }
    return syncfs(tmp) < 0 ? err_sys(errno, "write the files to disk") : NULL;
}

static struct err *show(const struct shifting *sh, const char *place, const char *tmp_name) {
    int idmaps, tmp;
    TRY(store_dir(sh->s, STORE_IDMAPS, &idmaps));
    TRY(store_dir(sh->s, STORE_TMP, &tmp));
    TRY(io_mkdirs(idmaps, sh->map_name, 0700));
    if (renameat(tmp, tmp_name, idmaps, place) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        return err_sys(errno, "move it into the store");
    return io_sync(idmaps);
}

static struct err *make(const struct shifting *sh, const char *place) {
    autofree char *name = NULL;
    autofd int tmp = -1;
    TRY(store_tmp_new(sh->s, &name, &tmp));
    struct err *e = fill(sh, tmp);
    if (!e)
        e = show(sh, place, name);
    if (e || store_tmp_alive(sh->s, name)) /* or another was faster */
        err_free(store_tmp_remove(sh->s, name));
    return e;
}

struct err *store_shift_image(struct store *s, const struct strv *chain_ids, const struct id_map *map, bool full) {
    int idmaps;
    char map_name[65];
    const struct shifting sh = {s, chain_ids, map, map_name, full};
    TRY(idmap_name(map, map_name));
    autofree char *place = place_of(map_name, chain_ids->v[chain_ids->n - 1], full);
    TRY(store_dir(s, STORE_IDMAPS, &idmaps));
    if (store_exists(idmaps, place))
        return NULL;
    if (geteuid() != 0)
        return err_sys(EPERM, "give an image's files other owners");
    TRY_CTX(make(&sh, place), "give an image's files other owners");
    return NULL;
}
