#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "build/build.h"
#include "cli/build_output.h"
#include "engine/build.h"
#include "engine/images.h"

struct opts {
    struct strv tag, build_arg, label, no_cache_filter, secret, build_context;
    struct strv output, cache_from, cache_to, ssh, allow, annotation, attest, security_opt;
    struct strv platform;
    char *file, *target, *progress, *iidfile, *metadata_file, *network;
    char *isolation, *builder, *call, *provenance, *sbom;
    bool no_cache, pull, debug_shell, quiet, load, push, check, squash, rm, force_rm, compress, content_trust;
    struct container_options run;
    struct build_attest wanted; /* of attest, provenance and sbom */
};

#define AT(m) offsetof(struct opts, m)
#define RUN(m) offsetof(struct opts, run.m)

static const struct cli_flag flags[] = {
    {.name = "add-host",
     .type = CLI_LIST,
     .offset = RUN(add_host),
     .help = "Add a custom host-to-IP mapping (\"host:ip\")"},
    {.name = "allow",
     .type = CLI_LIST,
     .offset = AT(allow),
     .help = "Allow what a Dockerfile may not by itself (\"network.host\": RUN --network=host)",
     .reason = "all but network.host: RUN has docker's default privileges and no others"},
    {.name = "annotation",
     .type = CLI_LIST,
     .offset = AT(annotation),
     .help = "Add an annotation to the image's manifest"},
    {.name = "attest",
     .type = CLI_LIST,
     .offset = AT(attest),
     .help = "Attestation parameters (format: \"type=sbom\", \"type=provenance,mode=min\")",
     .reason = "other types, mode=max and generator="},
    {.name = "build-arg", .type = CLI_LIST, .offset = AT(build_arg), .help = "Set build-time variables"},
    {.name = "build-context",
     .type = CLI_LIST,
     .offset = AT(build_context),
     .help = "Additional build contexts (e.g., name=path)"},
    {.name = "builder",
     .type = CLI_STRING,
     .offset = AT(builder),
     .help = "Override the configured builder instance",
     .standing = CLI_IGNORED,
     .reason = "there is one builder"},
    {.name = "cache-from",
     .type = CLI_LIST,
     .offset = AT(cache_from),
     .help = "External cache sources (e.g., \"user/app:cache\", \"type=local,src=path/to/dir\")"},
    {.name = "cache-to",
     .type = CLI_LIST,
     .offset = AT(cache_to),
     .help = "Cache export destinations (e.g., \"type=inline\", \"type=local,dest=path/to/dir\"); with \"mounts=true\" "
             "those of RUN --mount=type=cache, too"},
    {.name = "call",
     .type = CLI_STRING,
     .offset = AT(call),
     .def = "build",
     .help = "Set method for evaluating build (\"build\", \"check\", \"outline\", \"targets\"; \",format=json\")",
     .complete = CLI_COMPLETE_WORDS,
     .words = "build check outline targets"},
    {.name = "cgroup-parent",
     .type = CLI_STRING,
     .offset = RUN(resources.cgroup_parent),
     .help = "Set the parent cgroup for the RUN instructions"},
    {.name = "check",
     .type = CLI_BOOL,
     .offset = AT(check),
     .help = "Shorthand for \"--call=check\": evaluate the build checks, and build nothing"},
    {.name = "compress",
     .type = CLI_BOOL,
     .offset = AT(compress),
     .help = "Compress the build context",
     .standing = CLI_IGNORED,
     .reason = "the context is read where it is"},
    {.name = "cpu-period",
     .type = CLI_INT,
     .offset = RUN(resources.cpu_period),
     .help = "Limit the CPU CFS (Completely Fair Scheduler) period"},
    {.name = "cpu-quota",
     .type = CLI_INT,
     .offset = RUN(resources.cpu_quota),
     .help = "Limit the CPU CFS (Completely Fair Scheduler) quota"},
    {.name = "cpu-shares",
     .letter = 'c',
     .type = CLI_INT,
     .offset = RUN(resources.cpu_shares),
     .help = "CPU shares (relative weight)"},
    {.name = "cpuset-cpus",
     .type = CLI_STRING,
     .offset = RUN(resources.cpuset_cpus),
     .help = "CPUs in which to allow execution (0-3, 0,1)"},
    {.name = "cpuset-mems",
     .type = CLI_STRING,
     .offset = RUN(resources.cpuset_mems),
     .help = "MEMs in which to allow execution (0-3, 0,1)"},
    {.name = "debug-shell",
     .type = CLI_BOOL,
     .offset = AT(debug_shell),
     .help =
         "Open a shell in the container of a RUN that fails: with its files, mounts, variables, user and directory"},
    {.name = "disable-content-trust",
     .type = CLI_BOOL,
     .offset = AT(content_trust),
     .def = "true",
     .help = "Skip image verification",
     .standing = CLI_IGNORED,
     .reason = "content trust does not exist here"},
    {.name = "file",
     .letter = 'f',
     .type = CLI_STRING,
     .offset = AT(file),
     .help = "Name of the Dockerfile (default: \"PATH/Dockerfile\")",
     .complete = CLI_COMPLETE_FILES},
    {.name = "force-rm",
     .type = CLI_BOOL,
     .offset = AT(force_rm),
     .help = "Always remove intermediate containers",
     .standing = CLI_IGNORED,
     .reason = "they are always removed"},
    {.name = "iidfile",
     .type = CLI_STRING,
     .offset = AT(iidfile),
     .help = "Write the image ID to a file",
     .complete = CLI_COMPLETE_FILES},
    {.name = "isolation",
     .type = CLI_STRING,
     .offset = AT(isolation),
     .help = "Container isolation technology",
     .standing = CLI_IGNORED,
     .reason = "Windows only"},
    {.name = "label", .type = CLI_LABEL, .offset = AT(label), .help = "Set metadata for an image"},
    {.name = "load",
     .type = CLI_BOOL,
     .offset = AT(load),
     .help = "Shorthand for \"--output=type=docker\": the image is in the local store, which is what is done anyway"},
    {.name = "memory", .letter = 'm', .type = CLI_BYTES, .offset = RUN(resources.memory), .help = "Memory limit"},
    {.name = "memory-swap",
     .type = CLI_SWAP,
     .offset = RUN(resources.memory_swap),
     .help = "Swap limit equal to memory plus swap: -1 to enable unlimited swap"},
    {.name = "metadata-file",
     .type = CLI_STRING,
     .offset = AT(metadata_file),
     .help = "Write build result metadata to a file",
     .complete = CLI_COMPLETE_FILES},
    {.name = "network",
     .type = CLI_STRING,
     .offset = AT(network),
     .def = "default",
     .help = "Set the networking mode for the RUN instructions during build"},
    {.name = "no-cache", .type = CLI_BOOL, .offset = AT(no_cache), .help = "Do not use cache when building the image"},
    {.name = "no-cache-filter",
     .type = CLI_LIST,
     .offset = AT(no_cache_filter),
     .help = "Do not cache specified stages"},
    {.name = "output",
     .letter = 'o',
     .type = CLI_LIST,
     .offset = AT(output),
     .help = "Output destination (format: \"type=local,dest=path\")"},
    {.name = "platform",
     .type = CLI_LIST,
     .offset = AT(platform),
     .help = "Set target platform for build; of several an index is made"},
    {.name = "progress",
     .type = CLI_STRING,
     .offset = AT(progress),
     .def = "auto",
     .help = "Set type of progress output (\"auto\", \"none\", \"plain\", \"quiet\", \"rawjson\", \"tty\")",
     .complete = CLI_COMPLETE_WORDS,
     .words = "auto none plain quiet rawjson tty"},
    {.name = "provenance",
     .type = CLI_STRING_OPT,
     .bare = "true",
     .offset = AT(provenance),
     .help = "Shorthand for \"--attest=type=provenance\" (\"true\", \"false\", \"mode=min\"): of none unless it is "
             "asked for",
     .reason = "mode=max, which has BuildKit's own steps"},
    {.name = "pull", .type = CLI_BOOL, .offset = AT(pull), .help = "Always attempt to pull all referenced images"},
    {.name = "push", .type = CLI_BOOL, .offset = AT(push), .help = "Shorthand for \"--output=type=registry\""},
    {.name = "quiet",
     .letter = 'q',
     .type = CLI_BOOL,
     .offset = AT(quiet),
     .help = "Suppress the build output and print image ID on success"},
    {.name = "rm",
     .type = CLI_BOOL,
     .offset = AT(rm),
     .def = "true",
     .help = "Remove intermediate containers after a successful build",
     .standing = CLI_IGNORED,
     .reason = "they are always removed"},
    {.name = "sbom",
     .type = CLI_STRING_OPT,
     .bare = "true",
     .offset = AT(sbom),
     .help = "Shorthand for \"--attest=type=sbom\": the packages of dpkg and apk",
     .reason = "generator=: coracle itself reads what is installed"},
    {.name = "secret",
     .type = CLI_LIST,
     .offset = AT(secret),
     .help = "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret]\")"},
    {.name = "security-opt", .type = CLI_LIST, .offset = RUN(security_opt), .help = "Security options"},
    {.name = "shm-size", .type = CLI_BYTES, .offset = RUN(shm_size), .help = "Shared memory size for build containers"},
    {.name = "squash",
     .type = CLI_BOOL,
     .offset = AT(squash),
     .help = "Squash newly built layers into a single new layer"},
    {.name = "ssh",
     .type = CLI_LIST,
     .offset = AT(ssh),
     .help = "SSH agent socket to expose to the build (format: \"default|<id>[=<socket>]\")"},
    {.name = "tag",
     .letter = 't',
     .type = CLI_LIST,
     .offset = AT(tag),
     .help = "Name and optionally a tag (format: \"name:tag\")"},
    {.name = "target", .type = CLI_STRING, .offset = AT(target), .help = "Set the target build stage to build"},
    {.name = "ulimit", .type = CLI_LIST, .offset = RUN(ulimit), .help = "Ulimit options"},
    {.name = NULL},
};

