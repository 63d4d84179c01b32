/*
 * cli: from argv to a command and its exit status. Help, version and usage errors are answered before anything of the
 * host is looked at.
 */
#include "cli/cli_int.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NO_DAEMON "there is no daemon to talk to"

const struct cli_flag cli_global_flags[] = {
    {.name = "config",
     .type = CLI_STRING,
     .help = "Location of client config files",
     .standing = CLI_REFUSED,
     .reason = "set DOCKER_CONFIG for credentials, XDG_CONFIG_HOME for coracle's own file"},
    {.name = "context",
     .letter = 'c',
     .type = CLI_STRING,
     .offset = offsetof(struct cli_globals, context),
     .help = "Name of the context: there is one, \"default\""},
    {.name = "debug",
     .letter = 'D',
     .type = CLI_BOOL,
     .offset = offsetof(struct cli_globals, debug),
     .help = "Enable debug mode"},
    {.name = "host",
     .letter = 'H',
     .type = CLI_LIST,
     .help = "Daemon socket to connect to",
     .standing = CLI_REFUSED,
     .reason = NO_DAEMON},
    {.name = "log-level",
     .letter = 'l',
     .type = CLI_STRING,
     .offset = offsetof(struct cli_globals, log_level),
     .def = "warn",
     .help = "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")"},
    {.name = "root",
     .type = CLI_STRING,
     .offset = offsetof(struct cli_globals, root),
     .complete = CLI_COMPLETE_DIRS,
     .help = "Directory of the store (default ~/.local/share/coracle)"},
    {.name = "tls", .type = CLI_BOOL, .help = "Use TLS", .standing = CLI_IGNORED, .reason = NO_DAEMON},
    {.name = "tlscacert",
     .type = CLI_STRING,
     .help = "Trust certs signed only by this CA",
     .standing = CLI_IGNORED,
     .reason = NO_DAEMON},
    {.name = "tlscert",
     .type = CLI_STRING,
     .help = "Path to TLS certificate file",
     .standing = CLI_IGNORED,
     .reason = NO_DAEMON},
    {.name = "tlskey",
     .type = CLI_STRING,
     .help = "Path to TLS key file",
     .standing = CLI_IGNORED,
     .reason = NO_DAEMON},
    {.name = "tlsverify",
     .type = CLI_BOOL,
     .help = "Use TLS and verify the remote",
     .standing = CLI_IGNORED,
     .reason = NO_DAEMON},
    {.name = "version",
     .letter = 'v',
     .type = CLI_BOOL,
     .offset = offsetof(struct cli_globals, version),
     .help = "Print version information and quit"},
    {.name = NULL},
};

void cli_warnings(const struct strv *warnings) {
    for (size_t i = 0; i < warnings->n; i++) {
        autostr struct str s = STR_INIT;
        str_append_visible(&s, warnings->v[i]);
        fprintf(stderr, "WARNING: %s\n", str_c(&s));
    }
}

void cli_error(const struct cli_ctx *c, const struct err *e) {
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    fprintf(stderr, "coracle: %s\n", str_c(&text));
    const char *hint = err_hint_text(e);
    if (hint) {
        autostr struct str visible = STR_INIT;
        str_append_visible(&visible, hint);
        fprintf(stderr, "hint: %s\n", str_c(&visible));
    }
    if (c && c->cmd && c->cmd->usage_exit == 125 && err_kind(e) == ERR_USAGE)
        fprintf(stderr, "\nRun 'coracle %s --help' for more information\n", c->called_as);
}

/* ---- finding the command ---- */

static bool in_list(const char *list, const char *name) {
    autostrv struct strv names = {.n = 0};
    if (!list)
        return false;
    strv_split(&names, list, ',');
    return strv_has(&names, name);
}

