/*
 * docs: writes what is derived from the command table: the man pages, the completions, docs/compat.md.
 *
 *     docs DIR           writes below DIR (the top of the tree)
 *     docs --check DIR   writes nothing; tells which file differs and exits with 1
 *
 * Deterministic: the same table gives the same bytes.
 */
#include "cli/cli_int.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct gen {
    int dirfd;
    bool check, stale;
};

static struct err *put(struct gen *g, const char *path, const struct str *text) {
    if (!g->check)
        return io_write_file(g->dirfd, path, str_c(text), text->len, 0644, 0);
    autostr struct str old = STR_INIT;
    autoerr unread = io_read_file(g->dirfd, path, (size_t)4 << 20, &old);
    if (!unread && old.len == text->len && !memcmp(str_c(&old), str_c(text), text->len))
        return NULL;
    fprintf(stderr, "%s is not up to date: run 'make docs'\n", path);
    g->stale = true;
    return NULL;
}

/* ---- man pages ---- */

/* Text for roff: backslashes and dashes escaped, no line begins with a control character. */
static void man_text(struct str *out, const char *text) {
    if (*text == '.' || *text == '\'')
        str_append(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            str_append(out, "\\e");
        else if (*text == '-')
            str_append(out, "\\-");
        else
            str_append_c(out, *text);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\''))
            str_append(out, "\\&");
    }
}

static void man_flag(struct str *out, const struct cli_flag *f) {
    str_append(out, ".TP\n");
    if (f->letter)
        str_appendf(out, "\\fB\\-%c\\fR, ", f->letter);
    str_append(out, "\\fB\\-\\-");
    man_text(out, f->name);
    str_append(out, "\\fR");
    if (*cli_flag_type_word(f))
        str_appendf(out, " \\fI%s\\fR", cli_flag_type_word(f));
    str_append_c(out, '\n');
    man_text(out, f->help);
    str_append(out, ".\n");
    if (f->def && f->type != CLI_BOOL) {
        str_append(out, "Default: ");
        man_text(out, f->def);
        str_append(out, ".\n");
    }
    if (f->reason) {
        static const char *const what[] = {
            [CLI_SUPPORTED] = "Refused: ", [CLI_REFUSED] = "Not supported: ", [CLI_IGNORED] = "No effect: "};
        str_append(out, what[f->standing]);
        man_text(out, f->reason);
        str_append(out, ".\n");
    }
}

static void man_flags(struct str *out, const char *title, const struct cli_flag *flags, const char *command) {
    bool any = false;
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        if (f->hidden || !cli_flag_applies(f, command))
            continue;
        if (!any)
            str_appendf(out, ".SH %s\n", title);
        any = true;
        man_flag(out, f);
    }
}

static void man_head(struct str *out, const char *page, const char *name, const char *summary) {
    str_appendf(out,
                ".\\\" made by src/gen/docs.c from the command table\n.TH %s 1 \"\" \"coracle %s\" \"User "
                "Commands\"\n.SH NAME\n",
                page, CORACLE_VERSION);
    man_text(out, name);
    str_append(out, " \\- ");
    man_text(out, summary);
    str_append_c(out, '\n');
}

/* "coracle-run", or for commands that only exist in a group "coracle-image-inspect". Owned. */
static char *page_name(const struct cmd *c) {
    return c->top_level ? mem_printf("coracle-%s", c->name)
                        : mem_printf("coracle-%s-%s", c->group, cli_command_group_name(c));
}

static char *spoken_name(const struct cmd *c) {
    return c->top_level ? mem_printf("coracle %s", c->name)
                        : mem_printf("coracle %s %s", c->group, cli_command_group_name(c));
}

