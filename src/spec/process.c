/* What runs: the command line, where, as whom, under which name; and the policies around it. */
#include "spec/spec_int.h"

#include "base/id.h"
#include "base/path.h"
#include "base/proc.h"

/*
 * docker's rule: --entrypoint replaces the image's ENTRYPOINT and drops its CMD with it ("" leaves just the command
 * line); a command line replaces CMD.
 */
static struct err *command(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    bool own_entrypoint = o->entrypoint_set || o->entrypoint;
    if (!own_entrypoint)
        TRY(json_get_strv_opt(x->img, "Entrypoint", &x->entrypoint));
    else if (o->entrypoint && *o->entrypoint)
        strv_push(&x->entrypoint, o->entrypoint);
    if (o->command.n || own_entrypoint)
        strv_extend(&x->cmd, &o->command);
    else
        TRY(json_get_strv_opt(x->img, "Cmd", &x->cmd));
    /* An image's ENTRYPOINT [""] stands for none. */
    if (x->entrypoint.n == 1 && !*x->entrypoint.v[0])
        strv_done(&x->entrypoint);
    strv_extend(&x->args, &x->entrypoint);
    strv_extend(&x->args, &x->cmd);
    if (x->args.n == 0)
        return err_hint(err_new(ERR_USAGE, "no command specified"),
                        "the image names none: give the command to run after the image");
    return NULL;
}

/* The option if given, else the image's value, else "". */
static struct err *option_or_image(const struct spec_ctx *x, const char *option, const char *key, const char **ret) {
    *ret = option;
    return option && *option ? NULL : json_get_str_opt(x->img, key, "", ret);
}

static struct err *workdir(struct spec_ctx *x) {
    const char *dir;
    TRY(option_or_image(x, x->o->workdir, "WorkingDir", &dir));
    if (*dir && *dir != '/')
        return err_new(ERR_USAGE, "the working directory '%s' is invalid, it needs to be an absolute path", dir);
    x->workdir = *dir ? path_clean(dir) : mem_dup("");
    return NULL;
}

static struct err *user(struct spec_ctx *x) {
    const char *text;
    TRY(option_or_image(x, x->o->user, "User", &text));
    if (spec_has_control(text))
        return err_new(ERR_USAGE, "invalid user '%s': it holds control characters", text);
    x->user = mem_dup(*text || !x->in->map_user ? text : x->in->map_user);
    return NULL;
}

static struct err *stop_signal(struct spec_ctx *x) {
    const char *name;
    TRY(option_or_image(x, x->o->stop_signal, "StopSignal", &name));
    if (*name) {
        int number;
        autoerr e = proc_signal_parse(name, &number);
        if (e)
            return err_new(ERR_USAGE, "invalid signal: %s", name);
    }
    x->stop_signal = mem_dup(name);
    return NULL;
}

/* A name goes into /etc/hosts and sethostname(2): printable, without spaces or slashes, at most 64 bytes. */
static struct err *check_hostname(const char *name, const char *flag) {
    size_t n = strlen(name);
    if (n > 64 || spec_has_control(name) || strpbrk(name, " /"))
        return err_new(ERR_USAGE, "invalid value for %s: '%s' is not a host name of at most 64 bytes", flag, name);
    return NULL;
}

static struct err *hostname(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    bool of_host = x->uts.mode == SPEC_NS_HOST || x->net.mode == SPEC_NS_HOST;
    if (o->hostname && *o->hostname)
        x->hostname = mem_dup(o->hostname);
    else if (of_host && x->in->host->hostname)
        x->hostname = mem_dup(x->in->host->hostname);
    else
        x->hostname = mem_dupn(x->in->id, strnlen(x->in->id, ID_SHORT_LEN));
    TRY(check_hostname(x->hostname, "--hostname"));
    if (o->domainname && *o->domainname && x->uts.mode == SPEC_NS_HOST)
        return err_new(ERR_USAGE, "conflicting options: domainname and the UTS mode");
    return o->domainname ? check_hostname(o->domainname, "--domainname") : NULL;
}

/* ---- podman's: umask, time zone, file for the PID ---- */

static struct err *umask_of(struct spec_ctx *x) {
    const char *text = x->o->umask;
    x->umask = -1;
    if (!text)
        return NULL;
    size_t digits = strspn(text, "01234567");
    if (!digits || digits > 4 || text[digits] || strtol(text, NULL, 8) > 0777)
        return err_new(ERR_USAGE, "invalid umask string %s: it is an octal number from 0 to 0777", text);
    x->umask = (int)strtol(text, NULL, 8);
    return NULL;
}

/* As the C library finds them: TZDIR may name the directory. */
struct err *spec_timezone_file(const struct host *h, const char *tz, char **ret) {
    if (str_eq(tz, "local")) {
        *ret = mem_dup("/etc/localtime");
        return NULL;
    }
    autofree char *clean = mem_printf("/%s", tz), *same = path_clean(clean);
    if (!*tz || !str_eq(clean, same) || spec_has_control(tz))
        return err_new(ERR_USAGE, "invalid value for --tz: '%s' is no name of a time zone", tz);
    const char *dir = host_env(h, "TZDIR");
    *ret = path_join(dir && *dir == '/' ? dir : "/usr/share/zoneinfo", tz);
    return NULL;
}

static struct err *pidfile(struct spec_ctx *x) {
    const char *path = x->o->pidfile;
    if (!path)
        return NULL;
    if (!*path)
        return err_new(ERR_USAGE, "invalid value for --pidfile: it is empty");
    autofree char *absolute = *path == '/' ? mem_dup(path) : path_join(x->o->cwd ? x->o->cwd : "/", path);
    x->pidfile = path_clean(absolute);
    return NULL;
}

struct err *spec_resolve_process(struct spec_ctx *x) {
    TRY(command(x));
    TRY(workdir(x));
    TRY(user(x));
    TRY(stop_signal(x));
    TRY(umask_of(x));
    TRY(pidfile(x));
    if (x->o->tz)
        TRY(spec_timezone_file(x->in->host, x->o->tz, &x->timezone));
    return hostname(x);
}

/* ---- policies: out of memory, time ---- */

struct err *spec_resolve_misc(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    if (o->oom_score_adj < -1000 || o->oom_score_adj > 1000)
        return err_new(ERR_USAGE, "invalid value %lld, range for oom score adj is [-1000, 1000]",
                       (long long)o->oom_score_adj);
    if (o->stop_timeout < -1)
        return err_new(ERR_USAGE, "invalid value %lld for --stop-timeout", (long long)o->stop_timeout);
    for (size_t i = 0; i < o->group_add.n; i++)
        if (!*o->group_add.v[i] || spec_has_control(o->group_add.v[i]))
            return err_new(ERR_USAGE, "invalid value for --group-add: '%s'", o->group_add.v[i]);
    if (o->timeout < 0)
        return err_new(ERR_USAGE, "invalid value %lld for --timeout: it cannot be negative", (long long)o->timeout);
    return spec_resolve_log(x);
}
