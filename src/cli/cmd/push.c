#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "engine/registries.h"

struct opts {
    bool all_tags, quiet;
    char *platform, *compression;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all-tags",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all_tags),
     .help = "Push all tags of an image to the repository"},
    {.name = "compression-format",
     .type = CLI_STRING,
     .offset = AT(compression),
     .help = "How to compress layers that were made here (gzip, zstd)"},
    {.name = "disable-content-trust",
     .type = CLI_BOOL,
     .standing = CLI_IGNORED,
     .reason = "notary signatures are never made",
     .help = "Skip image signing"},
    {.name = "platform",
     .type = CLI_STRING,
     .offset = AT(platform),
     .help = "Push only if the image is for this platform (linux/arm64)"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Suppress verbose output"},
    {.name = NULL},
};

static struct err *push(struct cli_ctx *c, struct cli_progress *progress, const char *reference) {
    const struct opts *o = c->opts;
    int interrupted = -1;
    TRY(cli_interrupt_fd(&interrupted));
    const struct engine_push p = {
        .reference = reference,
        .platform = o->platform,
        .compression = o->compression,
        .progress = {cli_progress_event, progress},
        .interrupted_fd = &interrupted,
    };
    struct image_pushed got = {.size = 0};
    autofree char *tag = NULL;
    TRY(engine_image_push(c->engine, &p, &got, &tag));
    cli_progress_finish(progress);
    if (!o->quiet)
        fprintf(c->out, "%s: digest: %s size: %lld\n", tag, got.digest, (long long)got.size);
    return NULL;
}

static struct err *push_one(struct cli_ctx *c, const char *reference) {
    const struct opts *o = c->opts;
    struct cli_progress *progress = cli_progress_new(c->out, c->host->stdout_tty, o->quiet);
    struct err *e = push(c, progress, reference);
    cli_progress_done(progress);
    return e;
}

static bool has_tag(const char *name) {
    const char *slash = strrchr(name, '/');
    return strchr(slash ? slash : name, ':') != NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0};
    if (o->compression && !str_eq(o->compression, "gzip") && !str_eq(o->compression, "zstd"))
        return err_new(ERR_USAGE, "unknown compression format \"%s\": choose gzip or zstd", o->compression);
    if (o->all_tags)
        TRY(engine_push_tags(c->engine, c->args[0], &names));
    else
        strv_push(&names, c->args[0]);
    if (!o->all_tags && !o->quiet && !has_tag(c->args[0]))
        fputs("Using default tag: latest\n", c->out);
    for (size_t i = 0; i < names.n; i++)
        TRY(push_one(c, names.v[i]));
    if (o->quiet)
        fprintf(c->out, "%s\n", c->args[0]);
    return NULL;
}

const struct cmd cmd_push = {
    .name = "push",
    .group = "image",
    .top_level = true,
    .summary = "Upload an image to a registry",
    .usage = "[OPTIONS] NAME[:TAG]",
    .description =
        "Uploads an image with the digests that it has here: what was pulled is sent as it came. Layers that "
        "were made here are compressed once. Blobs that the registry has already, also in another of its "
        "repositories that an image here is known to be in, are not sent again.",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
