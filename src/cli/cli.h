/*
 * cli: the command line as data. Each file in src/cli/cmd exports one or more `const struct cmd` that say everything
 * about a command; from the table come the parser, --help, man pages, completions for three shells and docs/compat.md.
 *
 * Parsing follows docker's (pflag's) rules: no abbreviations; "--name value", "--name=value", "-n value", "-nvalue",
 * "-n=value", clusters
 * ("-itp8080:80"); "--bool=false"; "--" ends flags; run, create, exec (and others that say so) stop at the first
 * positional. A flag that docker has and coracle does not support yet is in the table with a standing of CLI_REFUSED
 * and a reason: it is recognised, refused with that reason, and listed in docs/compat.md. CLI_IGNORED flags are
 * accepted and say so once.
 *
 * Exit codes: 0; 125 for errors of run, create(1), exec…'s own as docker; 126, 127, 128+n; the container's own; other
 * commands 1; usage errors 125 for run/exec and 1 otherwise (docker's). Output errors on stdout are errors (exit 1).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

struct config;
struct engine;
struct err;
struct host;
struct image_progress;
struct json;

enum cli_flag_type {
    CLI_BOOL,      /* bool */
    CLI_STRING,    /* char *, owned, last one wins */
    CLI_LIST,      /* struct strv, appended */
    CLI_FILTER,    /* the same, each "key=value" */
    CLI_ENV,       /* the same, each "NAME=value" or "NAME" */
    CLI_LABEL,     /* the same, each "key=value" or "key" */
    CLI_INT,       /* int64_t */
    CLI_BYTES,     /* int64_t, docker's size grammar */
    CLI_SWAP,      /* int64_t, the same or -1 */
    CLI_DECIMAL,   /* int64_t, a rational number in billionths */
    CLI_UINT16,    /* int64_t */
    CLI_DURATION,  /* int64_t ns, Go's grammar */
    CLI_STRING_OPT /* char * with an optional "=value"; the bare flag gives `bare` */
};
enum cli_standing { CLI_SUPPORTED, CLI_IGNORED, CLI_REFUSED };
enum cli_complete {
    CLI_COMPLETE_NONE,
    CLI_COMPLETE_CONTAINERS,
    CLI_COMPLETE_RUNNING,
    CLI_COMPLETE_STOPPED,
    CLI_COMPLETE_IMAGES,
    CLI_COMPLETE_NETWORKS,
    CLI_COMPLETE_VOLUMES,
    CLI_COMPLETE_SECRETS,
    CLI_COMPLETE_FILES,
    CLI_COMPLETE_DIRS,
    CLI_COMPLETE_SIGNALS,
    CLI_COMPLETE_CAPS,
    CLI_COMPLETE_WORDS /* `words`, space-separated */
};

struct cli_flag {
    const char *name;  /* without dashes */
    const char *alias; /* another long name ("net"), or NULL */
    char letter;       /* or 0 */
    enum cli_flag_type type;
    size_t offset;       /* of the target in the command's options struct */
    size_t set_offset;   /* of a bool that becomes true when the flag was given; 0: none */
    const char *metavar; /* docker's type word ("string", "list", "bytes"); NULL: by type */
    const char *help;    /* docker's one line, our own wording */
    const char *def;     /* default as text, shown in help and parsed into the target; NULL: zero */
    const char *bare;    /* CLI_STRING_OPT */
    enum cli_complete complete;
    const char *words;
    enum cli_standing standing;
    const char *reason; /* for CLI_IGNORED and CLI_REFUSED: one clause; of a supported flag, which values are refused */
    bool hidden;        /* deprecated spelling */
    const char *only;   /* the one command of those sharing the table that has it; NULL: all */
};

struct cli_ctx { /* what a command gets */
    const struct host *host;
    const struct config *config;
    struct engine *engine;
    const struct cmd *cmd;
    const char *called_as; /* "run", "container run" */
    void *opts;            /* the command's options struct, filled by the parser */
    char **args;           /* positionals, NULL-terminated */
    int n_args;
    FILE *out; /* standard output, checked for errors at the end */
};

struct cmd {
    const char *name;  /* "run" */
    const char *group; /* "container", "image", "system" or NULL; the command answers to `coracle group name` too */
    const char *group_name;  /* its name within the group when it differs ("ls" for ps) */
    const char *aliases;     /* "coracle container ls, coracle container list, …" extra names within the group,
                                comma-separated: "list,ps" */
    bool top_level;          /* also `coracle name` */
    const char *summary;     /* one line */
    const char *usage;       /* "[OPTIONS] IMAGE [COMMAND] [ARG...]" */
    const char *description; /* a paragraph for the man page, or NULL */
    const char *examples;    /* man page text, or NULL */
    int min_args, max_args;  /* -1: any */
    bool stop_at_positional;
    int usage_exit;                  /* exit code for errors before anything ran: 125 or 1 */
    enum cli_complete complete;      /* of positionals */
    enum cli_complete complete_rest; /* of those after the first */
    const struct cli_flag *flags;    /* ends with a NULL name */
    size_t opts_size;
    void (*opts_done)(void *opts); /* frees what the parser put there; NULL: nothing owned (lists and strings are freed
                                      by the table) */
    struct err *(*run)(struct cli_ctx *c, int *ret_code);
    const char *compat;     /* note for docs/compat.md, or NULL */
    bool enters_containers; /* run, start, exec …: the program protects its own binary first */
};

