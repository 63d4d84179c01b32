/* Command lines of `run`: an argument a line. Nothing is lost: what is no flag comes out as positional, in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd/container_flags_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_positionals(const struct strv *args, const struct strv *got) {
    if (got->n > args->n)
        abort();
    for (size_t i = 0; i < got->n; i++)
        if (strcmp(got->v[i], args->v[args->n - got->n + i]) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autostrv struct strv args = {0}, positionals = {0}, warnings = {0};
    strv_split(&args, text, '\n');
    struct container_flags f = {.quiet = false};
    struct cli_parse p = {.command = "run",
                          .flags = cli_container_flags,
                          .opts = &f,
                          .stop_at_positional = true,
                          .positionals = &positionals,
                          .warnings = &warnings};
    cli_flags_init(cli_container_flags, &f);
    autoerr e = cli_flags_parse(&p, (int)args.n, args.v);
    if (e && err_kind(e) != ERR_USAGE && err_kind(e) != ERR_UNSUPPORTED)
        abort();
    if (!e && !p.help)
        check_positionals(&args, &positionals);
    cli_flags_done(cli_container_flags, &f);
    container_flags_done(&f);
    return 0;
}
