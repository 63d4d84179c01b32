/*
 * complete: `coracle __complete WORD…` prints what could stand for the last word, one candidate a line; ":files" and
 * ":dirs" ask the shell to complete paths itself. It walks the same tables as the parser, so it cannot be out of date.
 */
#include "cli/cli_int.h"

#include "engine/secrets.h"

#include <string.h>

static const char *const signals[] = {"HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "WINCH"};

static void print_matching(FILE *out, const char *candidate, const char *prefix) {
    if (str_starts(candidate, prefix))
        fprintf(out, "%s\n", candidate);
}

static void print_names(struct cli_ctx *c, const char *prefix, enum cli_complete kind) {
    autostrv struct strv names = {.n = 0};
    if (kind == CLI_COMPLETE_IMAGES)
        engine_complete_images(c->engine, &names);
    else if (kind == CLI_COMPLETE_NETWORKS)
        engine_complete_networks(c->engine, &names);
    else if (kind == CLI_COMPLETE_VOLUMES)
        engine_complete_volumes(c->engine, &names);
    else if (kind == CLI_COMPLETE_SECRETS)
        engine_complete_secrets(c->engine, &names);
    else
        engine_complete_containers(c->engine, kind == CLI_COMPLETE_RUNNING, &names);
    for (size_t i = 0; i < names.n; i++)
        print_matching(c->out, names.v[i], prefix);
}

static void print_words(struct cli_ctx *c, const char *words, const char *prefix) {
    autostrv struct strv list = {.n = 0};
    if (words)
        strv_split(&list, words, ' ');
    for (size_t i = 0; i < list.n; i++)
        print_matching(c->out, list.v[i], prefix);
}

static void print_caps(struct cli_ctx *c, const char *prefix) {
    print_matching(c->out, "ALL", prefix);
    for (int cap = 0; engine_cap_name(cap); cap++)
        print_matching(c->out, engine_cap_name(cap) + strlen("CAP_"), prefix);
}

static void print_kind(struct cli_ctx *c, enum cli_complete kind, const char *words, const char *prefix) {
    switch (kind) {
    case CLI_COMPLETE_CONTAINERS:
    case CLI_COMPLETE_RUNNING:
    case CLI_COMPLETE_STOPPED:
    case CLI_COMPLETE_IMAGES:
    case CLI_COMPLETE_NETWORKS:
    case CLI_COMPLETE_VOLUMES:
    case CLI_COMPLETE_SECRETS:
        print_names(c, prefix, kind);
        break;
    case CLI_COMPLETE_FILES:
        fputs(":files\n", c->out);
        break;
    case CLI_COMPLETE_DIRS:
        fputs(":dirs\n", c->out);
        break;
    case CLI_COMPLETE_SIGNALS:
        for (size_t i = 0; i < ARRAY_LEN(signals); i++)
            print_matching(c->out, signals[i], prefix);
        break;
    case CLI_COMPLETE_CAPS:
        print_caps(c, prefix);
        break;
    case CLI_COMPLETE_WORDS:
        print_words(c, words, prefix);
        break;
    case CLI_COMPLETE_NONE:
        break;
    }
}

static void print_commands(struct cli_ctx *c, const char *group, const char *prefix) {
    for (const struct cmd *const *k = cli_commands; *k; k++) {
        if (!(*k)->summary)
            continue;
        if (!group && (*k)->top_level)
            print_matching(c->out, (*k)->name, prefix);
        if (group && str_eq((*k)->group, group))
            print_matching(c->out, cli_command_group_name(*k), prefix);
    }
    for (const struct cli_group *g = cli_groups; !group && g->name; g++)
        print_matching(c->out, g->name, prefix);
}

static void print_flags(struct cli_ctx *c, const struct cmd *cmd, const char *prefix) {
    for (const struct cli_flag *f = cmd->flags; f && f->name; f++) {
        autofree char *text = mem_printf("--%s", f->name);
        if (!f->hidden && f->standing != CLI_REFUSED && cli_flag_applies(f, cmd->name))
            print_matching(c->out, text, prefix);
    }
    print_matching(c->out, "--help", prefix);
}

/* The flag whose value the last word is, when the word before it is a flag that takes one. */
static const struct cli_flag *pending_flag(const struct cmd *cmd, const char *before) {
    size_t n = strlen(before);
    for (const struct cli_flag *f = cmd->flags; f && f->name && n >= 2 && before[0] == '-'; f++) {
        bool is_long = before[1] == '-' && (!strcmp(before + 2, f->name) || str_eq(f->alias, before + 2));
        bool is_letter = before[1] != '-' && before[n - 1] == f->letter;
        if ((is_long || is_letter) && f->type != CLI_BOOL && cli_flag_applies(f, cmd->name))
            return f;
    }
    return NULL;
}

static size_t positionals_before(const struct cmd *cmd, char **words, int n) {
    size_t count = 0;
    for (int i = 0; i < n; i++)
        if (words[i][0] == '-')
            i += pending_flag(cmd, words[i]) != NULL && !strchr(words[i], '=');
        else
            count++;
    return count;
}

/* words[0..n): what follows the command's own words; the last one is being typed. */
static void complete_command(struct cli_ctx *c, const struct cmd *cmd, char **words, int n) {
    const char *last = words[n - 1];
    size_t before = positionals_before(cmd, words, n - 1);
    const struct cli_flag *pending = n > 1 ? pending_flag(cmd, words[n - 2]) : NULL;
    bool over = cmd->stop_at_positional && before > 0;
    if (pending && !over)
        print_kind(c, pending->complete, pending->words, last);
    else if (last[0] == '-' && !over)
        print_flags(c, cmd, last);
    else if (cmd->max_args < 0 || before < (size_t)cmd->max_args)
        print_kind(c, before == 0 ? cmd->complete : cmd->complete_rest, NULL, last);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    char **w = c->args;
    int n = c->n_args, at = 0;
    const char *group = NULL;
    if (n == 0)
        return NULL;
    for (const struct cli_group *g = cli_groups; g->name; g++)
        if (n > 1 && !strcmp(g->name, w[0]))
            group = g->name;
    at = group ? 1 : 0;
    if (at == n - 1) {
        print_commands(c, group, w[at]);
        return NULL;
    }
    const struct cmd *cmd = cli_command_find(group, w[at]);
    if (cmd)
        complete_command(c, cmd, w + at + 1, n - at - 1);
    return NULL;
}

const struct cmd cmd_complete = {
    .name = "__complete",
    .top_level = true,
    .usage = "WORD...",
    .max_args = -1,
    .stop_at_positional = true,
    .usage_exit = 1,
    .run = run,
};