const struct cmd *cli_command_find(const char *group, const char *name) {
    for (const struct cmd *const *c = cli_commands; *c; c++) {
        if (!group && (*c)->top_level && !strcmp((*c)->name, name))
            return *c;
        if (group && str_eq((*c)->group, group) &&
            (!strcmp(cli_command_group_name(*c), name) || in_list((*c)->aliases, name)))
            return *c;
    }
    return NULL;
}

static const struct cli_group *find_group(const char *name) {
    for (const struct cli_group *g = cli_groups; g->name; g++)
        if (!strcmp(g->name, name))
            return g;
    return NULL;
}

/* ---- usage errors, as docker 28 words them ---- */

struct invocation {
    const struct cmd *cmd;
    char *called_as; /* "run", "container run" */
    int argc;
    char **argv;        /* after the command's words */
    char *const *whole; /* the program's own argv */
};

static int usage_error(const struct invocation *v, const struct err *e) {
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    fprintf(stderr, "%s\n", str_c(&text));
    const char *hint = err_hint_text(e);
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    if (v->cmd)
        fprintf(stderr, "\nUsage:  coracle %s %s\n\nRun 'coracle %s --help' for more information\n", v->called_as,
                v->cmd->usage, v->called_as);
    else
        fprintf(stderr, "\nUsage:  coracle [OPTIONS] COMMAND [ARG...]\n\nRun 'coracle --help' for more information\n");
    return 125;
}

static bool arguments_ok(const struct invocation *v, size_t n) {
    const struct cmd *c = v->cmd;
    size_t min = (size_t)c->min_args, max = (size_t)c->max_args;
    if (n >= min && (c->max_args < 0 || n <= max))
        return true;
    if (c->max_args == 0)
        fprintf(stderr, "coracle: 'coracle %s' accepts no arguments\n", v->called_as);
    else if (c->min_args == c->max_args)
        fprintf(stderr, "coracle: 'coracle %s' requires %zu argument%s\n", v->called_as, min, min == 1 ? "" : "s");
    else if (max && c->max_args > 0 && min)
        fprintf(stderr, "coracle: 'coracle %s' requires at least %zu and at most %zu arguments\n", v->called_as, min,
                max);
    else if (n < min)
        fprintf(stderr, "coracle: 'coracle %s' requires at least %zu argument%s\n", v->called_as, min,
                min == 1 ? "" : "s");
    else
        fprintf(stderr, "coracle: 'coracle %s' requires at most %zu argument%s\n", v->called_as, max,
                max == 1 ? "" : "s");
    fprintf(stderr, "\nUsage:  coracle %s %s\n\nSee 'coracle %s --help' for more information\n", v->called_as, c->usage,
            v->called_as);
    return false;
}

static int unknown_command(const char *words, const struct cli_group *g) {
    autostr struct str visible = STR_INIT;
    const char *why = g ? cli_absent_why(g->name, words + strlen(g->name) + 1) : cli_absent_why(NULL, words);
    str_append_visible(&visible, words);
    fprintf(stderr, "coracle: unknown command: coracle %s\n%s", str_c(&visible), why ? "" : "\n");
    if (why)
        fprintf(stderr, "hint: %s\n", why);
    else if (g)
        fprintf(stderr, "Usage:  coracle %s\n\nRun 'coracle %s --help' for more information\n", g->name, g->name);
    else
        fprintf(stderr, "Run 'coracle --help' for more information\n");
    return 1;
}

/* ---- running it ---- */

static int exit_code_of(const struct cmd *c, const struct err *e) {
    if (err_kind(e) == ERR_INTERRUPTED)
        return cli_interrupt_code();
    if (!c->stop_at_positional) /* only a command line for a container can fail as one */
        return 1;
    switch ((int)err_kind(e)) {
    case ERR_EXEC_NOT_FOUND:
        return 127;
    case ERR_EXEC_DENIED:
        return 126;
    case ERR_USAGE:
        return 125;
    default:
        return c->usage_exit;
    }
}

/* Everything that was printed must have arrived: a full disk or a closed pipe behind standard output is a failure
 * (promise 5). */
