/* git: see git_int.h. */
#include "build/git_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#define MESSAGE_MAX ((size_t)64 << 10)

/* ---- URLs ---- */

/* "user@host:path", as scp has it. */
static bool is_scp(const char *text) {
    const char *at = strchr(text, '@'), *colon = strchr(text, ':'), *slash = strchr(text, '/');
    const char *end = text + strcspn(text, "#");
    return at && colon && at > text && at < colon && colon < end && (!slash || colon < slash) && !strstr(text, "://");
}

bool git_url_is(const char *text) {
    size_t n = strcspn(text, "#");
    bool web = str_starts(text, "http://") || str_starts(text, "https://");
    if (str_starts(text, "git://") || str_starts(text, "ssh://") || str_starts(text, "github.com/") || is_scp(text))
        return true;
    return web && n > 4 && !strncmp(text + n - 4, ".git", 4);
}

/* What git would take for an option, or what could not be shown in a message. */
static bool safe(const char *text) {
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    return *text != '-';
}

struct err *git_url_parse(const char *text, struct git_url *ret) {
    const char *hash = strchr(text, '#');
    autofree char *bare = mem_dupn(text, strcspn(text, "#"));
    struct git_url u = {.remote = str_starts(bare, "github.com/") ? mem_printf("https://%s", bare) : mem_dup(bare)};
    if (hash) {
        const char *colon = strchr(hash + 1, ':');
        size_t n = strcspn(hash + 1, ":");
        u.ref = n ? mem_dupn(hash + 1, n) : NULL;
        u.subdir = colon && colon[1] ? mem_dup(colon + 1) : NULL;
    }
    if (safe(u.remote) && (!u.ref || safe(u.ref))) {
        *ret = u;
        return NULL;
    }
    git_url_done(&u);
    return err_new(ERR_USAGE, "invalid git URL: %s", text);
}

void git_url_done(struct git_url *u) {
    free(u->remote);
    free(u->ref);
    free(u->subdir);
    *u = (struct git_url){.remote = NULL};
}

/* ---- running it ---- */

struct git {
    const struct git_fetch *g;
    char *program;
    struct strv environment;
};

/* The user's, but for what points to another repository, and with the walls. */
static void environment(const struct host *h, struct strv *out) {
    for (char *const *e = h->environ; e && *e; e++)
        if (!str_starts(*e, "GIT_") || str_starts(*e, "GIT_SSH") || str_starts(*e, "GIT_SSL"))
            strv_push(out, *e);
    strv_push(out, "GIT_TERMINAL_PROMPT=0");
    strv_push(out, "GIT_ALLOW_PROTOCOL=http:https:ssh:git");
    strv_push(out, "GIT_LFS_SKIP_SMUDGE=1");
    strv_push(out, "LC_ALL=C");
}

/* The last line that it said. */
static char *last_line(const struct str *said) {
    autostrv struct strv lines = {.n = 0};
    strv_split(&lines, str_c(said), '\n');
    for (size_t i = lines.n; i-- > 0;)
        if (*lines.v[i])
            return mem_dup(lines.v[i]);
    return mem_dup("");
}

/* `git -C directory …`; what it says is put out, or, on failure, the error. */
static struct err *ask(const struct git *git, const char *const *words, struct str *said) {
    int from[2], code = 0;
    autostrv struct strv argv = {.n = 0};
    const char *const first[] = {"git",
                                 "-C",
                                 git->g->directory,
                                 "-c",
                                 "core.hooksPath=/dev/null",
                                 "-c",
                                 "core.fsmonitor=false",
                                 "-c",
                                 "advice.detachedHead=false"};
    for (size_t i = 0; i < ARRAY_LEN(first); i++)
        strv_push(&argv, first[i]);
    for (; *words; words++)
        strv_push(&argv, *words);
    TRY(fd_pipe(0, from));
    autofd int out = from[0];
    autofd int in = from[1];
    const struct proc_spawn p = {.path = git->program,
                                 .argv = argv.v,
                                 .envp = git->environment.v,
                                 .stdio = {-1, in, in},
                                 .die_with_parent = true};
    pid_t pid = -1;
    autofd int pidfd = -1;
    TRY(proc_spawn(&p, &pid, &pidfd));
    fd_replace(&in, -1);
    err_free(io_read_all(out, MESSAGE_MAX, "git", said)); /* who says more is not listened to */
    fd_replace(&out, -1);
    TRY(proc_reap(pid, &code));
    if (code == 0)
        return NULL;
    autofree char *why = last_line(said);
    return err_new(ERR_NETWORK, "git %s: %s", argv.v[ARRAY_LEN(first)], why);
}

static struct err *run(const struct git *git, const char *const *words) {
    autostr struct str said = STR_INIT;
    return ask(git, words, &said);
}

/* One commit alone; or all of a server that gives nothing less; or whatever has a name, for a commit that has none. */
static struct err *fetch(const struct git *git) {
    const struct git_url *u = git->g->url;
    const char *ref = u->ref ? u->ref : "HEAD";
    const char *const init[] = {"init", "-q", "--template=", NULL};
    const char *const origin[] = {"remote", "add", "--", "origin", u->remote, NULL};
    const char *const shallow[] = {"fetch", "-q", "--depth=1", "--no-tags", "--", "origin", ref, NULL};
    const char *const deep[] = {"fetch", "-q", "--no-tags", "--", "origin", ref, NULL};
    const char *const whole[] = {"fetch", "-q", "--tags", "--", "origin", "+refs/heads/*:refs/remotes/origin/*", NULL};
    const char *const head[] = {"checkout", "-q", "--force", "FETCH_HEAD", NULL};
    const char *const commit[] = {"checkout", "-q", "--force", "--detach", ref, NULL};
    TRY(run(git, init));
    TRY(run(git, origin));
    autoerr first = run(git, shallow);
    if (!first)
        return run(git, head);
    autoerr second = run(git, deep);
    if (!second)
        return run(git, head);
    autoerr third = run(git, whole);
    if (!third)
        third = run(git, commit);
    return third ? take_ptr(&second) : NULL;
}

static struct err *commit_of(const struct git *git, char ret[GIT_COMMIT_MAX]) {
    const char *const words[] = {"rev-parse", "HEAD", NULL};
    autostr struct str said = STR_INIT;
    TRY(ask(git, words, &said));
    snprintf(ret, GIT_COMMIT_MAX, "%.*s", (int)strcspn(str_c(&said), "\n"), str_c(&said));
    return NULL;
}

static struct err *check_out(const struct git *git, char ret_commit[GIT_COMMIT_MAX]) {
    const char *const modules[] = {"submodule", "update", "-q", "--init", "--recursive", "--depth=1", NULL};
    autofd int dir = -1;
    TRY(fetch(git));
    TRY(commit_of(git, ret_commit));
    TRY(fd_open_dir(AT_FDCWD, git->g->directory, &dir));
    if (faccessat(dir, ".gitmodules", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        TRY(run(git, modules));
    return git->g->keep_git_dir ? NULL : io_remove_tree(dir, ".git");
}

struct err *git_fetch(const struct git_fetch *g, char ret_commit[GIT_COMMIT_MAX]) {
    struct git git = {.g = g};
    TRY_CTX(host_find_program(g->host, "git", "git", &git.program), "%s: repositories are fetched by git", g->text);
    environment(g->host, &git.environment);
    struct err *e = check_out(&git, ret_commit);
    strv_done(&git.environment);
    free(git.program);
    return e ? err_wrap(e, "failed to fetch %s", g->text) : NULL;
}
