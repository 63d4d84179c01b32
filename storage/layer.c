/* layer: chain ids and the presence of layers. Unpacking is in unpack_client.c. */
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"
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
