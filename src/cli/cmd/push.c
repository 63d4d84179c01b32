#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

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

static struct err *push(struct cli_ctx *c, struct cli_progress *progress, const char *reference, const char *image) {
    const struct opts *o = c->opts;
    int interrupted = -1;
    TRY(cli_interrupt_fd(&interrupted));
    const struct engine_push p = {
        .reference = reference,
        .image = image,
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

static struct err *push_one(struct cli_ctx *c, const char *reference, const char *image) {
    const struct opts *o = c->opts;
    struct cli_progress *progress = cli_progress_new(c->out, c->host->stdout_tty, o->quiet);
    struct err *e = push(c, progress, reference, image);
    cli_progress_done(progress);
    return e;
}

/* ---- podman's destinations ---- */

struct destination {
    struct cli_ctx *c;
    const struct image_location *to;
};

static struct err *write_to(void *ctx, int fd) {
    const struct destination *d = ctx;
    return engine_image_write(d->c->engine, d->c->args[0], d->to, fd);
}

static struct err *write_image(struct cli_ctx *c, const struct image_location *to) {
    const struct opts *o = c->opts;
    struct destination destination = {c, to};
    autofd int dir = -1;
    if (o->all_tags || o->platform || o->compression)
        return err_hint(err_new(ERR_USAGE, "--all-tags, --platform and --compression-format are for registries"),
                        "what is written to files is the image as it is stored");
    if (to->transport == IMAGE_DOCKER_ARCHIVE && access(to->path, F_OK) == 0)
        return err_new(ERR_CONFLICT, "%s is there already, and docker's archives are never added to", to->path);
    if (to->transport == IMAGE_DOCKER_ARCHIVE || to->transport == IMAGE_OCI_ARCHIVE)
        return cli_to_file(c, to->path, write_to, &destination);
    TRY(io_mkdirs(AT_FDCWD, to->path, 0755));
    TRY(fd_open_dir(AT_FDCWD, to->path, &dir));
    return write_to(&destination, dir);
}

/* push IMAGE DESTINATION */
static struct err *push_to(struct cli_ctx *c) {
    const struct opts *o = c->opts;
    autoenginelocation to = {.path = NULL};
    TRY(engine_location_parse(c->args[1], &to));
    if (to.transport != IMAGE_REGISTRY)
        return write_image(c, &to);
    if (o->all_tags)
        return err_new(ERR_USAGE, "--all-tags pushes all tags of one name: it takes no destination");
    return push_one(c, to.reference, c->args[0]);
}

/* ---- docker's ---- */

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0};
    if (o->compression && !str_eq(o->compression, "gzip") && !str_eq(o->compression, "zstd"))
        return err_new(ERR_USAGE, "unknown compression format \"%s\": choose gzip or zstd", o->compression);
    if (c->n_args > 1)
        return push_to(c);
    if (o->all_tags)
        TRY(engine_push_tags(c->engine, c->args[0], &names));
    else
        strv_push(&names, c->args[0]);
    if (!o->all_tags && !o->quiet && !cli_tag_of(c->args[0]))
        fputs("Using default tag: latest\n", c->out);
    for (size_t i = 0; i < names.n; i++)
        TRY(push_one(c, names.v[i], NULL));
    if (o->quiet)
        fprintf(c->out, "%s\n", c->args[0]);
    return NULL;
}

const struct cmd cmd_push = {
    .name = "push",
    .group = "image",
    .top_level = true,
    .summary = "Upload an image to a registry",
    .usage = "[OPTIONS] NAME[:TAG] [DESTINATION]",
    .description =
        "Uploads an image with the digests that it has here: what was pulled is sent as it came. Layers that "
        "were made here are compressed once. Blobs that the registry has already, also in another of its "
        "repositories that an image here is known to be in, are not sent again. With a destination, podman's words: "
        "another name "
        "(docker://REGISTRY/NAME:TAG), or files: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], "
        "dir:DIR.",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
