/* secret: podman's store of secrets, which run and create give to containers (--secret). */
#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "engine/secrets.h"

enum { SECRET_READ_MAX = 1 << 20 }; /* what is too large is said by the store, in its words */

/* ---- create ---- */

struct create_opts {
    bool env, replace;
    char *driver;
    struct strv labels, driver_opts;
};

#define AT(m) offsetof(struct create_opts, m)

static const struct cli_flag create_flags[] = {
    {.name = "driver",
     .letter = 'd',
     .type = CLI_STRING,
     .offset = AT(driver),
     .def = "file",
     .help = "Where it is kept: there is one driver"},
    {.name = "driver-opts",
     .type = CLI_LIST,
     .offset = AT(driver_opts),
     .standing = CLI_REFUSED,
     .reason = "the driver has none",
     .help = "Options of the driver"},
    {.name = "env",
     .type = CLI_BOOL,
     .offset = AT(env),
     .help = "The second argument is a variable of the environment"},
    {.name = "label", .letter = 'l', .type = CLI_LABEL, .offset = AT(labels), .help = "Set a label on the secret"},
    {.name = "replace", .type = CLI_BOOL, .offset = AT(replace), .help = "Take the place of a secret of that name"},
    {.name = NULL},
};

/* Of a file, of standard input ("-"), or of a variable. */
static struct err *read_data(const struct cli_ctx *c, const char *from, struct str *out) {
    const struct create_opts *o = c->opts;
    if (o->env) {
        const char *value = host_env(c->host, from);
        if (!value)
            return err_new(ERR_NOT_FOUND, "cannot create store secret data: environment variable %s is not set", from);
        str_append(out, value);
        return NULL;
    }
    if (!strcmp(from, "-"))
        return io_read_all(STDIN_FILENO, SECRET_READ_MAX, "standard input", out);
    autofd int fd = -1;
    TRY(fd_open_at(AT_FDCWD, from, O_RDONLY, 0, &fd));
    return io_read_all(fd, SECRET_READ_MAX, from, out);
}

static struct err *run_create(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct create_opts *o = c->opts;
    autostr struct str data = STR_INIT;
    autofree char *id = NULL;
    if (strcmp(o->driver, "file") != 0)
        return err_hint(err_new(ERR_UNSUPPORTED, "secret driver %s is not supported", o->driver),
                        "the one driver of secrets is file");
    TRY(read_data(c, c->args[1], &data));
    const struct engine_secret_new n = {.name = c->args[0], .labels = o->labels, .data = data, .replace = o->replace};
    TRY(engine_secret_create(c->engine, &n, &id));
    fprintf(c->out, "%s\n", id);
    return NULL;
}
#undef AT

/* ---- ls ---- */

struct ls_opts {
    bool no_heading, quiet;
    char *format;
    struct strv filter;
};

#define AT(m) offsetof(struct ls_opts, m)

static const struct cli_flag ls_flags[] = {
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Filter output based on conditions provided (name=…, id=…, label=…)"},
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "noheading", .letter = 'n', .type = CLI_BOOL, .offset = AT(no_heading), .help = "Do not print headers"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only display IDs"},
    {.name = NULL},
};

static struct json *row_of(const struct json *v, int64_t now) {
    struct json *row = json_object();
    const struct json *spec = json_get(v, "Spec");
    autostr struct str created = STR_INIT, updated = STR_INIT, labels = STR_INIT;
    clock_format_ago(json_int_value(json_get(v, "CreatedNs"), 0), now, &created);
    clock_format_ago(json_int_value(json_get(v, "UpdatedNs"), 0), now, &updated);
    cli_labels_text(json_get(spec, "Labels"), &labels);
    json_set_str(row, "CreatedAt", str_c(&created));
    json_set_str(row, "Driver", "file");
    json_set_str(row, "ID", json_text(v, "ID"));
    json_set_str(row, "Labels", str_c(&labels));
    json_set_str(row, "Name", json_text(spec, "Name"));
    json_set_str(row, "UpdatedAt", str_c(&updated));
    return row;
}

static bool value_matches(const void *secret, const char *key, const char *value) {
    const struct json *v = secret;
    return strcmp(key, "name") != 0 ? str_starts(json_text(v, "ID"), value)
                                    : strstr(json_text(json_get(v, "Spec"), "Name"), value) != NULL;
}

static struct err *run_ls(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    static const char *const keys[] = {"id", "label", "name", NULL};
    static const char *const headers[][2] = {{"ID", "ID"},
                                             {"Name", "NAME"},
                                             {"Driver", "DRIVER"},
                                             {"CreatedAt", "CREATED"},
                                             {"UpdatedAt", "UPDATED"},
                                             {"Labels", "LABELS"},
                                             {NULL, NULL}};
    const struct ls_opts *o = c->opts;
    const struct cli_table table = {
        .default_format = o->no_heading ? "{{.ID}}  {{.Name}}  {{.Driver}}  {{.CreatedAt}}  {{.UpdatedAt}}"
                                        : "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
        .headers = headers,
        .quiet_is_id = true,
    };
    autostrmap struct strmap filters = {.n = 0};
    autojson rows = json_array();
    autojson all = NULL;
    int64_t now = clock_now();
    TRY(cli_filters_parse(&o->filter, keys, &filters));
    TRY(engine_secret_list(c->engine, &all));
    JSON_EACH(v, all)
    if (cli_filters_match(&filters, value_matches, v) &&
        cli_labels_match(json_path(v, "Spec.Labels"), strmap_get(&filters, "label")))
        json_push(rows, row_of(v, now));
    return cli_render_rows(c, &table, rows, o->format, o->quiet);
}
#undef AT

