/* --mount and --tmpfs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct err *take_e, struct spec_mount *m) {
    autoerr e = take_e;
    if (e) {
        if (m->target || m->source)
            abort(); /* the result must be untouched on failure */
        return;
    }
    if (!m->target || *m->target != '/' || strcmp(m->target, "/") == 0 || strstr(m->target, "/../"))
        abort();
    if (m->type == SPEC_MOUNT_BIND && (!m->source || (*m->source != '/' && *m->source != '.')))
        abort();
    if (m->type == SPEC_MOUNT_TMPFS && m->source)
        abort();
    spec_mount_done(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    struct spec_mount m = {.source = NULL};
    check(spec_parse_mount(text, &m), &m);
    m = (struct spec_mount){.source = NULL};
    check(spec_parse_tmpfs(text, &m), &m);
    return 0;
}
