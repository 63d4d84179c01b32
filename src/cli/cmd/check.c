/* system check: is the store sound, and if not, what is wrong with what. */
#include "engine/check.h"
#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    bool quick, repair, force;
    char *format, *max;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = AT(force),
     .help = "Remove damaged images, and containers of them",
     .standing = CLI_REFUSED,
     .reason = "a repair removes nothing; what cannot be mended is moved to the store's quarantine directory"},
    {.name = "format", .type = CLI_STRING, .offset = AT(format), .help = "Format the report: json, or a Go TEMPLATE"},
    {.name = "max",
     .letter = 'm',
     .type = CLI_STRING,
     .offset = AT(max),
     .metavar = "duration",
     .help = "Maximum age of unreferenced layers",
     .standing = CLI_REFUSED,
     .reason = "layers that nothing refers to are no fault, and go with the next prune or rmi"},
    {.name = "quick",
     .letter = 'q',
     .type = CLI_BOOL,
     .offset = AT(quick),
     .help = "Do not read the contents of blobs and layers"},
    {.name = "repair",
     .letter = 'r',
     .type = CLI_BOOL,
     .offset = AT(repair),
     .help = "Pull or unpack again what is damaged, and move to quarantine what cannot be mended"},
    {.name = NULL},
};

static void print_finding(FILE *out, const struct json *f) {
    const char *repaired = json_text(f, "Repaired"), *failed = json_text(f, "Failed");
    autostr struct str line = STR_INIT;
    str_appendf(&line, "%s %s: %s", json_text(f, "Kind"), json_text(f, "Name"), json_text(f, "Problem"));
    if (*repaired)
        str_appendf(&line, "; %s", repaired);
    else if (*failed)
        str_appendf(&line, "; not repaired: %s", failed);
    fprintf(out, "%s\n", str_c(&line));
}

static void print_report(FILE *out, const struct json *report) {
    const struct json *findings = json_get(report, "Findings");
    long long leftovers = (long long)json_int_value(json_get(report, "Leftovers"), 0);
    const char *comma = "";
    JSON_EACH(f, findings) { print_finding(out, f); }
    fputs("Checked ", out);
    JSON_EACH(n, json_get(report, "Checked")) {
        fprintf(out, "%s%s %lld", comma, json_key(n), (long long)json_int_value(n, 0));
        comma = ", ";
    }
    fprintf(out, ".\nThe store %s ", json_text(report, "Root"));
    if (json_bool_value(json_get(report, "Sound"), false))
        fputs(json_count(findings) ? "is sound again.\n" : "is sound.\n", out);
    else
        fprintf(out, "is damaged: %zu %s.\n", json_count(findings), json_count(findings) == 1 ? "finding" : "findings");
    if (leftovers)
        fprintf(out, "Interrupted commands left %lld %s, which the next prune removes.\n", leftovers,
                leftovers == 1 ? "thing" : "things");
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    const struct engine_check check = {.quick = o->quick, .repair = o->repair};
    autojson report = NULL;
    *ret_code = 125; /* of an error; see below */
    if (o->format)
        TRY(cli_check_format(o->format, ret_code));
    TRY(engine_check(c->engine, &check, &report));
    if (o->format)
        TRY(cli_render_object(c, report, o->format));
    else
        print_report(c->out, report);
    *ret_code = json_bool_value(json_get(report, "Sound"), false) ? 0 : 1;
    return NULL;
}

const struct cmd cmd_system_check = {
    .name = "check",
    .group = "system",
    .summary = "Verify the store, and repair it",
    .usage = "[OPTIONS]",
    .description =
        "Verifies every record, every reference, the digest of every blob, and that the files of every layer are those "
        "of its blob; one line each for what is wrong. Others may go on working meanwhile. Not verified are the times "
        "of directories, and layers whose blob is not in the store. With --repair, what a registry still has is pulled "
        "again by its digest, layers and records are made again from the blobs, and what cannot be mended is moved to "
        "the directory quarantine of the store, beside a note. Nothing is deleted. The exit code is 0 for a sound "
        "store (also after a repair), 1 for one that is not, 125 when it cannot be told.",
    .examples = "coracle system check\ncoracle system check --repair\ncoracle system check --quick --format json",
    .max_args = 0,
    .usage_exit = 125,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
