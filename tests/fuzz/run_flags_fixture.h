/* What fuzzers of run's command line share: reading one, an argument a line. */
#pragma once

#include <stdint.h>

#include "cli/cmd/container_flags_int.h"

struct run_line {
    struct strv args, positionals, warnings;
    struct container_flags f;
    struct cli_parse p;
};

static inline void run_line_begin(struct run_line *r, const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    *r = (struct run_line){.f = {.quiet = false}};
    r->p = (struct cli_parse){.command = "run",
                              .flags = cli_container_flags,
                              .opts = &r->f,
                              .stop_at_positional = true,
                              .positionals = &r->positionals,
                              .warnings = &r->warnings};
    strv_split(&r->args, text, '\n');
    cli_flags_init(cli_container_flags, &r->f);
}

static inline void run_line_end(struct run_line *r) {
    cli_flags_done(cli_container_flags, &r->f);
    container_flags_done(&r->f);
    strv_done(&r->args);
    strv_done(&r->positionals);
    strv_done(&r->warnings);
}