static int finish_output(int code) {
    bool bad = ferror(stdout) != 0;
    if (fflush(stdout) != 0 || bad) {
        autoerr e = err_sys(errno, "write to standard output");
        if (err_errno(e) != EPIPE)
            cli_error(NULL, e);
        return code ? code : 1;
    }
    return code;
}

/* A full disk is most often the store's: which one that is, and how to get room. */
static struct err *explain_full(const struct host *h, struct err *take_e) {
    struct statvfs st;
    autostr struct str left = STR_INIT;
    if (err_kind(take_e) != ERR_NO_SPACE || err_hint_text(take_e) || !h || statvfs(h->data_root, &st) < 0)
        return take_e;
    cli_human_size((int64_t)(st.f_bavail * st.f_frsize), 4, &left);
    return err_hint(
        take_e,
        "the disk of the store, %s, has %s left: 'coracle system prune' removes what nothing uses, 'coracle "
        "system df' shows what there is",
        h->data_root, str_c(&left));
}

static int run_command(struct cli_ctx *c, const struct cli_globals *g, char *const *argv) {
    autoerr e = c->cmd->enters_containers ? engine_protect_self(argv) : NULL;
    struct host *host = NULL;
    struct config *config = NULL;
    int code = 0;
    if (!e)
        e = host_probe(g->root, &host);
    if (!e)
        e = config_load(host->config_dir, &config);
    if (!e) {
        c->host = host;
        c->config = config;
        c->engine = engine_new(host, config);
        e = c->cmd->run(c, &code);
        engine_free(c->engine);
    }
    if (e) {
        fflush(stdout);
        e = explain_full(host, take_ptr(&e));
        cli_error(c, e);
        code = code > 1 ? code : exit_code_of(c->cmd, e); /* one that the command has chosen stays */
    }
    config_free(config);
    host_free(host);
    return finish_output(code);
}

static int dispatch(struct invocation *v, const struct cli_globals *g, const struct strv *early_warnings) {
    const struct cmd *cmd = v->cmd;
    void *opts = mem_alloc(cmd->opts_size ? cmd->opts_size : 1);
    autostrv struct strv args = {.n = 0};
    autostrv struct strv warnings = {.n = 0};
    strv_extend(&warnings, early_warnings);
    struct cli_parse p = {.command = cmd->name,
                          .flags = cmd->flags,
                          .opts = opts,
                          .stop_at_positional = cmd->stop_at_positional,
                          .positionals = &args,
                          .warnings = &warnings};
    int code;
    cli_flags_init(cmd->flags, opts);
    autoerr e = cli_flags_parse(&p, v->argc, v->argv);
    if (e) {
        code = usage_error(v, e);
    } else if (p.help) {
        cli_help_command(stdout, cmd, v->called_as);
        code = finish_output(0);
    } else if (!arguments_ok(v, args.n)) {
        code = 1;
    } else {
        static char *none[] = {NULL};
        cli_warnings(&warnings);
        struct cli_ctx c = {
            .cmd = cmd,
            .called_as = v->called_as,
            .opts = opts,
            .args = args.n ? args.v : none,
            .n_args = (int)args.n,
            .out = stdout,
        };
        code = run_command(&c, g, v->whole);
    }
    if (cmd->opts_done)
        cmd->opts_done(opts);
    cli_flags_done(cmd->flags, opts);
    free(opts);
    return code;
}

/* Scripts name the context that they mean: there is no other. */
static int check_context(const struct cli_globals *g) {
    if (!g->context || !*g->context || !strcmp(g->context, "default"))
        return 0;
    autostr struct str visible = STR_INIT;
    str_append_visible(&visible, g->context);
    fprintf(stderr,
            "coracle: context \"%s\": context not found: there is no daemon to talk to, and one context, \"default\"\n",
            str_c(&visible));
    return 1;
}

