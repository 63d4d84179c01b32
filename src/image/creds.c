/*
 * creds: the user's stored credentials, exactly where docker keeps them: config.json's "auths", "credHelpers" and
 * "credsStore". Helpers are separate programs ("docker-credential-X") that are given the server's name on stdin and
 * answer with JSON. Secrets stay in memory: never in argv, never in a log line.
 */
#include "image/auth_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#define HELPER_SECONDS 30
#define HELPER_OUTPUT_MAX ((size_t)64 << 10)
#define DOCKER_HUB_KEY "https://index.docker.io/v1/"

void creds_done(struct creds *c) {
    free(c->user);
    free(c->password);
    free(c->identity_token);
    *c = (struct creds){0};
}

bool creds_have(const struct creds *c) { return (c->user && c->password) || c->identity_token; }

char *creds_hostname(const char *address) {
    if (str_starts(address, "https://"))
        address += strlen("https://");
    else if (str_starts(address, "http://"))
        address += strlen("http://");
    return mem_dupn(address, strcspn(address, "/"));
}

/* What docker calls this registry in config.json. */
static const char *config_key(const char *registry) {
    return str_eq(registry, "docker.io") ? DOCKER_HUB_KEY : registry;
}

static const struct json *auth_entry(const struct json *auths, const char *registry) {
    const struct json *exact = json_get(auths, config_key(registry));
    if (exact)
        return exact;
    autofree char *want = creds_hostname(config_key(registry));
    JSON_EACH(entry, auths) {
        autofree char *have = creds_hostname(json_key(entry));
        if (str_eq(have, want))
            return entry;
    }
    return NULL;
}

/* "user:password" in base64, or the two as members of their own. */
static struct err *entry_creds(const struct json *entry, const char *registry, struct creds *c) {
    const char *auth = NULL, *user = NULL, *password = NULL, *token = NULL;
    TRY(json_get_str_opt(entry, "auth", "", &auth));
    TRY(json_get_str_opt(entry, "username", "", &user));
    TRY(json_get_str_opt(entry, "password", "", &password));
    TRY(json_get_str_opt(entry, "identitytoken", "", &token));
    if (*token)
        c->identity_token = mem_dup(token);
    if (*auth) {
        autostr struct str plain = STR_INIT_MAX(HELPER_OUTPUT_MAX);
        bool good = base64_decode(auth, &plain) && str_ok(&plain) && strlen(str_c(&plain)) == plain.len;
        const char *colon = good ? strchr(str_c(&plain), ':') : NULL;
        if (!colon)
            return err_hint(err_new(ERR_AUTH, "the stored credentials for %s are damaged", registry),
                            "store them again with 'docker login %s' or 'podman login --compat-auth-file'", registry);
        c->user = mem_dupn(plain.ptr, (size_t)(colon - plain.ptr));
        c->password = mem_dup(colon + 1);
    } else if (*user) {
        c->user = mem_dup(user);
        c->password = mem_dup(password);
    }
    return NULL;
}

struct err *creds_from_auths(const struct json *auths, const char *registry, struct creds *ret) {
    const struct json *entry = auth_entry(auths, registry);
    struct creds c = {0};
    struct err *e = entry ? entry_creds(entry, registry, &c) : NULL;
    if (e) {
        creds_done(&c);
        return e;
    }
    *ret = c;
    return NULL;
}

/* ---- credential helpers ---- */

/* Reads the helper's answer until EOF, but not for ever. */
static struct err *read_answer(int fd, int pidfd, const char *program, struct str *out) {
    int64_t deadline = clock_boot() + HELPER_SECONDS * NSEC_PER_SEC;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = (deadline - clock_boot()) / NSEC_PER_MSEC;
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_free(proc_signal(pidfd, SIGKILL));
            return err_new(ERR_TIMEOUT, "%s does not answer within %d seconds", program, HELPER_SECONDS);
        }
        char buf[4096];
        ssize_t got = read(fd, buf, sizeof buf);
        if (got == 0)
            return NULL;
        if (got < 0 && errno != EINTR)
            return err_sys(errno, "read from %s", program);
        if (got > 0)
            str_append_n(out, buf, (size_t)got);
        if (!str_ok(out)) {
            err_free(proc_signal(pidfd, SIGKILL));
            return err_new(ERR_CORRUPT, "%s answers too much", program);
        }
    }
}

