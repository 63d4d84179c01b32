/* layer: chain ids, the presence of layers, and a layer on another place. Unpacking is in unpack_client.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "storage/builds.h"
#include "storage/store_int.h"

_Static_assert(DIGEST_LEN + 1 == 72, "store.h's arrays hold a digest");

struct err *store_chain_id(const char *parent_or_null, const char *diff_id, char ret[72]) {
    if (!digest_ok(diff_id))
        return err_new(ERR_CORRUPT, "the diff id %s is not a sha256 digest", diff_id);
    if (!parent_or_null) {
        memcpy(ret, diff_id, DIGEST_LEN + 1);
        return NULL;
    }
    if (!digest_ok(parent_or_null))
        return err_new(ERR_CORRUPT, "the chain id %s is not a sha256 digest", parent_or_null);
    autofree char *pair = mem_printf("%s %s", parent_or_null, diff_id);
    return digest_of(pair, strlen(pair), ret);
}

bool store_layer_has(const struct store *s, const char *chain_id) {
    int layers;
    if (!digest_ok(chain_id))
        return false;
    autoerr e = store_dir(s, STORE_LAYERS, &layers);
    if (e)
        return false;
    char path[ID_LEN + sizeof "/diff"];
    memcpy(path, digest_hex(chain_id), ID_LEN);
    memcpy(path + ID_LEN, "/diff", sizeof "/diff");
    return store_exists(layers, path);
}

/* ---- on another place ---- */

struct err *store_layer_links(const struct store *s, const char *chain_id, int tmp_fd) {
    autofree char *diff = mem_printf("%s/diff", digest_hex(chain_id));
    autofd int from = -1;
    autofd int to = -1;
    int layers;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    TRY(store_layer_mark_shared(layers, digest_hex(chain_id)));
    TRY(store_layer_mark_shared(tmp_fd, "."));
    if (mkdirat(tmp_fd, "diff", 0755) < 0)
        return err_sys(errno, "make the directory of the files");
    TRY(fd_open_dir(layers, diff, &from));
    TRY(fd_open_dir(tmp_fd, "diff", &to));
    return store_copy_linked(from, to);
}

static struct err *copy_digest(const struct json *info, const char *key, char ret[72]) {
    const char *digest = json_text(info, key);
    if (!digest_ok(digest))
        return err_new(ERR_CORRUPT, "a layer's record has no %s", key);
    memcpy(ret, digest, DIGEST_LEN + 1);
    return NULL;
}

struct err *store_layer_rebase(struct store *s, const char *name, int tmp_fd, const char *chain_id, const char *parent,
                               char ret[72]) {
    autofree char *path = mem_printf("%s/info.json", digest_hex(chain_id));
    autojson info = NULL;
    struct store_unpacked u;
    int layers;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    TRY(json_read_file(layers, path, &info));
    u = (struct store_unpacked){.blob_size = json_int_value(json_get(info, "blob_size"), 0),
                                .diff_size = json_int_value(json_get(info, "diff_size"), 0),
                                .entries = json_int_value(json_get(info, "entries"), 0),
                                .skipped_devices = json_int_value(json_get(info, "skipped_devices"), 0)};
    TRY(copy_digest(info, "blob", u.blob_digest));
    TRY(copy_digest(info, "diff_id", u.diff_id));
    TRY(store_chain_id(parent, u.diff_id, u.chain_id));
    TRY(store_layer_commit(s, name, tmp_fd, &u, false));
    memcpy(ret, u.chain_id, sizeof u.chain_id);
    return NULL;
}