/* As BuildKit: "tty" is an error where standard error is no terminal; colours are off with NO_COLOR. */
static struct err *find_look(const struct cli_ctx *c, const struct opts *o, struct build_look *ret) {
    static const struct {
        const char *name;
        enum build_form form;
    } known[] = {{"plain", BUILD_PLAIN},  {"tty", BUILD_TTY},     {"rawjson", BUILD_RAWJSON},
                 {"quiet", BUILD_SILENT}, {"none", BUILD_SILENT}, {"auto", BUILD_PLAIN}};
    const char *mode = o->quiet ? "quiet" : o->progress, *colour = host_env(c->host, "NO_COLOR");
    size_t i = 0;
    while (i < ARRAY_LEN(known) && !str_eq(mode, known[i].name))
        i++;
    if (i == ARRAY_LEN(known))
        return err_new(ERR_USAGE, "invalid progress mode %s: it must be auto, plain, tty, rawjson, none or quiet",
                       mode);
    if (str_eq(mode, "tty") && !c->host->stderr_tty)
        return err_hint(err_new(ERR_USAGE, "--progress tty: standard error is not a terminal"),
                        "use --progress plain, or auto");
    *ret = (struct build_look){.form = known[i].form, .fd = STDERR_FILENO, .colour = !colour || !*colour};
    if (str_eq(mode, "auto") && c->host->stderr_tty)
        ret->form = BUILD_TTY;
    return NULL;
}

