/* References: whatever parses is well-formed, and its canonical form means itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/ref_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct image_ref *r) {
    struct image_ref again = {0};
    autofree char *canonical = image_ref_canonical(r);
    autofree char *name = image_ref_familiar_name(r);
    autofree char *familiar = image_ref_familiar(canonical);
    if (!ref_domain_ok(r->domain) || !ref_path_ok(r->path) || (r->tag && !ref_tag_ok(r->tag)) ||
        (!r->tag && !r->digest))
        abort();
    autoerr e = image_ref_parse(canonical, &again);
    if (e)
        abort();
    autofree char *twice = image_ref_canonical(&again);
    image_ref_done(&again);
    if (strcmp(canonical, twice) || !*name || !*familiar)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    struct image_ref r = {0};
    autoerr e = image_ref_parse(text, &r);
    if (!e)
        check(&r);
    else if (r.domain || r.path || r.tag || r.digest)
        abort();
    image_ref_done(&r);
    return 0;
}
