/* help: docker's layout, wrapped at 80 columns, from the tables. */
#include "cli/cli_int.h"

#include <string.h>

#define WIDTH 80

const struct cli_group cli_groups[] = {
    {"builder", "Manage builds"},
    {"buildx", "The same, as BuildKit's plugin calls it"},
    {"container", "Manage containers"},
    {"context", "Show the one context that there is"},
    {"healthcheck", "Check containers"},
    {"image", "Manage images"},
    {"manifest", "Manage lists of images for several platforms"},
    {"network", "Manage networks"},
    {"secret", "Manage secrets"},
    {"system", "Manage coracle"},
    {"volume", "Manage volumes"},
    {NULL, NULL},
};

const char *cli_command_group_name(const struct cmd *c) { return c->group_name ? c->group_name : c->name; }

/* Prints `text` from column `indent` on, breaking at spaces, with the following lines indented as far. */
static void print_wrapped(FILE *out, const char *text, size_t indent) {
    size_t room = indent + 20 < WIDTH ? WIDTH - indent : 20;
    while (*text) {
        size_t n = strlen(text);
        if (n > room) {
            n = room;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0)
                n = strcspn(text, " ");
        }
        fprintf(out, "%.*s\n", (int)n, text);
        text += n;
        while (*text == ' ')
            text++;
        if (*text)
            fprintf(out, "%*s", (int)indent, "");
    }
}

static size_t left_text(const struct cli_flag *f, char *buf, size_t size) {
    const char *word = cli_flag_type_word(f);
    int n =
        f->letter ? snprintf(buf, size, "  -%c, --%s", f->letter, f->name) : snprintf(buf, size, "      --%s", f->name);
    if (*word)
        n += snprintf(buf + n, size - (size_t)n, " %s", word);
    return (size_t)n;
}

static void flag_help(const struct cli_flag *f, struct str *out) {
    str_append(out, f->help);
    if (f->def && f->type != CLI_BOOL)
        str_appendf(out, f->type == CLI_STRING ? " (default \"%s\")" : " (default %s)", f->def);
    else if (f->def && !strcmp(f->def, "true"))
        str_append(out, " (default true)");
    if (f->standing == CLI_REFUSED)
        str_appendf(out, " [not supported: %s]", f->reason);
    if (f->standing == CLI_IGNORED)
        str_appendf(out, " [no effect: %s]", f->reason);
}

static bool shown(const struct cli_flag *f, const char *command) { return !f->hidden && cli_flag_applies(f, command); }

static void print_flags(FILE *out, const char *title, const struct cli_flag *flags, const char *command) {
    size_t width = 0;
    char buf[128];
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        size_t n = shown(f, command) ? left_text(f, buf, sizeof buf) : 0;
        width = n > width ? n : width;
    }
    if (width == 0)
        return;
    fprintf(out, "\n%s:\n", title);
    for (const struct cli_flag *f = flags; f->name; f++) {
        if (!shown(f, command))
            continue;
        left_text(f, buf, sizeof buf);
        autostr struct str help = STR_INIT;
        flag_help(f, &help);
        fprintf(out, "%-*s   ", (int)width, buf);
        print_wrapped(out, str_c(&help), width + 3);
    }
}

/* All of its names, where it has more than one. */
static void print_aliases(FILE *out, const struct cmd *c) {
    autostrv struct strv names = {.n = 0};
    autostrv struct strv extra = {.n = 0};
    if (!c->group || !(c->top_level || c->aliases))
        return;
    strv_pushf(&names, "coracle %s %s", c->group, cli_command_group_name(c));
    if (c->aliases)
        strv_split(&extra, c->aliases, ',');
    for (size_t i = 0; i < extra.n; i++)
        strv_pushf(&names, "coracle %s %s", c->group, extra.v[i]);
    if (c->top_level)
        strv_pushf(&names, "coracle %s", c->name);
    autofree char *text = strv_join(&names, ", ");
    fprintf(out, "\nAliases:\n  %s\n", text);
}

void cli_help_command(FILE *out, const struct cmd *c, const char *called_as) {
    fprintf(out, "Usage:  coracle %s%s%s\n\n%s\n", called_as, *c->usage ? " " : "", c->usage, c->summary);
    print_aliases(out, c);
    print_flags(out, "Options", c->flags, c->name);
}

static bool is_common(const struct cmd *c) {
    static const char *const common[] = {"run", "exec", "ps", "pull", "images", "version", "info"};
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        if (!strcmp(c->name, common[i]))
            return true;
    return false;
}

static void list_commands(FILE *out, const char *title, bool common) {
    fprintf(out, "\n%s:\n", title);
    for (const struct cmd *const *c = cli_commands; *c; c++)
        if ((*c)->top_level && (*c)->summary && is_common(*c) == common)
            fprintf(out, "  %-11s %s\n", (*c)->name, (*c)->summary);
}

void cli_help_main(FILE *out) {
    fputs("Usage:  coracle [OPTIONS] COMMAND\n\nContainers without a daemon and without root\n", out);
    list_commands(out, "Common Commands", true);
    fputs("\nManagement Commands:\n", out);
    for (const struct cli_group *g = cli_groups; g->name; g++)
        fprintf(out, "  %-11s %s\n", g->name, g->summary);
    list_commands(out, "Commands", false);
    print_flags(out, "Global Options", cli_global_flags, NULL);
    fputs("\nRun 'coracle COMMAND --help' for more information on a command.\n", out);
}

void cli_help_group(FILE *out, const struct cli_group *g) {
    fprintf(out, "Usage:  coracle %s COMMAND\n\n%s\n\nCommands:\n", g->name, g->summary);
    for (const struct cmd *const *c = cli_commands; *c; c++)
        if (str_eq((*c)->group, g->name) && (*c)->summary)
            fprintf(out, "  %-11s %s\n", cli_command_group_name(*c), (*c)->summary);
    fprintf(out, "\nRun 'coracle %s COMMAND --help' for more information on a command.\n", g->name);
}
