/* pull: one image, several, or all that a repository has. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

struct opts {
    bool all_tags, quiet;
    char *platform, *policy;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all-tags",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all_tags),
     .help = "Download all tagged images in the repository"},
    {.name = "disable-content-trust",
     .type = CLI_BOOL,
     .standing = CLI_IGNORED,
     .reason = "notary signatures are never checked",
     .help = "Skip image verification"},
    {.name = "platform", .type = CLI_STRING, .offset = AT(platform), .help = "Platform of the image (linux/arm64)"},
    {.name = "policy",
     .type = CLI_STRING,
     .offset = AT(policy),
     .def = "always",
     .complete = CLI_COMPLETE_WORDS,
     .words = "always missing newer never",
     .help = "When to ask the registry, as podman: \"always\", \"missing\", \"newer\" (keep the stored image when the "
             "registry cannot be asked), \"never\""},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Suppress verbose output"},
    {.name = NULL},
};

static struct err *pull(struct cli_ctx *c, const char *reference, struct image_pulled *ret) {
    const struct opts *o = c->opts;
    int interrupted = -1;
    enum engine_pull_policy policy = PULL_ALWAYS;
    TRY(engine_pull_policy_parse(o->policy, &policy));
    TRY(cli_interrupt_fd(&interrupted));
    struct cli_progress *progress = cli_progress_new(c->out, c->host->stdout_tty, o->quiet);
    const struct engine_pull p = {
        .reference = reference,
        .platform = o->platform,
        .policy = policy,
        .progress = {cli_progress_event, progress},
        .interrupted_fd = &interrupted,
    };
    struct err *e = engine_image_pull(c->engine, &p, ret);
    if (!e)
        cli_progress_finish(progress);
    cli_progress_done(progress);
    return e;
}

static void print_status(struct cli_ctx *c, bool up_to_date, const char *name) {
    const struct opts *o = c->opts;
    autofree char *familiar = engine_reference_familiar(name);
    if (!o->quiet)
        fprintf(c->out, "Status: %s %s\n", up_to_date ? "Image is up to date for" : "Downloaded newer image for",
                familiar);
    fprintf(c->out, "%s\n", name);
}

static struct err *pull_one(struct cli_ctx *c, const char *reference) {
    const struct opts *o = c->opts;
    struct image_pulled got = {.up_to_date = false};
    TRY(pull(c, reference, &got));
    if (!o->quiet)
        fprintf(c->out, "Digest: %s\n", got.digest);
    if (got.reference)
        print_status(c, got.up_to_date, got.reference);
    else
        fprintf(c->out, "sha256:%s\n", got.id);
    free(got.reference);
    return NULL;
}

/* Every tag, one after the other: most of their layers are the same. */
static struct err *pull_all(struct cli_ctx *c, const char *repository) {
    const struct opts *o = c->opts;
    int interrupted = -1;
    bool up_to_date = true;
    autostrv struct strv tags = {.n = 0};
    autofree char *name = NULL;
    const char *slash = strrchr(repository, '/');
    if (strpbrk(slash ? slash : repository, ":@"))
        return err_new(ERR_USAGE, "tag can't be used with --all-tags/-a");
    TRY(cli_interrupt_fd(&interrupted));
    TRY(engine_image_tags(c->engine, repository, &interrupted, &tags));
    if (!tags.n)
        return err_new(ERR_NOT_FOUND, "the repository %s has no tags", repository);
    for (size_t i = 0; i < tags.n; i++) {
        struct image_pulled got = {.up_to_date = false};
        autofree char *reference = mem_printf("%s:%s", repository, tags.v[i]);
        TRY_CTX(pull(c, reference, &got), "pull %s", reference);
        if (!o->quiet)
            fprintf(c->out, "Digest: %s\n", got.digest);
        up_to_date = up_to_date && got.up_to_date;
        mem_set(&name, got.reference);
        free(got.reference);
    }
    *strrchr(name, ':') = '\0';
    print_status(c, up_to_date, name);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    struct err *(*const fn)(struct cli_ctx * c, const char *name) = o->all_tags ? pull_all : pull_one;
    return c->n_args == 1 ? fn(c, c->args[0]) : cli_each(c, fn, ret_code);
}

const struct cmd cmd_pull = {
    .name = "pull",
    .group = "image",
    .top_level = true,
    .summary = "Download images from registries",
    .usage = "[OPTIONS] NAME[:TAG|@DIGEST] [NAME...]",
    .description =
        "Downloads images, or loads them where podman's words say so: docker-archive:FILE, oci-archive:FILE, "
        "oci:DIR[:TAG], dir:DIR. An interrupted download goes on where it stopped the next time; nothing becomes "
        "visible before every digest was right.",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
