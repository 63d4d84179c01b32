/* view: state, list, ps: what there is, on standard output. */
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime_int.h"

enum { CMDLINE_MAX = 1 << 20 };

struct err *print_text(const struct str *s) {
    TRY_CTX(io_write_all(STDOUT_FILENO, str_c(s), s->len), "write to standard output");
    return NULL;
}

struct err *print_json(const struct json *j, enum json_style style) {
    autostr struct str text = STR_INIT;
    json_render(j, style, &text);
    str_append_c(&text, '\n');
    return print_text(&text);
}

struct err *cmd_state(struct oci *o, int argc, char **argv, int *ret_code) {
    autorecord r = RECORD_INIT;
    const char *id = NULL;
    TRY(one_id(argc, argv, &id));
    TRY(record_open(o, id, &r));
    autojson view = record_view(&r);
    *ret_code = 0;
    return print_json(view, JSON_PRETTY);
}

/* ---- list ---- */

static struct err *list_one(void *ctx, const struct record *r) {
    json_push(ctx, record_view(r));
    return NULL;
}

static void append_row(const struct json *view, struct str *out) {
    static const char *const columns[] = {"id", "pid", "status", "bundle", "created", "owner"};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        const struct json *v = json_get(view, columns[i]);
        if (json_str_value(v))
            str_append_visible(out, json_str_value(v));
        else
            str_appendf(out, "%lld", (long long)json_int_value(v, 0));
        str_append_c(out, i + 1 < ARRAY_LEN(columns) ? '\t' : '\n');
    }
}

static struct err *print_table(const struct json *all, bool quiet) {
    autostr struct str text = STR_INIT;
    if (!quiet)
        str_append(&text, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n");
    JSON_EACH(it, all) {
        if (quiet)
            str_appendf(&text, "%s\n", json_str_value(json_get(it, "id")));
        else
            append_row(it, &text);
    }
    return print_text(&text);
}

struct err *cmd_list(struct oci *o, int argc, char **argv, int *ret_code) {
    const char *format = "table";
    bool quiet = false;
    const struct opt opts[] = {{"format", 'f', OPT_STRING, &format}, {"quiet", 'q', OPT_FLAG, &quiet}};
    autojson all = json_array();
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc || (!str_eq(format, "table") && !str_eq(format, "json")))
        return err_new(ERR_USAGE, "list takes no argument, and --format table or json");
    TRY(record_each(o, list_one, all));
    *ret_code = 0;
    return str_eq(format, "json") && !quiet ? print_json(all, JSON_PRETTY) : print_table(all, quiet);
}

/* ---- ps ---- */

static struct err *list_pid(void *ctx, const struct member *m) {
    if (m->pidfd >= 0) /* a thread has none */
        json_push(ctx, json_int(m->pid));
    return NULL;
}

/* A process that has ended meanwhile has no command line, and is left out. */
static void append_process(int64_t pid, struct str *out) {
    autostr struct str line = STR_INIT;
    autofree char *path = mem_printf("/proc/%lld/cmdline", (long long)pid);
    autoerr gone = io_read_file(AT_FDCWD, path, CMDLINE_MAX, &line);
    if (gone || !line.len)
        return;
    for (size_t i = 0; i + 1 < line.len; i++)
        if (!line.ptr[i])
            line.ptr[i] = ' ';
    str_appendf(out, "%lld\t", (long long)pid);
    str_append_visible(out, str_c(&line));
    str_append_c(out, '\n');
}

struct err *cmd_ps(struct oci *o, int argc, char **argv, int *ret_code) {
    const char *format = "table";
    const struct opt opts[] = {{"format", 'f', OPT_STRING, &format}};
    autorecord r = RECORD_INIT;
    autojson pids = json_array();
    autostr struct str text = STR_INIT;
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc - 1 || (!str_eq(format, "table") && !str_eq(format, "json")))
        return err_new(ERR_USAGE, "ps takes one container id, and --format table or json");
    TRY(record_open(o, argv[i], &r));
    if (r.pidfd < 0)
        return err_new(ERR_CONFLICT, "container not running: %s", r.id);
    TRY(members_each(r.pid, list_pid, pids));
    *ret_code = 0;
    if (str_eq(format, "json"))
        return print_json(pids, JSON_COMPACT);
    str_append(&text, "PID\tCOMMAND\n");
    JSON_EACH(it, pids)
    append_process(json_int_value(it, 0), &text);
    return print_text(&text);
}