static struct err *run_helper(const struct host *h, const char *path, const char *key, struct str *out, int *ret_code) {
    int to[2], from[2];
    TRY(fd_pipe(0, to));
    autofd int to_read = to[0], to_write = to[1];
    TRY(fd_pipe(0, from));
    autofd int from_read = from[0], from_write = from[1];
    /* Before there is a reader: one that ends without reading would be our end by SIGPIPE. A pipe holds that much. */
    TRY(io_write_all(to_write, key, strlen(key)));
    fd_replace(&to_write, -1);
    autofree char *name = mem_dup(path);
    char verb[] = "get";
    char *argv[] = {name, verb, NULL};
    const struct proc_spawn p = {
        .path = path, .argv = argv, .envp = h->environ, .stdio = {to_read, from_write, 2}, .die_with_parent = true};
    pid_t pid = -1;
    autofd int pidfd = -1;
    TRY(proc_spawn(&p, &pid, &pidfd));
    fd_replace(&from_write, -1);
    fd_replace(&to_read, -1);
    struct err *e = read_answer(from_read, pidfd, path_base(path), out);
    struct err *reaped = proc_reap(pid, ret_code);
    if (!e)
        return reaped;
    err_free(reaped);
    return e;
}

static struct err *helper_creds(const struct host *h, const char *helper, const char *registry, struct creds *c) {
    autofree char *program = mem_printf("docker-credential-%s", helper);
    if (!path_is_component(program))
        return err_new(ERR_USAGE, "docker's config.json names an unusable credential helper \"%s\"", helper);
    autofree char *path = NULL;
    TRY_CTX(host_find_program(h, program, program, &path), "credential helper of docker's config.json");
    autostr struct str out = STR_INIT_MAX(HELPER_OUTPUT_MAX);
    int code = 0;
    TRY(run_helper(h, path, config_key(registry), &out, &code));
    if (code != 0 && strstr(str_c(&out), "credentials not found"))
        return NULL;
    if (code != 0) {
        autostr struct str why = STR_INIT_MAX(512);
        str_append_visible(&why, str_c(&out));
        return err_new(ERR_AUTH, "%s failed with exit code %d: %s", program, code, str_c(&why));
    }
    autojson j = NULL;
    const char *user = NULL, *secret = NULL;
    TRY(json_parse(str_c(&out), out.len, program, 0, &j));
    TRY(json_get_str(j, "Username", &user));
    TRY(json_get_str(j, "Secret", &secret));
    if (str_eq(user, "<token>")) {
        c->identity_token = mem_dup(secret);
    } else {
        c->user = mem_dup(user);
        c->password = mem_dup(secret);
    }
    return NULL;
}

static struct err *read_config(const struct host *h, struct json **ret) {
    autofd int dir = -1, fd = -1;
    *ret = NULL;
    if (!h->docker_config_dir)
        return NULL;
    autoerr e = fd_open_dir(AT_FDCWD, h->docker_config_dir, &dir);
    if (!e)
        e = fd_open_at(dir, "config.json", O_RDONLY | O_NONBLOCK, 0, &fd); /* people link it from their dotfiles */
    if (e)
        return err_kind(e) == ERR_NOT_FOUND ? NULL : err_wrap(take_ptr(&e), "docker's config.json");
    autostr struct str text = STR_INIT_MAX(JSON_SIZE_MAX);
    TRY(io_read_all(fd, JSON_SIZE_MAX, "docker's config.json", &text));
    return json_parse(str_c(&text), text.len, "docker's config.json", 0, ret);
}

struct err *creds_find(const struct host *h, const char *registry, struct creds *ret) {
    autojson j = NULL;
    TRY(read_config(h, &j));
    struct creds c = {0};
    const char *helper = json_str_value(json_get(json_get(j, "credHelpers"), config_key(registry)));
    if (!helper)
        helper = json_str_value(json_get(json_get(j, "credHelpers"), registry));
    if (!helper)
        helper = json_str_value(json_get(j, "credsStore"));
    struct err *e = helper && *helper ? helper_creds(h, helper, registry, &c) : NULL;
    if (!e && !creds_have(&c))
        e = creds_from_auths(json_get(j, "auths"), registry, &c);
    if (e) {
        creds_done(&c);
        return e;
    }
    *ret = c;
    return NULL;
}
