/* view: state, list, features: JSON on standard output. */
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "spec/spec.h"

struct err *print_text(const struct str *s) {
    TRY_CTX(io_write_all(STDOUT_FILENO, str_c(s), s->len), "write to standard output");
    return NULL;
}

static struct err *print_json(const struct json *j) {
    autostr struct str text = STR_INIT;
    json_render(j, JSON_PRETTY, &text);
    str_append_c(&text, '\n');
    return print_text(&text);
}

struct err *cmd_state(struct oci *o, int argc, char **argv, int *ret_code) {
    autorecord r = RECORD_INIT;
    int i = 0;
    TRY(opts_parse(NULL, 0, argc, argv, &i));
    if (i != argc - 1)
        return err_new(ERR_USAGE, "state takes one container id");
    TRY(record_open(o, argv[i], &r));
    autojson view = record_view(&r);
    *ret_code = 0;
    return print_json(view);
}

/* ---- list ---- */

static struct err *list_one(void *ctx, const struct record *r) {
    json_push(ctx, record_view(r));
    return NULL;
}

static void append_row(const struct json *view, struct str *out) {
    static const char *const columns[] = {"id", "pid", "status", "bundle", "created", "owner"};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        const struct json *v = json_get(view, columns[i]);
        if (json_str_value(v))
            str_append_visible(out, json_str_value(v));
        else
            str_appendf(out, "%lld", (long long)json_int_value(v, 0));
        str_append_c(out, i + 1 < ARRAY_LEN(columns) ? '\t' : '\n');
    }
}

static struct err *print_table(const struct json *all, bool quiet) {
    autostr struct str text = STR_INIT;
    if (!quiet)
        str_append(&text, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n");
    JSON_EACH(it, all) {
        if (quiet)
            str_appendf(&text, "%s\n", json_str_value(json_get(it, "id")));
        else
            append_row(it, &text);
    }
    return print_text(&text);
}

struct err *cmd_list(struct oci *o, int argc, char **argv, int *ret_code) {
    const char *format = "table";
    bool quiet = false;
    const struct opt opts[] = {{"format", 'f', OPT_STRING, &format}, {"quiet", 'q', OPT_FLAG, &quiet}};
    autojson all = json_array();
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc || (!str_eq(format, "table") && !str_eq(format, "json")))
        return err_new(ERR_USAGE, "list takes no argument, and --format table or json");
    TRY(record_each(o, list_one, all));
    *ret_code = 0;
    return str_eq(format, "json") && !quiet ? print_json(all) : print_table(all, quiet);
}

/* ---- features ---- */

static struct json *words(const char *text) {
    autostrv struct strv list = {.v = NULL};
    struct json *a = json_array();
    strv_split(&list, text, ' ');
    for (size_t i = 0; i < list.n; i++)
        json_push_str(a, list.v[i]);
    return a;
}

static struct json *seccomp_features(void) {
    struct json *s = json_object();
    json_set_bool(s, "enabled", true);
    json_set(
        s, "actions",
        words("SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL_THREAD SCMP_ACT_LOG "
              "SCMP_ACT_TRACE SCMP_ACT_TRAP"));
    json_set(s, "operators",
             words("SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_LE SCMP_CMP_LT SCMP_CMP_MASKED_EQ SCMP_CMP_NE"));
    json_set(s, "archs", words("SCMP_ARCH_AARCH64 SCMP_ARCH_ARM SCMP_ARCH_X32 SCMP_ARCH_X86 SCMP_ARCH_X86_64"));
    json_set(s, "knownFlags",
             words("SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW"));
    json_set(s, "supportedFlags",
             words("SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW"));
    return s;
}

static struct json *disabled(void) {
    struct json *j = json_object();
    json_set_bool(j, "enabled", false);
    return j;
}

static struct json *linux_features(void) {
    struct json *l = json_object(), *caps = json_array();
    for (int i = 0; spec_cap_name(i); i++)
        json_push_str(caps, spec_cap_name(i));
    json_set(l, "namespaces", words("cgroup ipc mount network pid user uts"));
    json_set(l, "capabilities", caps);
    json_set(l, "seccomp", seccomp_features());
    json_set(l, "apparmor", disabled());
    json_set(l, "selinux", disabled());
    return l;
}

struct err *cmd_features(struct oci *o, int argc, char **argv, int *ret_code) {
    autojson j = json_object();
    int i = 0;
    (void)o;
    TRY(opts_parse(NULL, 0, argc, argv, &i));
    if (i != argc)
        return err_new(ERR_USAGE, "features takes no argument");
    json_set_str(j, "ociVersionMin", "1.0.0");
    json_set_str(j, "ociVersionMax", OCI_VERSION);
    json_set(j, "hooks", words("prestart createRuntime createContainer startContainer poststart poststop"));
    json_set(
        j, "mountOptions",
        words("async bind dev diratime dirsync exec noatime nodev nodiratime noexec norelatime nostrictatime nosuid "
              "private rbind relatime ro rprivate rshared rslave rw shared slave strictatime suid sync"));
    json_set(j, "linux", linux_features());
    *ret_code = 0;
    return print_json(j);
}