static struct err *check(const struct cli_ctx *c, const struct opts *o) {
    if (o->debug_shell && !(c->host->stdin_tty && c->host->stdout_tty))
        return err_hint(err_new(ERR_USAGE, "--debug-shell: standard input and output are not a terminal"),
                        "leave it out where nobody can type");
    return NULL;
}

static bool is_attested(const struct opts *o) { return o->wanted.provenance || o->wanted.sbom; }

/* Attestations, or several platforms: what is wrong with those is found later. */
static bool makes_index(const struct opts *o) {
    return is_attested(o) || o->platform.n > 1 || (o->platform.n && strchr(o->platform.v[0], ','));
}

/* BuildKit's three words; others as run knows them. */
static void set_network(struct opts *o) {
    if (o->network && !str_eq(o->network, "default"))
        strv_push(&o->run.networks, o->network);
}

/* BuildKit's entitlements: what a Dockerfile, which may be anybody's, gets only when the user says so. */
static struct err *check_allowed(const struct opts *o) {
    for (size_t i = 0; i < o->allow.n; i++)
        if (!str_eq(o->allow.v[i], "network.host"))
            return err_hint(err_new(ERR_UNSUPPORTED, "--allow %s is not supported", o->allow.v[i]),
                            "RUN has docker's default privileges and no others; there is network.host");
    return NULL;
}

static struct err *write_text(const char *path, const char *text) {
    autofd int fd = -1;
    TRY(fd_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd));
    return io_write_all(fd, text, strlen(text));
}

