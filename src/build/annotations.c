/* annotations: --annotation [TYPE[,TYPE…]:]KEY=VALUE, as buildx has it. */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "build/export_int.h"

void export_annotations_done(struct export_annotations *a) {
    json_free(a->manifest);
    json_free(a->index);
    json_free(a->descriptor);
    *a = (struct export_annotations){.manifest = NULL};
}

static void set(struct json **where, const char *key, const char *value) {
    if (!*where)
        *where = json_object();
    json_set_str(*where, key, value);
}

/* How long the types before a key are, with their ':'; 0: there are none, and a ':' is the key's own. */
static size_t types_len(const char *text) {
    static const char *const known[] = {"manifest-descriptor", "index-descriptor", "manifest", "index"};
    const char *colon = strchr(text, ':'), *eq = strchr(text, '=');
    if (!colon || (eq && eq < colon))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_starts(text, known[i]) && strchr(":,[", text[strlen(known[i])]))
            return (size_t)(colon + 1 - text);
    return 0;
}

static struct err *add(const char *text, const char *type, const char *pair, struct export_annotations *a) {
    const char *eq = strchr(pair, '=');
    autofree char *key = mem_dupn(pair, (size_t)(eq - pair));
    if (str_eq(type, "manifest"))
        set(&a->manifest, key, eq + 1);
    else if (str_eq(type, "index"))
        set(&a->index, key, eq + 1);
    else if (str_eq(type, "manifest-descriptor"))
        set(&a->descriptor, key, eq + 1);
    else if (str_eq(type, "index-descriptor"))
        return err_new(ERR_UNSUPPORTED, "--annotation %s: nothing describes an index here but its name", text);
    else if (strchr(type, '['))
        return err_new(ERR_UNSUPPORTED, "--annotation %s: annotations are of all platforms", text);
    else
        return err_new(ERR_USAGE, "--annotation %s: unknown annotation type \"%s\"", text, type);
    return NULL;
}

static struct err *parse(const char *text, bool index, struct export_annotations *a) {
    size_t n = types_len(text);
    autofree char *types = n ? mem_dupn(text, n - 1) : mem_dup("manifest");
    const char *pair = text + n, *eq = strchr(pair, '=');
    autostrv struct strv list = {.n = 0};
    if (!eq || eq == pair)
        return err_new(ERR_USAGE, "invalid annotation \"%s\", expected key=value", text);
    if (!index && !str_eq(types, "manifest"))
        return err_new(ERR_UNSUPPORTED, "--annotation %s: an image for one platform has a manifest and no index", text);
    strv_split(&list, types, ',');
    for (size_t i = 0; i < list.n; i++)
        TRY(add(text, list.v[i], pair, a));
    return NULL;
}

struct err *export_annotations_parse(const struct strv *typed, bool index, struct export_annotations *ret) {
    for (size_t i = 0; i < typed->n; i++)
        TRY(parse(typed->v[i], index, ret));
    return NULL;
}