/* Every command, in the order of --help; NULL-terminated. */
extern const struct cmd *const cli_commands[];

/* Global options, parsed before the command. */
struct cli_globals {
    char *root, *log_level, *context;
    bool debug, version, help;
};

/* Runs a command line; returns the exit status. */
int cli_main(int argc, char **argv, char **envp);

/* ---- for commands ---- */

/* Prints an error as docker does ("coracle: message", then the hint, then for usage errors "Run 'coracle X --help' for
 * more information"). */
void cli_error(const struct cli_ctx *c, const struct err *e);

/* Renders rows: format NULL (the default table), "table T", "json", or a Go template applied to each row. */
struct cli_table {
    const char *default_format;      /* "table {{.ID}}\t…" */
    const char *const (*headers)[2]; /* field name → header word, NULL-terminated: {"ID","CONTAINER ID"} */
    bool quiet_is_id;                /* -q prints .ID */
};
/* Row by row, for lists that may be long: a row is a flat object whose members are the template's fields, borrowed for
 * the call. Lines come with cli_rows_print(), when the columns' widths are known and no row was wrong. */
struct cli_rows;
struct err *cli_rows_open(struct cli_ctx *c, const struct cli_table *t, const char *format, bool quiet,
                          struct cli_rows **ret) __attribute__((warn_unused_result));
struct err *cli_rows_add(struct cli_rows *r, const struct json *row) __attribute__((warn_unused_result));
void cli_rows_print(const struct cli_rows *r);
void cli_rows_free(struct cli_rows *r);
static inline void cli_rows_freep(struct cli_rows **r) { cli_rows_free(*r); }
#define autocli_rows __attribute__((cleanup(cli_rows_freep))) struct cli_rows *
/* All of an array of them. */
struct err *cli_render_rows(struct cli_ctx *c, const struct cli_table *t, const struct json *rows, const char *format,
                            bool quiet) __attribute__((warn_unused_result));
/* Renders one object by "json" or a template. */
struct err *cli_render_object(struct cli_ctx *c, const struct json *object, const char *format)
    __attribute__((warn_unused_result));
/* Renders one or many full objects: NULL: a JSON array, four spaces; else template or json. */
struct err *cli_render_objects(struct cli_ctx *c, const struct json *array, const char *format)
    __attribute__((warn_unused_result));

/* Whether such a format can be read, for commands that ask before they look anything up; *ret_code is docker's 64 if
 * not. */
struct err *cli_check_format(const char *format, int *ret_code) __attribute__((warn_unused_result));

/* ---- Go templates (text/template subset that docker's users use) ---- */

struct template;
/*
 * Compiles: fields and chains, variables, pipelines, if/else/else if/range/with/end/break/continue, comments, trim
 * markers, literals, and the functions and or not eq ne lt le gt ge len index slice print printf println html js
 * urlquery json split join title lower upper pad truncate. Errors in Go's wording.
 */
struct err *template_parse(const char *text, struct template **ret) __attribute__((warn_unused_result));
/* Executes over a JSON value; output is appended. Limits: 16 MiB of output and of values, a million steps. A missing
 * key is
 * "<no value>". */
struct err *template_execute(const struct template *t, const struct json *data, struct str *out)
    __attribute__((warn_unused_result));
/*
 * The same with docker's other rules for missing keys. TEMPLATE_INSPECT: an error, but in maps of names (Labels, Ports
 * …) and for what docker leaves out when it is empty (Health …); null prints by its type ("[]", "map[]", "<nil>").
 * TEMPLATE_ROW: an error, as for a row's fields. TEMPLATE_HEADER: over the titles of columns, which functions leave
 * alone. TEMPLATE_OCI: manifests and configs, whose members have Go's names but for the case of letters.
 */
enum { TEMPLATE_INSPECT = 1, TEMPLATE_ROW = 2, TEMPLATE_HEADER = 4, TEMPLATE_OCI = 8 };
struct err *template_execute_with(const struct template *t, const struct json *data, int flags, struct str *out)
    __attribute__((warn_unused_result));
void template_free(struct template *t);

/* ---- filters ---- */

/* Parses "key=value" filters against a list of valid keys (NULL-terminated); docker's errors ("invalid filter 'x'"). */
struct err *cli_filters_parse(const struct strv *texts, const char *const *valid_keys, struct strmap *ret_multi)
    __attribute__((warn_unused_result));

/* Pull progress on a terminal (bars, redrawn in place) or as plain lines. */
struct cli_progress;
struct cli_progress *cli_progress_new(FILE *out, bool tty, bool quiet)
    __attribute__((returns_nonnull, warn_unused_result));
/* Ends the display, so that further lines may follow. */
void cli_progress_finish(struct cli_progress *p);
void cli_progress_event(void *progress, const struct image_progress *p);
void cli_progress_done(struct cli_progress *p);