/* Of the image, as docker's inspect has it, or of the index. */
static struct err *descriptor(struct cli_ctx *c, const struct build_result *r, struct json **ret) {
    autojson view = NULL;
    if (!*r->index) {
        TRY(engine_image_inspect(c->engine, r->id, NULL, &view));
        *ret = json_copy(json_get(view, "Descriptor"));
        return NULL;
    }
    struct json *d = json_object();
    json_set_str(d, "mediaType", "application/vnd.oci.image.index.v1+json");
    json_set_str(d, "digest", r->index);
    json_set_int(d, "size", r->index_size);
    *ret = d;
    return NULL;
}

static struct err *metadata(struct cli_ctx *c, const struct build_result *r, struct str *out) {
    autojson j = json_object();
    struct json *d = NULL;
    autofree char *digest = mem_printf("sha256:%s", r->id);
    autofree char *names = strv_join(&r->names, ",");
    TRY(descriptor(c, r, &d));
    if (!*r->index)
        json_set_str(j, "containerimage.config.digest", digest);
    if (d) {
        json_set_str(j, "containerimage.digest", json_text(d, "digest"));
        json_set(j, "containerimage.descriptor", d);
    }
    if (r->names.n)
        json_set_str(j, "image.name", names);
    json_render(j, JSON_PRETTY, out);
    return NULL;
}

static struct err *write_results(struct cli_ctx *c, const struct build_result *r) {
    const struct opts *o = c->opts;
    autofree char *digest = mem_printf("sha256:%s", r->id);
    autostr struct str text = STR_INIT;
    if (o->iidfile)
        TRY(write_text(o->iidfile, digest));
    if (!o->metadata_file)
        return NULL;
    TRY(metadata(c, r, &text));
    return write_text(o->metadata_file, str_c(&text));
}

/* Where the image stays in the store it has its names there; one that is only written somewhere has them there. */
static struct err *build(struct cli_ctx *c, struct build_options *b, const struct build_outputs *outputs) {
    struct opts *o = c->opts;
    struct build_result r = {.passing = -1};
    autostrv struct strv names = {.n = 0};
    autostr struct str excerpt = STR_INIT;
    bool keep = build_outputs_keep(outputs);
    b->passing = !keep;
    b->want_each = build_outputs_files(outputs);
    b->rewrite_times = build_outputs_rewrite_times(outputs);
    if (keep)
        build_outputs_names(outputs, &o->tag, &names);
    b->tags = &names;
    struct err *e = build_run(b, &r, &excerpt);
    b->tags = NULL;
    fputs(str_c(&r.warnings), stderr);
    fputs(str_c(&excerpt), stderr);
    if (!e)
        e = write_results(c, &r);
    if (!e)
        e = build_outputs_make(c, outputs, &r, &o->tag);
    engine_passing_end(c->engine, take_fd(&r.passing));
    if (!e && keep && (o->quiet || str_eq(o->progress, "quiet")))
        fprintf(c->out, "sha256:%s\n", r.id);
    build_result_done(&r);
    return e;
}

/* ---- --call ---- */

struct call {
    bool build, json, ignore_status;
    enum build_call what;
};

static struct err *call_method(const char *name, struct call *ret) {
    static const struct {
        const char *name;
        enum build_call what;
    } methods[] = {{"check", BUILD_CALL_CHECK},
                   {"lint", BUILD_CALL_CHECK},
                   {"outline", BUILD_CALL_OUTLINE},
                   {"targets", BUILD_CALL_TARGETS}};
    ret->build = str_eq(name, "build");
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(name, methods[i].name)) {
            ret->what = methods[i].what;
            return NULL;
        }
    if (ret->build)
        return NULL;
    return err_hint(err_new(ERR_USAGE, "--call: there is no method \"%s\"", name),
                    "it is one of build, check, outline and targets");
}

/* "check", "outline,format=json", "check,ignorestatus=true". */
static struct err *find_call(const struct opts *o, struct call *ret) {
    autostrv struct strv fields = {.n = 0};
    strv_split(&fields, o->call, ',');
    TRY(call_method(fields.v[0], ret));
    for (size_t i = 1; i < fields.n; i++) {
        const char *field = fields.v[i];
        if (str_eq(field, "format=json"))
            ret->json = true;
        else if (str_eq(field, "ignorestatus=true") || str_eq(field, "ignorestatus=1"))
            ret->ignore_status = true;
        else if (!str_eq(field, "format=text") && !str_eq(field, "ignorestatus=false"))
            return err_new(ERR_USAGE, "invalid print field: %s", field);
    }
    if (o->check && ret->build)
        return call_method("check", ret);
    return o->check && ret->what != BUILD_CALL_CHECK
               ? err_new(ERR_USAGE, "--check and --call=%s exclude each other", o->call)
               : NULL;
}