static int set_log_level(const struct cli_globals *g) {
    static const struct {
        const char *word;
        enum log_level level;
    } levels[] = {{"debug", LOG_LEVEL_DEBUG},
                  {"info", LOG_LEVEL_INFO},
                  {"warn", LOG_LEVEL_WARN},
                  {"error", LOG_LEVEL_ERROR},
                  {"fatal", LOG_LEVEL_ERROR}};
    if (g->debug) {
        log_set_level(LOG_LEVEL_DEBUG);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (str_eq(g->log_level, levels[i].word)) {
            log_set_level(levels[i].level);
            return 0;
        }
    }
    fprintf(stderr, "Unable to parse logging level: %s\n", g->log_level);
    return 1;
}

/* `coracle help [COMMAND…]`. */
static int help_for(const struct strv *words, size_t at) {
    const struct cli_group *g = at < words->n ? find_group(words->v[at]) : NULL;
    const struct cmd *c = g && at + 1 < words->n ? cli_command_find(g->name, words->v[at + 1])
                          : at < words->n && !g  ? cli_command_find(NULL, words->v[at])
                                                 : NULL;
    if (at < words->n && !g && !c) {
        autostr struct str visible = STR_INIT;
        str_append_visible(&visible, words->v[at]);
        fprintf(stderr, "coracle: unknown help topic: %s\n", str_c(&visible));
        return 1;
    }
    if (c) {
        autofree char *called = g ? mem_printf("%s %s", g->name, words->v[at + 1]) : mem_dup(words->v[at]);
        cli_help_command(stdout, c, called);
    } else if (g) {
        cli_help_group(stdout, g);
    } else {
        cli_help_main(stdout);
    }
    return finish_output(0);
}

static int run_words(const struct strv *words, const struct cli_globals *g, const struct strv *warnings,
                     char *const *whole) {
    if (words->n == 0) { /* what was not asked for is not output */
        cli_help_main(stderr);
        return 0;
    }
    if (!strcmp(words->v[0], "help"))
        return help_for(words, 1);
    const struct cli_group *group = find_group(words->v[0]);
    struct invocation v = {.argc = (int)words->n - 1, .argv = words->v + 1, .whole = whole};
    if (group) {
        if (words->n == 1 || !strcmp(words->v[1], "--help") || !strcmp(words->v[1], "-h")) {
            cli_help_group(words->n == 1 ? stderr : stdout, group);
            return finish_output(0);
        }
        v.cmd = cli_command_find(group->name, words->v[1]);
        v.called_as = mem_printf("%s %s", group->name, words->v[1]);
        v.argc--;
        v.argv++;
    } else {
        v.cmd = cli_command_find(NULL, words->v[0]);
        v.called_as = mem_dup(words->v[0]);
    }
    int code = v.cmd ? dispatch(&v, g, warnings) : unknown_command(v.called_as, group);
    free(v.called_as);
    return code;
}

int cli_main(int argc, char **argv, char **envp) {
    (void)envp;
    struct cli_globals g = {.root = NULL};
    autostrv struct strv words = {.n = 0};
    autostrv struct strv warnings = {.n = 0};
    struct cli_parse p = {.flags = cli_global_flags,
                          .opts = &g,
                          .stop_at_positional = true,
                          .positionals = &words,
                          .warnings = &warnings};
    cli_flags_init(cli_global_flags, &g);
    autoerr e = cli_flags_parse(&p, argc - 1, argv + 1);
    int code = 0;
    if (e) {
        const struct invocation none = {.cmd = NULL};
        code = usage_error(&none, e);
    } else if (p.help) {
        cli_help_main(stdout);
        code = finish_output(0);
    } else if (g.version) {
        printf("coracle version %s\n", CORACLE_VERSION);
        code = finish_output(0);
    } else if ((code = check_context(&g)) == 0 && (code = set_log_level(&g)) == 0) {
        code = run_words(&words, &g, &warnings, argv);
    }
    cli_flags_done(cli_global_flags, &g);
    return code;
}
