#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "engine/registries.h"

#define PASSWORD_MAX ((size_t)64 << 10)

struct opts {
    char *username, *password;
    bool from_stdin;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "password",
     .letter = 'p',
     .type = CLI_STRING,
     .offset = AT(password),
     .help = "Password or Personal Access Token (PAT)"},
    {.name = "password-stdin",
     .type = CLI_BOOL,
     .offset = AT(from_stdin),
     .help = "Take the Password or Personal Access Token (PAT) from stdin"},
    {.name = "username", .letter = 'u', .type = CLI_STRING, .offset = AT(username), .help = "Username"},
    {.name = NULL},
};

static struct err *check_flags(struct cli_ctx *c) {
    const struct opts *o = c->opts;
    if (o->password && o->from_stdin)
        return err_new(ERR_USAGE, "conflicting options: cannot specify both --password and --password-stdin");
    if (o->from_stdin && !o->username)
        return err_new(ERR_USAGE, "the --password-stdin option requires --username to be set");
    if (o->password)
        fputs("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n", stderr);
    return NULL;
}

static struct err *password_of_stdin(struct opts *o) {
    autostr struct str text = STR_INIT_MAX(PASSWORD_MAX);
    TRY(io_read_all(STDIN_FILENO, PASSWORD_MAX, "the password", &text));
    size_t n = text.len;
    while (n > 0 && (text.ptr[n - 1] == '\n' || text.ptr[n - 1] == '\r'))
        n--;
    o->password = mem_dupn(str_c(&text), n);
    return NULL;
}

static struct err *ask(struct cli_ctx *c, const char *stored) {
    struct opts *o = c->opts;
    if ((!o->username || !o->password) && !c->host->stdin_tty)
        return err_new(ERR_USAGE, "cannot perform an interactive login from a non TTY device");
    if (!o->username) {
        autofree char *question = stored ? mem_printf("Username (%s): ", stored) : mem_dup("Username: ");
        TRY(cli_prompt(c, question, true, &o->username));
        if (!*o->username)
            mem_set(&o->username, stored);
    }
    if (!o->username || !*o->username)
        return err_new(ERR_USAGE, "username is required");
    if (!o->password)
        TRY(cli_prompt(c, "Password: ", false, &o->password));
    return *o->password ? NULL : err_new(ERR_USAGE, "password is required");
}

static struct err *log_in(struct cli_ctx *c, const char *server, const char *user, const char *password) {
    int interrupted = -1;
    TRY(cli_interrupt_fd(&interrupted));
    autofree char *plain = NULL;
    const struct engine_login l = {
        .server = server, .user = user, .password = password, .interrupted_fd = &interrupted};
    TRY(engine_login(c->engine, &l, &plain));
    if (plain)
        fprintf(stderr,
                "\nWARNING! Your credentials are stored unencrypted in '%s'.\n"
                "Configure a credential helper to remove this warning. See\n"
                "https://docs.docker.com/go/credential-store/\n\n",
                plain);
    fputs("Login Succeeded\n", c->out);
    return NULL;
}

/* What is stored is tried first; *ret_done when it is still good. */
static struct err *log_in_as_before(struct cli_ctx *c, const char *server, const char *user, bool *ret_done) {
    fprintf(stderr, "Authenticating with existing credentials... [Username: %s]\n", user);
    autoerr e = log_in(c, server, NULL, NULL);
    *ret_done = !e;
    if (!e || err_kind(e) != ERR_AUTH || !c->host->stdin_tty)
        return take_ptr(&e);
    autostr struct str why = STR_INIT;
    err_format(e, &why);
    fprintf(stderr, "Login did not succeed, error: %s\n", str_c(&why));
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    struct opts *o = c->opts;
    const char *server = c->n_args ? c->args[0] : NULL;
    autofree char *stored = NULL;
    bool done = false;
    TRY(check_flags(c));
    if (o->from_stdin)
        TRY(password_of_stdin(o));
    if (!o->username)
        TRY(engine_login_user(c->engine, server, &stored));
    if (stored && !o->password)
        TRY(log_in_as_before(c, server, stored, &done));
    if (done)
        return NULL;
    TRY(ask(c, stored));
    return log_in(c, server, o->username, o->password);
}

const struct cmd cmd_login = {
    .name = "login",
    .top_level = true,
    .summary = "Authenticate to a registry",
    .usage = "[OPTIONS] [SERVER]",
    .description =
        "Authenticates to a registry. Defaults to Docker Hub if no server is specified. Credentials are kept "
        "where docker keeps them: with the credential helper that ~/.docker/config.json names, else in it.",
    .min_args = 0,
    .max_args = 1,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};

static struct err *run_logout(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const char *server = c->n_args ? c->args[0] : NULL;
    autofree char *name = NULL;
    TRY(engine_login_server(server, &name));
    fprintf(c->out, "Removing login credentials for %s\n", name);
    return engine_logout(c->engine, server);
}

const struct cmd cmd_logout = {
    .name = "logout",
    .top_level = true,
    .summary = "Log out from a registry",
    .usage = "[SERVER]",
    .description = "Forgets the credentials for a registry. Defaults to Docker Hub if no server is specified.",
    .min_args = 0,
    .max_args = 1,
    .usage_exit = 1,
    .run = run_logout,
};
