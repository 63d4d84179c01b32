/*
 * cli_int: what the files of the command line share. See cli.h for the contract.
 */
#pragma once

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "engine/engine.h"

struct cli_parse {
    const char *command; /* whose flags these are, for flags of one command only; NULL: the global ones */
    const struct cli_flag *flags;
    void *opts;
    bool stop_at_positional;
    struct strv *positionals;
    struct strv *warnings; /* flags without effect, said once; may be NULL */
    bool help;             /* set by --help */
};
/* Fills opts' defaults from the table. */
void cli_flags_init(const struct cli_flag *flags, void *opts);
/* Frees what the table's lists and strings own. */
void cli_flags_done(const struct cli_flag *flags, void *opts);
/* Parses argv[0..argc) (without the command's name) by pflag's rules. Usage errors in docker's words. */
struct err *cli_flags_parse(struct cli_parse *p, int argc, char **argv) __attribute__((warn_unused_result));
/* Whether a flag of a shared table belongs to this command. */
bool cli_flag_applies(const struct cli_flag *f, const char *command);
/* docker's type word for a flag ("string", "list", …), "" for booleans. */
const char *cli_flag_type_word(const struct cli_flag *f);

/* Group names and their summaries, for help and completion; NULL-terminated. */
struct cli_group {
    const char *name, *summary;
};
extern const struct cli_group cli_groups[];
extern const struct cli_flag cli_global_flags[];

/* What docker and podman have and coracle has not: said to who calls it, and listed in docs/compat.md. Ends with NULL.
 */
struct cli_absent {
    const char *group; /* or NULL */
    const char *names; /* space-separated */
    const char *why;
};
extern const struct cli_absent cli_absent[];
/* Why there is no such command, or NULL where nobody has it. */
const char *cli_absent_why(const char *group, const char *name);
/* A command by its name at the top level, or within a group (aliases included). NULL if there is none. */
const struct cmd *cli_command_find(const char *group_or_null, const char *name);
/* A command's name within its group. */
const char *cli_command_group_name(const struct cmd *c);

void cli_help_main(FILE *out);
void cli_help_group(FILE *out, const struct cli_group *g);
void cli_help_command(FILE *out, const struct cmd *c, const char *called_as);

/* docker's question after a warning; anything but "y" is a no. */
bool cli_confirm(struct cli_ctx *c, const char *warning);

/* Asks at the terminal that stdin is, with or without showing what is typed. *ret: the answer without its line's end,
 * owned. interrupted: the terminal is as before. */
struct err *cli_prompt(struct cli_ctx *c, const char *question, bool echo, char **ret)
    __attribute__((warn_unused_result));
/* A descriptor that becomes readable when the user interrupts (SIGINT, SIGTERM, SIGHUP), for long operations; one,
 * kept until exit. */
struct err *cli_interrupt_fd(int *ret_fd) __attribute__((warn_unused_result));
/* 128+n of the signal that made it readable; whoever waits on the descriptor does not read it. */
int cli_interrupt_code(void);

/* Reads a file that an option names, at most 1 MiB, into an owned string. */
struct err *cli_read_text(const char *path, char **ret) __attribute__((warn_unused_result));
/* Has `fn` write a file that an option names. A regular one appears whole or not at all; anything else (a pipe,
 * /dev/null) is written as it is. With `path` NULL it is standard output, which must not be a terminal. */
struct err *cli_to_file(const struct cli_ctx *c, const char *path, struct err *(*fn)(void *ctx, int fd), void *ctx)
    __attribute__((warn_unused_result));
/* Prints what a registry has (engine_manifest_look) by a template, whose names are buildx's. */
struct err *cli_render_oci(struct cli_ctx *c, const struct json *object, const char *format)
    __attribute__((warn_unused_result));
/* Adds the proxies of docker's config.json to variables that the user gave, as docker's client does. A file that cannot
 * be read is told and is no obstacle. */
