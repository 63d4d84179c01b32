#include "cli/cli_int.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool quiet;
    char *platform;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all-tags",
     .letter = 'a',
     .type = CLI_BOOL,
     .standing = CLI_REFUSED,
     .reason = "it arrives with a later release",
     .help = "Download all tagged images in the repository"},
    {.name = "disable-content-trust",
     .type = CLI_BOOL,
     .standing = CLI_IGNORED,
     .reason = "notary signatures are never checked",
     .help = "Skip image verification"},
    {.name = "platform", .type = CLI_STRING, .offset = AT(platform), .help = "Platform of the image (linux/arm64)"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Suppress verbose output"},
    {.name = NULL},
};

static struct err *pull(struct cli_ctx *c, struct cli_progress *progress, const char *reference) {
    const struct opts *o = c->opts;
    int interrupted = -1;
    TRY(cli_interrupt_fd(&interrupted));
    const struct engine_pull p = {
        .reference = reference,
        .platform = o->platform,
        .progress = {cli_progress_event, progress},
        .interrupted_fd = &interrupted,
    };
    struct image_pulled got = {.up_to_date = false};
    TRY(engine_image_pull(c->engine, &p, &got));
    cli_progress_finish(progress);
    autofree char *name = engine_reference_familiar(got.reference);
    if (!o->quiet)
        fprintf(c->out, "Digest: %s\nStatus: %s %s\n", got.digest,
                got.up_to_date ? "Image is up to date for" : "Downloaded newer image for", name);
    fprintf(c->out, "%s\n", got.reference);
    free(got.reference);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    struct cli_progress *progress = cli_progress_new(c->out, c->host->stdout_tty, o->quiet);
    struct err *e = pull(c, progress, c->args[0]);
    cli_progress_done(progress);
    return e;
}

const struct cmd cmd_pull = {
    .name = "pull",
    .group = "image",
    .top_level = true,
    .summary = "Download an image from a registry",
    .usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
    .description = "Downloads an image. An interrupted download goes on where it stopped the next time; nothing "
                   "becomes visible before every digest was right.",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
