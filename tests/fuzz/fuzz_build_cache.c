/*
 * The build cache of another machine: its manifest, a NUL, and its config. What is taken has layers whose names can be
 * looked up, and a record, a note and a cache mount either name something that is there, or are refused when asked for.
 */
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/cache.h"
#include "image/cache_int.h"
#include "require_fixture.h"
#include "storage/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As src/build/caches_in.c reads them. */
static void layers_of(const struct image_cache *c, const struct json *part, const char *text) {
    JSON_EACH(words, part) {
        autostr struct str shown = STR_INIT;
        const struct store_layer_ref *l = image_cache_layer(c, json_int_value(json_get(words, "layer"), -1));
        str_append_visible(&shown, json_text(words, text));
        require(str_utf8_ok(str_c(&shown), shown.len));
        if (!l)
            continue;
        char chain[DIGEST_LEN + 1];
        autoerr bad = store_chain_id(NULL, l->diff_id, chain);
        require(digest_ok(l->blob) && !bad && l->size >= 0 && l->media_type && image_cache_has(c, l));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = size ? (const char *)data : "";
    size_t n = strnlen(text, size);
    autostr struct str config = STR_INIT;
    struct image_cache *c = NULL;
    if (n < size)
        str_append_n(&config, text + n + 1, size - n - 1);
    autoerr e = cache_of_texts(text, n, &config, &c);
    require(!e == !!c);
    if (e)
        return 0;
    const struct json *all = image_cache_words(c);
    require(json_type(all) == JSON_OBJECT);
    layers_of(c, json_get(all, "records"), "step");
    layers_of(c, json_get(all, "mounts"), "id");
    JSON_EACH(note, json_get(all, "notes")) { (void)digest_ok(json_text(json_get(all, "notes"), json_key(note))); }
    require(!image_cache_layer(c, -1) && !image_cache_layer(c, INT64_MAX));
    image_cache_free(c);
    return 0;
}
