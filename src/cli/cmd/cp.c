#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "engine/files.h"

struct opts {
    bool archive, follow_link, quiet;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "archive",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(archive),
     .help = "Archive mode (copy all uid/gid information)"},
    {.name = "follow-link",
     .letter = 'L',
     .type = CLI_BOOL,
     .offset = AT(follow_link),
     .help = "Always follow symbol link in SRC_PATH"},
    {.name = "quiet",
     .letter = 'q',
     .type = CLI_BOOL,
     .offset = AT(quiet),
     .help = "Suppress progress output during copy; it is suppressed anyway if no terminal is attached"},
    {.name = NULL},
};

/* docker's splitCpArg: what starts with "/" or "." is a path of the user's, whatever colons it has. */
static void split(const char *arg, int stream_fd, struct engine_copy_end *ret, char **ret_container) {
    const char *colon = strchr(arg, ':');
    *ret = (struct engine_copy_end){.path = arg, .tar = !strcmp(arg, "-"), .fd = stream_fd};
    if (!colon || arg[0] == '/' || arg[0] == '.')
        return;
    *ret_container = mem_dupn(arg, (size_t)(colon - arg));
    if (**ret_container) /* as docker, what has nothing before its colon is the user's own: without the colon */
        ret->container = *ret_container;
    ret->path = colon + 1;
}

/* docker's counter, in place; gone when the copy has ended. */
struct counter {
    const char *header;
    int64_t next; /* when to show it again */
    bool shown;
};

static void count(void *ctx, int64_t bytes) {
    static const int64_t interval = 75 * NSEC_PER_MSEC;
    struct counter *n = ctx;
    autostr struct str size = STR_INIT;
    int64_t now = clock_boot();
    if (now < n->next)
        return;
    cli_human_size(bytes, 4, &size);
    fprintf(stderr, "\r\033[2K%s%s", n->header, str_c(&size));
    n->next = now + interval;
    n->shown = true;
}

static bool is_told(const struct cli_ctx *c, const struct engine_copy *copy) {
    const struct opts *o = c->opts;
    return !o->quiet && !copy->from.tar && !copy->to.tar && c->host->stderr_tty;
}

static void report(const struct engine_copy *copy, int64_t bytes) {
    autostr struct str size = STR_INIT;
    cli_human_size(bytes, 3, &size);
    fprintf(stderr, "Successfully copied %s to ", str_c(&size));
    if (copy->to.container)
        fprintf(stderr, "%s:%s\n", copy->to.container, copy->to.path);
    else if (copy->to.path[0] == '/')
        fprintf(stderr, "%s\n", copy->to.path);
    else /* docker names the absolute path */
        fprintf(stderr, "%s/%s\n", strcmp(copy->cwd, "/") != 0 ? copy->cwd : "", copy->to.path);
}

static struct err *check(const struct cli_ctx *c, const struct engine_copy *copy) {
    if (!*c->args[0])
        return err_new(ERR_USAGE, "source can not be empty");
    if (!*c->args[1])
        return err_new(ERR_USAGE, "destination can not be empty");
    if (!copy->from.container && !copy->to.container)
        return err_new(ERR_USAGE, "must specify at least one container source");
    if (copy->to.tar && c->host->stdout_tty)
        return err_hint(err_new(ERR_USAGE, "cowardly refusing to write a tar archive to a terminal"),
                        "redirect standard output to a file or to tar");
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autofree char *from = NULL;
    autofree char *to = NULL;
    autofree char *cwd = getcwd(NULL, 0);
    int64_t bytes = 0;
    struct engine_copy copy = {.cwd = cwd ? cwd : "/", .archive = o->archive, .follow_link = o->follow_link};
    split(c->args[0], STDIN_FILENO, &copy.from, &from);
    split(c->args[1], STDOUT_FILENO, &copy.to, &to);
    TRY(check(c, &copy));
    struct counter counter = {.header = copy.to.container ? "Copying to container - " : "Copying from container - "};
    if (is_told(c, &copy)) {
        copy.progress = count;
        copy.progress_ctx = &counter;
    }
    struct err *e = engine_copy(c->engine, &copy, &bytes);
    if (counter.shown)
        fputs("\r\033[2K", stderr);
    if (!e && copy.progress)
        report(&copy, bytes);
    return e;
}

const struct cmd cmd_cp = {
    .name = "cp",
    .group = "container",
    .top_level = true,
    .summary = "Copy files/folders between a container and the local filesystem",
    .description =
        "Copies between a container and the user's own files, or from one container to another. '-' as the "
        "source reads a tar archive from standard input and extracts it to a directory of the container; '-' "
        "as the destination writes the source as a tar archive to standard output. What is copied into a "
        "container belongs to its root, unless -a keeps the numbers of owner and group; what is copied out "
        "belongs to the user. The container may run or not; volumes and bind mounts take part.",
    .usage = "[OPTIONS] CONTAINER:SRC_PATH|SRC_PATH|- CONTAINER:DEST_PATH|DEST_PATH|-",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_FILES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
    .compat = "Copies between two containers, too.",
};
