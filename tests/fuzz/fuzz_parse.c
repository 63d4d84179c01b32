/* Command lines of `run`: an argument a line. Nothing is lost: what is no flag comes out as positional, in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/run_flags_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_positionals(const struct strv *args, const struct strv *got) {
    if (got->n > args->n)
        abort();
    for (size_t i = 0; i < got->n; i++)
        if (strcmp(got->v[i], args->v[args->n - got->n + i]) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run_line r;
    run_line_begin(&r, data, size);
    autoerr e = cli_flags_parse(&r.p, (int)r.args.n, r.args.v);
    if (e && err_kind(e) != ERR_USAGE && err_kind(e) != ERR_UNSUPPORTED)
        abort();
    if (!e && !r.p.help)
        check_positionals(&r.args, &r.positionals);
    run_line_end(&r);
    return 0;
}
