/* exec: one more process in a running container, described by a file (as conmon does) or on the command line. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime.h"

struct exec_args {
    const char *process, *console_socket, *cwd, *user, *pid_file, *preserve;
    struct strv env, groups, caps;
    bool tty, detach, no_new_privs, ignore_paused;
    char **argv; /* of the program; NULL-terminated */
    const char *id;
};

static struct err *parse_args(int argc, char **argv, struct exec_args *a) {
    const struct opt opts[] = {
        {"process", 'p', OPT_STRING, &a->process}, {"console-socket", 0, OPT_STRING, &a->console_socket},
        {"cwd", 0, OPT_STRING, &a->cwd},           {"user", 'u', OPT_STRING, &a->user},
        {"pid-file", 0, OPT_STRING, &a->pid_file}, {"preserve-fds", 0, OPT_STRING, &a->preserve},
        {"env", 'e', OPT_LIST, &a->env},           {"additional-gids", 'g', OPT_LIST, &a->groups},
        {"cap", 'c', OPT_LIST, &a->caps},          {"tty", 't', OPT_FLAG, &a->tty},
        {"detach", 'd', OPT_FLAG, &a->detach},     {"no-new-privs", 0, OPT_FLAG, &a->no_new_privs},
        {"apparmor", 0, OPT_IGNORED, NULL},        {"process-label", 0, OPT_IGNORED, NULL},
        {"cgroup", 0, OPT_IGNORED, NULL},          {"ignore-paused", 0, OPT_FLAG, &a->ignore_paused},
    };
    int64_t preserved = 0;
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i == argc)
        return err_new(ERR_USAGE, "exec takes a container id and a command");
    a->id = argv[i];
    a->argv = argv + i + 1;
    if (!a->process && !*a->argv)
        return err_new(ERR_USAGE, "exec needs a command or --process");
    TRY(opts_number("preserve-fds", a->preserve, 1024, &preserved));
    if (preserved)
        return err_new(ERR_UNSUPPORTED, "exec --preserve-fds");
    return NULL;
}

static void exec_args_done(struct exec_args *a) {
    strv_done(&a->env);
    strv_done(&a->groups);
    strv_done(&a->caps);
}

/* ---- the process object ---- */

static void add_env(struct json *process, const struct strv *extra) {
    autostrv struct strv env = {.v = NULL};
    JSON_EACH(it, json_get(process, "env"))
    if (json_str_value(it) && strchr(json_str_value(it), '='))
        strv_env_set(&env, json_str_value(it));
    for (size_t i = 0; i < extra->n; i++)
        if (strchr(extra->v[i], '='))
            strv_env_set(&env, extra->v[i]);
    json_set_strv(process, "env", &env);
}

static struct err *set_user(struct json *process, const struct exec_args *a) {
    if (a->user) {
        json_set_str(process, "user_text", a->user);
        return NULL;
    }
    struct json *user = json_get(process, "user");
    if (!a->groups.n || !user)
        return NULL;
    struct json *gids = json_array();
    json_set(user, "additionalGids", gids);
    for (size_t i = 0; i < a->groups.n; i++) {
        int64_t gid;
        if (!str_to_i64(a->groups.v[i], 0, INT32_MAX, &gid))
            return err_new(ERR_USAGE, "additional group '%s' is not a number", a->groups.v[i]);
        json_push(gids, json_int(gid));
    }
    return NULL;
}

static void add_caps(struct json *process, const struct strv *caps) {
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    struct json *all = json_get(process, "capabilities");
    if (caps->n && !all) {
        all = json_object();
        json_set(process, "capabilities", all);
    }
    for (size_t i = 0; caps->n && i < ARRAY_LEN(sets); i++) {
        if (!json_get(all, sets[i]))
            json_set(all, sets[i], json_array());
        for (size_t k = 0; k < caps->n; k++)
            json_push_str(json_get(all, sets[i]), caps->v[k]);
    }
}

static struct err *process_of_args(const struct exec_args *a, const struct json *config, struct json **ret) {
    autojson p = json_copy(json_get(config, "process"));
    autostrv struct strv args = {.v = NULL};
    if (!p)
        return err_new(ERR_CORRUPT, "the container's config has no process");
    for (char **w = a->argv; *w; w++)
        strv_push(&args, *w);
    json_set_strv(p, "args", &args);
    json_set_bool(p, "terminal", a->tty);
    add_env(p, &a->env);
    add_caps(p, &a->caps);
    if (a->cwd)
        json_set_str(p, "cwd", a->cwd);
    if (a->no_new_privs)
        json_set_bool(p, "noNewPrivileges", true);
    TRY(set_user(p, a));
    *ret = take_ptr(&p);
    return NULL;
}

static struct err *read_process(const struct exec_args *a, const struct json *config, struct json **ret) {
    if (!a->process)
        return process_of_args(a, config, ret);
    TRY_CTX(json_read_file(AT_FDCWD, a->process, ret), "process");
    if (a->tty)
        json_set_bool(*ret, "terminal", true);
    return NULL;
}

/* ---- running it ---- */

static struct err *hand_over(const struct exec_args *a, const struct runtime_proc *p) {
    if (p->console >= 0)
        TRY(console_send(a->console_socket, p->console));
    return a->pid_file ? pid_file_write(a->pid_file, p->pid) : NULL;
}

static struct err *run_process(const struct exec_args *a, const struct record *r, const struct json *config,
                               int *ret_code) {
    autojson process = NULL;
    struct runtime_proc p;
    TRY(read_process(a, config, &process));
    const struct json *size = json_get(process, "consoleSize");
    struct runtime_exec x = {
        .target = r->pid,
        .target_pidfd = r->pidfd,
        .id = r->id,
        .bundle = json_str_value(json_get(r->state, "bundle")),
        .config = config,
        .process = process,
        .stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .terminal = json_bool_value(json_get(process, "terminal"), false),
        .rows = (unsigned short)json_int_value(json_get(size, "height"), 0),
        .cols = (unsigned short)json_int_value(json_get(size, "width"), 0),
    };
    if (x.terminal && !a->console_socket)
        return err_hint(err_new(ERR_USAGE, "the process wants a terminal, and there is nobody to hold it"),
                        "give --console-socket PATH");
    if (!a->detach)
        foreground_block();
    TRY(runtime_exec(&x, &p));
    struct err *e = hand_over(a, &p);
    *ret_code = 0;
    if (e)
        runtime_proc_done(&p);
    else if (!a->detach)
        e = foreground_wait(p.pid, p.pidfd, ret_code);
    return e;
}

static struct err *exec_in(const struct oci *o, const struct exec_args *a, int *ret_code) {
    autorecord r = RECORD_INIT;
    autojson config = NULL;
    TRY(record_open(o, a->id, &r));
    if (r.status == STATUS_PAUSED && !a->ignore_paused)
        return err_hint(err_new(ERR_CONFLICT, "cannot exec in a container that is paused: %s", a->id),
                        "resume it first; with --ignore-paused the process waits until it is");
    if (r.status != STATUS_RUNNING && r.status != STATUS_CREATED && r.status != STATUS_PAUSED)
        return err_new(ERR_CONFLICT, "cannot exec in a container that is %s: %s", status_name(r.status), a->id);
    TRY(record_config(&r, &config));
    return run_process(a, &r, config, ret_code);
}

struct err *cmd_exec(struct oci *o, int argc, char **argv, int *ret_code) {
    struct exec_args a = {.id = NULL};
    struct err *e = parse_args(argc, argv, &a);
    if (!e)
        e = exec_in(o, &a, ret_code);
    exec_args_done(&a);
    return e;
}
