/* system dedup: files that layers have in common are stored once. */
#include "engine/dedup.h"
#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    bool dry_run;
    char *format;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "dry-run", .type = CLI_BOOL, .offset = AT(dry_run), .help = "Only say what there is to save"},
    {.name = "format", .type = CLI_STRING, .offset = AT(format), .help = "Format the report: json, or a Go TEMPLATE"},
    {.name = NULL},
};

static void print_report(const struct cli_ctx *c, const struct json *report, bool dry_run) {
    autostr struct str bytes = STR_INIT;
    long long files = (long long)json_int_value(json_get(report, "Files"), 0);
    long long in_use = (long long)json_int_value(json_get(report, "InUse"), 0);
    cli_human_size(json_int_value(json_get(report, "Bytes"), 0), 4, &bytes);
    fprintf(c->out, "%s: %s (%lld %s, by %ss)\n", dry_run ? "Space to be saved" : "Total saved space", str_c(&bytes),
            files, files == 1 ? "file" : "files", json_text(report, "Method"));
    if (in_use)
        fprintf(c->out, "In use by containers, and left as they are: %lld %s\n", in_use,
                in_use == 1 ? "layer" : "layers");
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    autojson report = NULL;
    if (o->format)
        TRY(cli_check_format(o->format, ret_code));
    TRY(engine_dedup(c->engine, o->dry_run, &report));
    if (o->format)
        return cli_render_object(c, report, o->format);
    print_report(c, report, o->dry_run);
    return NULL;
}

const struct cmd cmd_system_dedup = {
    .name = "dedup",
    .group = "system",
    .summary = "Store files that several images have in common once",
    .usage = "[OPTIONS]",
    .description =
        "Looks for files of 4 KiB and more that layers of different images have in common. Where the file system has "
        "reflinks (btrfs, xfs), files of equal content share their blocks. Elsewhere files that are also equal in "
        "owner, mode, time and attributes become one file, if no image has both; layers of running containers stay as "
        "they are. Containers see nothing of it but a number of links. It can be interrupted at any time. To have it "
        "done for each image that is pulled, loaded or imported, put {\"dedup\": true} into config.json.",
    .examples = "coracle system dedup --dry-run\ncoracle system dedup",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
