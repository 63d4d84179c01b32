/* top: the processes of a container, as ps shows them. See observe.h. */
#include "engine/engine_int.h"
#include "engine/observe.h"
#include "engine/top_int.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the host's ps ---- */

static void split_blanks(struct strv *out, const char *line) {
    for (line += strspn(line, " \t"); *line; line += strspn(line, " \t")) {
        size_t n = strcspn(line, " \t");
        strv_push_take(out, mem_dupn(line, n));
        line += n;
    }
}

/* A column of another name than PID may not get that title (docker's rule): rows are told apart by it. */
static struct err *check_titles(const struct strv *options) {
    autofree char *joined = strv_join(options, " ");
    autostrv struct strv words = {.n = 0};
    split_blanks(&words, joined);
    for (size_t i = 1; i < words.n; i++) {
        const char *equals = strchr(words.v[i], '=');
        const char *title = !equals ? "" : equals[1] ? equals + 1 : i + 1 < words.n ? words.v[i + 1] : "";
        if (!str_starts(title, "PID") || (str_starts(words.v[i], "pid=") && equals))
            continue;
        return err_new(ERR_SYSTEM, "specifying \"%.*s=%s\" is not allowed", (int)(equals - words.v[i]), words.v[i],
                       title);
    }
    return NULL;
}

/* What a program prints, by one way or the other, and its exit code. */
static struct err *run_ps(const struct engine *e, const char *ps, const struct strv *args, struct str *out,
                          struct str *err, int *ret_code) {
    int from[2], errors[2];
    autostrv struct strv argv = {.n = 0};
    pid_t pid = 0;
    autofd int pidfd = -1;
    strv_push(&argv, "ps");
    strv_extend(&argv, args);
    TRY(fd_pipe(0, from));
    autofd int read_end = from[0], write_end = from[1];
    TRY(fd_pipe(0, errors));
    autofd int read_errors = errors[0], write_errors = errors[1];
    const struct proc_spawn spawn = {.path = ps,
                                     .argv = argv.v,
                                     .envp = (char *const *)e->host->environ,
                                     .stdio = {-1, write_end, write_errors},
                                     .die_with_parent = true};
    TRY(proc_spawn(&spawn, &pid, &pidfd));
    fd_replace(&write_end, -1);
    fd_replace(&write_errors, -1);
    struct err *bad = io_read_all(read_end, (size_t)16 << 20, "the output of ps", out);
    if (!bad)
        bad = io_read_all(read_errors, (size_t)1 << 20, "the output of ps", err);
    fd_replace(&read_end, -1);
    fd_replace(&read_errors, -1);
    return err_first(bad, proc_reap(pid, ret_code));
}

/* Some options ("f") do not go with -q: then all processes are asked for, and those of others left out. */
static struct err *ask_ps(const struct engine *e, const struct procs *procs, const struct strv *options,
                          struct str *out) {
    autofree char *ps = NULL;
    autostrv struct strv args = {.n = 0};
    autostr struct str pids = STR_INIT;
    autostr struct str errors = STR_INIT;
    int code = 0;
    TRY(host_find_program(e->host, "ps", "procps", &ps));
    str_append(&pids, "-q");
    for (size_t i = 0; i < procs->n; i++)
        str_appendf(&pids, "%s%d", i ? "," : "", (int)procs->v[i].pid);
    for (size_t i = 0; i < options->n; i++)
        split_blanks(&args, options->v[i]);
    strv_push(&args, str_c(&pids));
    TRY(run_ps(e, ps, &args, out, &errors, &code));
    if (code) {
        str_clear(out);
        str_clear(&errors);
        strv_remove(&args, args.n - 1);
        TRY(run_ps(e, ps, &args, out, &errors, &code));
    }
    if (!code)
        return NULL;
    const char *why = str_c(&errors) + strspn(str_c(&errors), "\n");
    if (!*why)
        return err_new(ERR_SYSTEM, "Error running ps: exit status %d", code);
    return err_new(ERR_SYSTEM, "ps: %.*s", (int)strcspn(why, "\n"), why);
}

/* The last column takes what is left of a line. */
static struct json *fields_json(const struct strv *fields, size_t columns) {
    struct json *row = json_array();
    autostr struct str last = STR_INIT;
    for (size_t i = 0; i < fields->n; i++) {
        if (i + 1 < columns)
            json_push_str(row, fields->v[i]);
        else
            str_appendf(&last, "%s%s", last.len ? " " : "", fields->v[i]);
    }
    if (columns && fields->n >= columns)
        json_push_str(row, str_c(&last));
    return row;
}

static bool has_pid(const struct procs *procs, int64_t pid) {
    for (size_t i = 0; i < procs->n; i++)
        if (procs->v[i].pid == pid)
            return true;
    return false;
}

struct err *top_parse_ps(const char *text, const struct procs *procs, struct json *titles, struct json *rows) {
    autostrv struct strv lines = {.n = 0};
    autostrv struct strv head = {.n = 0};
    size_t at = 0;
    bool ours = false; /* of the process above: lines of its threads have "-" for a pid */
    strv_split(&lines, text, '\n');
    split_blanks(&head, lines.v[0]);
    while (at < head.n && strcmp(head.v[at], "PID") != 0)
        at++;
    if (at == head.n)
        return err_new(ERR_SYSTEM, "Couldn't find PID field in ps output");
    for (size_t i = 0; i < head.n; i++)
        json_push_str(titles, head.v[i]);
    for (size_t i = 1; i < lines.n; i++) {
        autostrv struct strv fields = {.n = 0};
        int64_t pid = 0;
        split_blanks(&fields, lines.v[i]);
        if (fields.n <= at)
            continue;
        bool thread = !strcmp(fields.v[at], "-");
        if (!thread && !str_to_i64(fields.v[at], 1, INT32_MAX, &pid))
            return err_new(ERR_SYSTEM, "Unexpected pid '%s'", fields.v[at]);
        ours = thread ? ours : has_pid(procs, pid);
        if (ours)
            json_push(rows, fields_json(&fields, head.n));
    }
    return NULL;
}

/* ---- one of the three ways ---- */

static struct err *fill(const struct engine *e, const struct engine_container *c, const struct strv *options,
                        struct json *view) {
    struct procs procs = {.n = 0};
    struct json *titles = json_get(view, "Titles"), *rows = json_get(view, "Processes");
    autostrv struct strv words = {.n = 0};
    TRY(procs_find(&c->state.pid, 1, &procs));
    struct err *bad = NULL;
    if (top_words(options, &words)) {
        top_columns(c->state.pid, &procs, &words, titles, rows);
    } else {
        autostr struct str text = STR_INIT_MAX((size_t)16 << 20);
        bad = check_titles(options);
        if (!bad)
            bad = ask_ps(e, &procs, options, &text);
        if (!bad)
            bad = top_parse_ps(str_c(&text), &procs, titles, rows);
    }
    procs_done(&procs);
    return bad;
}

struct err *engine_container_top(struct engine *e, const char *name, const struct strv *options, struct json **ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    autojson view = json_object();
    TRY(engine_container_load(e, name, &c));
    if (!engine_state_alive(&c.state) || c.state.pid <= 0)
        return engine_err_not_running(c.id);
    json_set(view, "Titles", json_array());
    json_set(view, "Processes", json_array());
    TRY(fill(e, &c, options, view));
    events_tell_container(e->host, c.summary, "top", NULL);
    *ret = take_ptr(&view);
    return NULL;
}
