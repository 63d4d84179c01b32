/* top: docker's table of a container's processes. */
#include "cli/cli_int.h"
#include "engine/observe.h"

#include <string.h>

enum { CELL_MIN = 20, CELL_PAD = 3, COLUMNS_MAX = 128 };

static size_t runes(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void measure(const struct json *row, size_t *widths) {
    size_t i = 0;
    JSON_EACH(cell, row) {
        size_t room = runes(json_str_value(cell)) + CELL_PAD;
        if (i < COLUMNS_MAX && room > widths[i])
            widths[i] = room;
        i++;
    }
}

/* Names and arguments are the container's: nothing of them reaches a terminal raw. */
static void print_row(FILE *out, const struct json *row, const size_t *widths) {
    size_t i = 0, n = json_count(row);
    JSON_EACH(cell, row) {
        const char *text = json_str_value(cell);
        size_t room = i < COLUMNS_MAX ? widths[i] : CELL_PAD;
        fputs(text, out);
        if (++i < n)
            fprintf(out, "%*s", (int)(room - runes(text)), "");
    }
    fputc('\n', out);
}

static struct json *visible(const struct json *row) {
    struct json *out = json_array();
    JSON_EACH(cell, row) {
        autostr struct str s = STR_INIT;
        str_append_visible(&s, json_str_value(cell));
        json_push_str(out, str_c(&s));
    }
    return out;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autojson view = NULL;
    autojson rows = json_array();
    autostrv struct strv options = {.n = 0};
    size_t widths[COLUMNS_MAX];
    for (int i = 1; i < c->n_args; i++)
        strv_push(&options, c->args[i]);
    TRY(engine_container_top(c->engine, c->args[0], &options, &view));
    json_push(rows, visible(json_get(view, "Titles")));
    JSON_EACH(p, json_get(view, "Processes")) { json_push(rows, visible(p)); }
    for (size_t i = 0; i < COLUMNS_MAX; i++)
        widths[i] = CELL_MIN;
    JSON_EACH(row, rows) { measure(row, widths); }
    JSON_EACH(row, rows) { print_row(c->out, row, widths); }
    return NULL;
}

static const struct cli_flag flags[] = {{.name = NULL}};

const struct cmd cmd_top = {
    .name = "top",
    .group = "container",
    .top_level = true,
    .summary = "Display the running processes of a container",
    .usage = "CONTAINER [ps OPTIONS]",
    .description =
        "Shows a container's processes with the pids of the host. Options go to ps; without them the columns "
        "are those of ps -ef. Words such as pid, comm, user, hpid, huser, args, etime, pcpu, state, time, tty, "
        "capeff or seccomp, apart by commas or blanks, choose columns as the container sees them",
    .examples = "coracle top web\ncoracle top web -o pid,rss,args\ncoracle top web pid hpid user comm\n",
    .min_args = 1,
    .max_args = -1,
    .stop_at_positional = true,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .flags = flags,
    .run = run,
};