static struct err *man_command(struct gen *g, const struct cmd *c) {
    autofree char *page = page_name(c), *spoken = spoken_name(c), *path = mem_printf("docs/man/%s.1", page);
    autostr struct str s = STR_INIT;
    man_head(&s, page, page, c->summary);
    str_append(&s, ".SH SYNOPSIS\n\\fB");
    man_text(&s, spoken);
    str_append(&s, "\\fR ");
    man_text(&s, c->usage);
    str_append(&s, "\n.SH DESCRIPTION\n");
    man_text(&s, c->description ? c->description : c->summary);
    str_append(&s, ".\n");
    if (c->group && c->top_level)
        str_appendf(&s, ".PP\nThe same as \\fBcoracle %s %s\\fR.\n", c->group, cli_command_group_name(c));
    man_flags(&s, "OPTIONS", c->flags, c->name);
    if (c->examples) {
        str_append(&s, ".SH EXAMPLES\n.nf\n");
        man_text(&s, c->examples);
        str_append(&s, ".fi\n");
    }
    str_append(&s, ".SH SEE ALSO\n\\fBcoracle\\fR(1)\n");
    return put(g, path, &s);
}

static struct err *man_main(struct gen *g) {
    autostr struct str s = STR_INIT;
    man_head(&s, "coracle", "coracle", "containers without a daemon and without root");
    str_append(&s, ".SH SYNOPSIS\n\\fBcoracle\\fR [OPTIONS] COMMAND\n.SH DESCRIPTION\n"
                   "coracle runs OCI containers as the plain user. It takes docker's command line; \\fBalias "
                   "docker=coracle\\fR is meant to work.\n.SH COMMANDS\n");
    for (const struct cmd *const *c = cli_commands; *c; c++) {
        if (!(*c)->summary)
            continue;
        autofree char *page = page_name(*c);
        str_append(&s, ".TP\n\\fB");
        man_text(&s, page);
        str_append(&s, "\\fR(1)\n");
        man_text(&s, (*c)->summary);
        str_append(&s, ".\n");
    }
    man_flags(&s, "GLOBAL OPTIONS", cli_global_flags, NULL);
    str_append(&s, ".SH FILES\n.TP\n~/.local/share/coracle\nThe store.\n.TP\n~/.config/coracle/config.json\nSettings, "
                   "with the key names of docker's daemon.json.\n"
                   ".TP\n~/.docker/config.json\nCredentials of registries, as docker keeps "
                   "them, and the \\(dqproxies\\(dq that containers and builds get as their environment.\n"
                   ".SH EXIT STATUS\n125 for errors of coracle's own in \\fBrun\\fR and \\fBexec\\fR, 126 for a "
                   "command that cannot be executed, 127 for one that is not there, "
                   "128 plus the signal's number for one that a signal ended, else the command's own; 1 for errors of "
                   "other commands.\n");
    return put(g, "docs/man/coracle.1", &s);
}

/* ---- compat.md ---- */

static void compat_flags(struct str *out, const struct cmd *c) {
    str_append(out, "\n| flag | standing |\n|---|---|\n");
    for (const struct cli_flag *f = c->flags; f && f->name; f++) {
        if (!cli_flag_applies(f, c->name))
            continue;
        str_appendf(out, "| `--%s`", f->name);
        if (f->letter)
            str_appendf(out, ", `-%c`", f->letter);
        static const char *const what[] = {
            [CLI_SUPPORTED] = "supported", [CLI_REFUSED] = "refused", [CLI_IGNORED] = "no effect, said once"};
        const char *but = !f->reason ? "" : f->standing == CLI_SUPPORTED ? "; refused: " : ": ";
        str_appendf(out, " | %s%s%s |\n", what[f->standing], but, f->reason ? f->reason : "");
    }
}

