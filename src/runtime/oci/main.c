/* main: the global options of coracle-runtime, its commands, and how an error is told. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime.h"

static const struct oci_cmd commands[] = {
    {"create", "[--bundle DIR] [--console-socket PATH] [--pid-file FILE] [--preserve-fds N] ID",
     "make a container that waits to be started", cmd_create},
    {"start", "ID", "start a created container", cmd_start},
    {"run", "[create's options] [--detach] [--keep] ID", "create and start a container", cmd_run},
    {"state", "ID", "print the state of a container as JSON", cmd_state},
    {"kill", "[--all] ID [SIGNAL]", "send a signal to a container", cmd_kill},
    {"delete", "[--force] ID", "remove a container", cmd_delete},
    {"exec", "[--process FILE] [--tty] [--detach] [--console-socket PATH] [--pid-file FILE] ID [COMMAND…]",
     "run a process in a container", cmd_exec},
    {"ps", "[--format table|json] ID", "list the processes of a container", cmd_ps},
    {"pause", "ID", "stop the processes of a container where they are", cmd_pause},
    {"resume", "ID", "let them go on", cmd_resume},
    {"update", "[--resources FILE] [--memory N] [--cpu-quota N] [--pids-limit N] … ID", "change limits of a container",
     cmd_update},
    {"events", "[--stats] [--interval 5s] ID", "print what a container uses as JSON", cmd_events},
    {"spec", "[--bundle DIR]", "write a configuration to begin with", cmd_spec},
    {"list", "[--format table|json] [--quiet]", "list the containers", cmd_list},
    {"features", "", "print what this runtime can do as JSON", cmd_features},
};

static void append_help(struct str *out) {
    str_append(out, "coracle-runtime " CORACLE_VERSION ": an OCI runtime for users without root\n\n"
                    "usage: coracle-runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND …\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        str_appendf(out, "  %-9s %s\n            %s\n", commands[i].name, commands[i].usage, commands[i].summary);
}

/* ---- errors ---- */

static void append_log_line(const struct oci *o, const char *text, struct str *out) {
    autostr struct str now = STR_INIT;
    clock_format_rfc3339(clock_now(), &now);
    if (o->log_json) {
        autojson j = json_object();
        json_set_str(j, "level", "error");
        json_set_str(j, "msg", text);
        json_set_str(j, "time", str_c(&now));
        json_render(j, JSON_COMPACT, out);
    } else {
        str_appendf(out, "time=\"%s\" level=error msg=", str_c(&now));
        json_quote(text, strlen(text), out);
    }
    str_append_c(out, '\n');
}

static void tell(const struct oci *o, const struct err *e) {
    autostr struct str text = STR_INIT, line = STR_INIT;
    err_format(e, &text);
    if (o->log) {
        append_log_line(o, str_c(&text), &line);
        autofd int log = open(o->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log >= 0)
            err_free(io_write_all(log, str_c(&line), line.len));
    }
    log_error("%s", str_c(&text));
    if (err_hint_text(e))
        log_error("hint: %s", err_hint_text(e));
}

static int exit_code(const struct err *e) {
    if (err_kind(e) == ERR_EXEC_NOT_FOUND)
        return 127;
    return err_kind(e) == ERR_EXEC_DENIED ? 126 : 1;
}

/* ---- the command ---- */

struct globals {
    const char *root, *log, *log_format;
    bool debug, version, help;
};

static struct err *parse_globals(int argc, char **argv, struct globals *g, int *ret_index) {
    const struct opt opts[] = {
        {"root", 0, OPT_STRING, &g->root},
        {"log", 0, OPT_STRING, &g->log},
        {"log-format", 0, OPT_STRING, &g->log_format},
        {"log-level", 0, OPT_IGNORED, NULL},
        {"debug", 0, OPT_FLAG, &g->debug},
        {"version", 'v', OPT_FLAG, &g->version},
        {"help", 'h', OPT_FLAG, &g->help},
        {"systemd-cgroup", 0, OPT_IGNORED_FLAG, NULL},
        {"cgroup-manager", 0, OPT_IGNORED, NULL},
        {"rootless", 0, OPT_IGNORED, NULL},
        {"criu", 0, OPT_IGNORED, NULL},
    };
    return opts_parse(opts, ARRAY_LEN(opts), argc, argv, ret_index);
}

/* <root> comes from --root, or lies in the user's runtime directory. */
static struct err *find_root(struct oci *o, const char *root) {
    TRY(host_probe("/", &o->host)); /* the store is none of our business: any place will do */
    const char *xdg = host_env(o->host, "XDG_RUNTIME_DIR");
    bool in_xdg = xdg && *xdg && str_starts(o->host->run_root, xdg);
    o->root = root ? mem_dup(root) : mem_printf("%s%sruntime", o->host->run_root, in_xdg ? "-" : "/");
    autoerr e = fd_open_dir(AT_FDCWD, o->root, &o->root_fd);
    return e && err_errno(e) != ENOENT ? take_ptr(&e) : NULL;
}

static struct err *dispatch(struct oci *o, int argc, char **argv, int *ret_code) {
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_eq(argv[0], commands[i].name))
            return commands[i].run(o, argc, argv, ret_code);
    return err_hint(err_new(ERR_USAGE, "unknown command '%s'", argv[0]), "see coracle-runtime --help");
}

static struct err *run(struct oci *o, int argc, char **argv, int *ret_code) {
    struct globals g = {.root = NULL};
    autostr struct str text = STR_INIT;
    int i = 0;
    TRY(parse_globals(argc, argv, &g, &i));
    mem_set(&o->log, g.log);
    o->log_json = str_eq(g.log_format, "json");
    if (g.log_format && !o->log_json && !str_eq(g.log_format, "text"))
        return err_new(ERR_USAGE, "unknown log format '%s'", g.log_format);
    if (g.debug)
        log_set_level(LOG_LEVEL_DEBUG);
    if (g.version)
        str_append(&text, "coracle-runtime version " CORACLE_VERSION "\nspec: " OCI_VERSION "\n");
    else if (g.help || i == argc)
        append_help(&text);
    if (text.len) {
        *ret_code = g.version || g.help ? 0 : 1;
        return print_text(&text);
    }
    TRY(find_root(o, g.root));
    return dispatch(o, argc - i, argv + i, ret_code);
}

int main(int argc, char **argv) {
    struct oci o = {.root_fd = -1};
    int code = 1;
    fd_guard_stdio();
    autoerr e = runtime_protect_self(argv);
    if (!e)
        e = run(&o, argc, argv, &code);
    if (e) {
        tell(&o, e);
        code = exit_code(e);
    }
    host_free(o.host);
    free(o.root);
    free(o.log);
    fd_close(o.root_fd);
    return code;
}