/* ---- inspect, rm, exists ---- */

struct inspect_opts {
    bool pretty, show;
    char *format;
};

#define AT(m) offsetof(struct inspect_opts, m)

static const struct cli_flag inspect_flags[] = {
    {.name = "format",
     .letter = 'f',
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: json, or a Go TEMPLATE"},
    {.name = "pretty", .type = CLI_BOOL, .offset = AT(pretty), .help = "Print as lines that are easy to read"},
    {.name = "showsecret", .type = CLI_BOOL, .offset = AT(show), .help = "Show what is secret, too"},
    {.name = NULL},
};

static void print_pretty(struct cli_ctx *c, const struct json *v) {
    const struct json *spec = json_get(v, "Spec");
    autostr struct str name = STR_INIT;
    str_append_visible(&name, json_text(spec, "Name"));
    fprintf(c->out, "ID:              %s\nName:            %s\nDriver:          file\nCreated at:      %s\n",
            json_text(v, "ID"), str_c(&name), json_text(v, "CreatedAt"));
    fprintf(c->out, "Updated at:      %s\n", json_text(v, "UpdatedAt"));
    if (json_get(v, "SecretData"))
        fprintf(c->out, "SecretData:      %s\n", json_text(v, "SecretData"));
}

static struct err *run_inspect(struct cli_ctx *c, int *ret_code) {
    const struct inspect_opts *o = c->opts;
    autojson all = json_array();
    TRY(cli_check_format(o->format, ret_code));
    for (int i = 0; i < c->n_args; i++) {
        struct json *v = NULL;
        autoerr e = engine_secret_inspect(c->engine, c->args[i], o->show, &v);
        if (v)
            json_push(all, v);
        if (!e)
            continue;
        cli_error(c, e);
        *ret_code = 125;
    }
    JSON_EACH(v, all)
    if (o->pretty)
        print_pretty(c, v);
    return o->pretty ? NULL : cli_render_objects(c, all, o->format);
}
#undef AT

struct rm_opts {
    bool all, ignore;
};

#define AT(m) offsetof(struct rm_opts, m)

static const struct cli_flag rm_flags[] = {
    {.name = "all", .letter = 'a', .type = CLI_BOOL, .offset = AT(all), .help = "Remove all secrets"},
    {.name = "ignore",
     .letter = 'i',
     .type = CLI_BOOL,
     .offset = AT(ignore),
     .help = "One that is missing is no error"},
    {.name = NULL},
};

static struct err *remove_one(struct cli_ctx *c, const char *name) {
    const struct rm_opts *o = c->opts;
    autofree char *id = NULL;
    struct err *e = engine_secret_remove(c->engine, name, &id);
    if (e && o->ignore && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    TRY(e);
    fprintf(c->out, "%s\n", id);
    return NULL;
}

static struct err *run_rm(struct cli_ctx *c, int *ret_code) {
    const struct rm_opts *o = c->opts;
    autojson all = NULL;
    if (o->all == (c->n_args > 0))
        return err_new(ERR_USAGE, "'coracle %s' requires names or --all, and not both", c->called_as);
    if (!o->all)
        return cli_each(c, remove_one, ret_code);
    TRY(engine_secret_list(c->engine, &all));
    JSON_EACH(v, all)
    TRY(remove_one(c, json_text(v, "ID")));
    return NULL;
}

static struct err *run_exists(struct cli_ctx *c, int *ret_code) {
    autojson v = NULL;
    struct err *e = engine_secret_inspect(c->engine, c->args[0], false, &v);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    *ret_code = 1;
    return NULL;
}

const struct cmd cmd_secret_create = {
    .name = "create",
    .group = "secret",
    .summary = "Create a secret from a file, standard input or a variable",
    .description =
        "Keeps a text of at most 512,000 bytes that containers are given by --secret, and images are not. Only "
        "its user can read the store.",
    .examples = "printf %s \"$PASSWORD\" | coracle secret create db-password -\n"
                "coracle run --rm --secret db-password debian:12 cat /run/secrets/db-password",
    .usage = "[OPTIONS] NAME FILE|-",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 125,
    .complete_rest = CLI_COMPLETE_FILES,
    .flags = create_flags,
    .opts_size = sizeof(struct create_opts),
    .run = run_create,
};

const struct cmd cmd_secret_ls = {
    .name = "ls",
    .group = "secret",
    .aliases = "list",
    .summary = "List secrets",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 125,
    .flags = ls_flags,
    .opts_size = sizeof(struct ls_opts),
    .run = run_ls,
};

const struct cmd cmd_secret_inspect = {
    .name = "inspect",
    .group = "secret",
    .summary = "Display detailed information on one or more secrets",
    .usage = "[OPTIONS] SECRET [SECRET...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_SECRETS,
    .complete_rest = CLI_COMPLETE_SECRETS,
    .flags = inspect_flags,
    .opts_size = sizeof(struct inspect_opts),
    .run = run_inspect,
};

const struct cmd cmd_secret_rm = {
    .name = "rm",
    .group = "secret",
    .aliases = "remove",
    .summary = "Remove one or more secrets",
    .usage = "[OPTIONS] SECRET [SECRET...]",
    .max_args = -1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_SECRETS,
    .complete_rest = CLI_COMPLETE_SECRETS,
    .flags = rm_flags,
    .opts_size = sizeof(struct rm_opts),
    .run = run_rm,
};

const struct cmd cmd_secret_exists = {
    .name = "exists",
    .group = "secret",
    .summary = "Tell by the exit code whether a secret exists",
    .usage = "SECRET",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_SECRETS,
    .run = run_exists,
};