static struct err *compat(struct gen *g) {
    autostr struct str s = STR_INIT;
    str_append(&s, "# How coracle stands to docker 28\n\nMade by `make docs` from the command table: do not edit. A "
                   "flag that is *refused* is recognised and ends the command with "
                   "the reason; one with *no effect* is accepted and says so once on standard error; nothing is "
                   "dropped silently.\n\n## Commands that coracle does not have\n\n"
                   "| docker, podman | why |\n|---|---|\n");
    for (const struct cli_absent *a = cli_absent; a->names; a++)
        str_appendf(&s, "| %s%s%s | %s |\n", a->group ? a->group : "", a->group ? " " : "", a->names, a->why);
    for (const struct cmd *const *c = cli_commands; *c; c++) {
        if (!(*c)->summary)
            continue;
        autofree char *spoken = spoken_name(*c);
        str_appendf(&s, "\n## %s\n\n%s.", spoken, (*c)->summary);
        if ((*c)->group && (*c)->top_level)
            str_appendf(&s, " Also `coracle %s %s`.", (*c)->group, cli_command_group_name(*c));
        if ((*c)->compat)
            str_appendf(&s, " Note: %s.", (*c)->compat);
        str_append_c(&s, '\n');
        if ((*c)->flags && (*c)->flags->name)
            compat_flags(&s, *c);
    }
    return put(g, "docs/compat.md", &s);
}

/* ---- completions: thin scripts; the candidates come from `coracle __complete` ---- */

static const char bash_script[] =
    "# bash completion for coracle; made by src/gen/docs.c. The candidates come from the program's own command table.\n"
    "_coracle() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :files) compopt -o filenames 2>/dev/null; mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- "
    "\"$cur\") ;;\n"
    "        :dirs) compopt -o filenames 2>/dev/null; mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -d -- "
    "\"$cur\") ;;\n"
    "        *) COMPREPLY+=(\"$line\") ;;\n"
    "        esac\n"
    "    done < <(\"${COMP_WORDS[0]}\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "    __ltrim_colon_completions \"$cur\" 2>/dev/null\n"
    "}\n"
    "complete -F _coracle coracle\n";

static const char zsh_script[] =
    "#compdef coracle\n"
    "# zsh completion for coracle; made by src/gen/docs.c. The candidates come from the program's own command table.\n"
    "local -a candidates\n"
    "local line\n"
    "while IFS= read -r line; do\n"
    "    case $line in\n"
    "    :files) _files ;;\n"
    "    :dirs) _files -/ ;;\n"
    "    *) candidates+=(\"$line\") ;;\n"
    "    esac\n"
    "done < <(${words[1]} __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "(( $#candidates )) && compadd -a candidates\n";

static const char fish_script[] =
    "# fish completion for coracle; made by src/gen/docs.c. The candidates come from the program's own command table.\n"
    "function __coracle_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)\n"
    "        switch $line\n"
    "            case :files\n"
    "                __fish_complete_path (commandline -ct)\n"
    "            case :dirs\n"
    "                __fish_complete_directories (commandline -ct)\n"
    "            case '*'\n"
    "                echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c coracle -f -a '(__coracle_complete)'\n";

static struct err *completions(struct gen *g) {
    static const struct {
        const char *path, *text;
    } scripts[] = {{"completions/coracle.bash", bash_script},
                   {"completions/_coracle", zsh_script},
                   {"completions/coracle.fish", fish_script}};
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        autostr struct str s = STR_INIT;
        str_append(&s, scripts[i].text);
        TRY(put(g, scripts[i].path, &s));
    }
    return NULL;
}

static struct err *generate(struct gen *g) {
    TRY(man_main(g));
    for (const struct cmd *const *c = cli_commands; *c; c++)
        if ((*c)->summary)
            TRY(man_command(g, *c));
    TRY(compat(g));
    return completions(g);
}

int main(int argc, char **argv) {
    struct gen g = {.dirfd = -1, .check = argc == 3 && !strcmp(argv[1], "--check")};
    if (argc != (g.check ? 3 : 2)) {
        fprintf(stderr, "usage: docs [--check] DIR\n");
        return 2;
    }
    struct err *e = fd_open_dir(AT_FDCWD, argv[argc - 1], &g.dirfd);
    if (!e)
        e = generate(&g);
    if (e)
        cli_error(NULL, e);
    int code = e || g.stale;
    err_free(e);
    fd_close(g.dirfd);
    return code;
}