static struct err *describe(struct cli_ctx *c, struct build_options *b, const struct call *call, int *ret_code) {
    struct build_description d;
    autostr struct str excerpt = STR_INIT, text = STR_INIT;
    struct err *e = build_describe(b, call->what, &d, &excerpt);
    if (d.json && call->json) {
        json_render(d.json, JSON_PRETTY, &text);
        fprintf(c->out, "%s\n", str_c(&text));
    } else {
        fputs(str_c(&d.text), c->out);
    }
    fflush(c->out);
    fputs(str_c(&excerpt), stderr);
    if (d.found && !call->ignore_status)
        *ret_code = 1;
    build_description_done(&d);
    return e;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    struct opts *o = c->opts;
    struct build_look look;
    struct call call = {.build = false};
    TRY(check(c, o));
    TRY(check_allowed(o));
    TRY(find_call(o, &call));
    TRY(find_look(c, o, &look));
    set_network(o);
    const struct build_attest_flags attest = {.attest = &o->attest, .provenance = o->provenance, .sbom = o->sbom};
    TRY(build_attest_parse(&attest, &o->wanted));
    cli_add_proxies(c, &o->build_arg);
    int interrupted;
    TRY(cli_interrupt_fd(&interrupted));
    struct build_options b = {
        .host = c->host,
        .engine = c->engine,
        .context = c->args[0],
        .in_fd = STDIN_FILENO,
        .file = o->file,
        .args = &o->build_arg,
        .labels = &o->label,
        .annotations = &o->annotation,
        .no_cache_filter = &o->no_cache_filter,
        .secrets = &o->secret,
        .ssh = &o->ssh,
        .contexts = &o->build_context,
        .cache_from = &o->cache_from,
        .cache_to = &o->cache_to,
        .run = &o->run,
        .target = o->target,
        .platforms = &o->platform,
        .attest = &o->wanted,
        .squash = o->squash,
        .no_cache = o->no_cache,
        .pull = o->pull,
        .host_network = o->allow.n || strv_has(&o->run.networks, "host"),
        .debug_shell = o->debug_shell,
        .explain = log_shows(LOG_LEVEL_DEBUG),
        .look = look,
        .interrupted_fd = &interrupted,
    };
    if (!call.build)
        return describe(c, &b, &call, ret_code);
    const struct build_output_flags f = {.output = &o->output, .push = o->push, .load = o->load};
    struct build_outputs outputs = {.n = 0};
    struct err *e = build_outputs_parse(&f, &outputs);
    if (!e)
        e = build_outputs_check(c, &outputs, &o->tag, makes_index(o), is_attested(o));
    if (!e)
        e = build(c, &b, &outputs);
    build_outputs_done(&outputs);
    return e;
}

static void opts_done(void *opts) {
    struct opts *o = opts;
    strv_done(&o->run.networks);
    build_attest_done(&o->wanted);
}

#define BUILD(group_, top)                                                                                             \
    {                                                                                                                  \
        .name = "build", .group = (group_), .top_level = (top), .summary = "Build an image from a Dockerfile",         \
        .description = "Builds as BuildKit does, without a daemon: each RUN is a container of the user's own, each "   \
                       "step is taken from the cache when nothing that it was made of has changed. Stages that the "   \
                       "target does not need are not built.",                                                          \
        .examples = "coracle build -t app .\nprintf 'FROM alpine\\nRUN apk add curl\\n' | coracle build -t curl -",    \
        .usage = "[OPTIONS] PATH | URL | -", .min_args = 1, .max_args = 1, .usage_exit = 1,                            \
        .complete = CLI_COMPLETE_DIRS, .flags = flags, .opts_size = sizeof(struct opts), .opts_done = opts_done,       \
        .run = run, .enters_containers = true,                                                                         \
    }

const struct cmd cmd_build = BUILD("image", true);
const struct cmd cmd_builder_build = BUILD("builder", false);
const struct cmd cmd_buildx_build = BUILD("buildx", false);