void cli_add_proxies(struct cli_ctx *c, struct strv *env);
/* Runs `fn` for each name, printing each error and going on as docker does; *ret_code is 1 if one failed. */
struct err *cli_each(struct cli_ctx *c, struct err *(*fn)(struct cli_ctx *c, const char *name), int *ret_code)
    __attribute__((warn_unused_result));
/*
 * What the end of an attached container or exec means for our own: its exit code; 128 + SIGPIPE when the reader of our
 * output went away; an error when our output could not be written (promise 5).
 */
struct err *cli_io_end(const struct monitor_io_result *r, int *ret_code) __attribute__((warn_unused_result));
/* Containers picked by docker's filters; done with cli_containers_done(). */
struct cli_containers {
    struct engine_rows rows;
    struct strmap filters;
    const struct engine *engine; /* borrowed */
    bool only_alive;             /* a condition looks at containers that are not to be listed */
    int64_t before, since;       /* when the containers that filters name were created, 0: unset */
    struct engine_ancestor *ancestors;
    size_t n_ancestors;
};
void cli_containers_done(struct cli_containers *q);
#define autocli_containers __attribute__((cleanup(cli_containers_done))) struct cli_containers
/* Lists containers for the conditions in `filters` ("key=value"); which of them fulfil these cli_container_matches()
 * tells. */
struct err *cli_containers_find(struct cli_ctx *c, const struct engine_list *wanted, const struct strv *filters,
                                struct cli_containers *ret) __attribute__((warn_unused_result));
bool cli_container_matches(const struct cli_containers *q, const struct engine_row *r);
/* The JSON that a row carries as text; NULL when it is none. */
struct json *cli_row_json(const char *text);
/* Prints warnings as docker does: "WARNING: text" on stderr. */
void cli_warnings(const struct strv *warnings);
/* The colon before the tag of "host:5000/name:tag", borrowed, or NULL. */
const char *cli_tag_of(const char *name);
/* What a load has brought, in docker's words: names, and the ids of what has none. */
void cli_print_loaded(FILE *out, const struct strv *references, const struct strv *ids);
/* Appends at most `max` code points of a text, the last one "…" where something was cut off. */
void cli_ellipsis(const char *text, size_t max, struct str *out);
/* The columns of a terminal that n bytes of UTF-8 take. */
size_t cli_columns(const char *s, size_t n);
/* docker's sizes: "1.23MB" with three or four significant digits, decimal units. Appended. */
void cli_human_size(int64_t bytes, int precision, struct str *out);
/* docker's one line of ports ("0.0.0.0:8080->80/tcp, 443/tcp") of a list of port objects; appended. */
void cli_ports_text(const struct json *ports, struct str *out);
/* docker's CreatedAt, "2026-01-02 15:04:05 +0000 UTC": UTC, whatever the zone. `created` in ns; appended. */
void cli_created_at(int64_t created, struct str *out);
/* The values of one key in a map of cli_filters_parse(), appended; none where the filter was not given. */
void cli_filter_values(const struct strmap *filters, const char *key, struct strv *ret);
/* Holds an object against a map of cli_filters_parse(): values of one key are alternatives, different keys must all
 * match. `one` judges a single value. Labels are apart: all of theirs must hold, cli_labels_match(). */
typedef bool cli_filter_fn(const void *object, const char *key, const char *value);
bool cli_filters_match(const struct strmap *filters, cli_filter_fn *one, const void *object);
/* docker's label filter: "key" wants the label to be there, "key=value" that value. `wanted` is the filter's value in a
 * map of cli_filters_parse(): all of its lines must hold; NULL holds always. */
bool cli_labels_match(const struct json *labels, const char *wanted);
/* A row of `ps` with what every container has: ID, Image, Command, RunningFor, Status, Names, LocalVolumes. */
struct json *cli_container_row(const struct engine_row *r, int64_t now)
    __attribute__((returns_nonnull, warn_unused_result));
/* The column LABELS, "key=value,key=value"; appended. */
void cli_labels_text(const struct json *labels, struct str *out);
