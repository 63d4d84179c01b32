/* describe: features, what a config may ask for; and spec, a config to begin with. */
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "spec/spec.h"

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
    static const char flags[] = "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW "
                                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    struct json *s = json_object();
    json_set_bool(s, "enabled", true);
    json_set(
        s, "actions",
        words("SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL_THREAD SCMP_ACT_LOG "
              "SCMP_ACT_NOTIFY SCMP_ACT_TRACE SCMP_ACT_TRAP"));
    json_set(s, "operators",
             words("SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_LE SCMP_CMP_LT SCMP_CMP_MASKED_EQ SCMP_CMP_NE"));
    json_set(s, "archs", words("SCMP_ARCH_AARCH64 SCMP_ARCH_ARM SCMP_ARCH_X32 SCMP_ARCH_X86 SCMP_ARCH_X86_64"));
    json_set(s, "knownFlags", words(flags));
    json_set(s, "supportedFlags", words(flags));
    return s;
}

static struct json *enabled(bool on) {
    struct json *j = json_object();
    json_set_bool(j, "enabled", on);
    return j;
}

static struct json *cgroup_features(void) {
    static const char *const on[] = {"v1", "v2", "rootless"}, *const off[] = {"systemd", "systemdUser", "rdma"};
    struct json *c = json_object();
    for (size_t i = 0; i < ARRAY_LEN(on); i++)
        json_set_bool(c, on[i], true);
    for (size_t i = 0; i < ARRAY_LEN(off); i++)
        json_set_bool(c, off[i], false);
    return c;
}

static struct json *linux_features(void) {
    struct json *l = json_object(), *caps = json_array();
    for (int i = 0; spec_cap_name(i); i++)
        json_push_str(caps, spec_cap_name(i));
    json_set(l, "namespaces", words("cgroup ipc mount network pid time user uts"));
    json_set(l, "capabilities", caps);
    json_set(l, "cgroup", cgroup_features());
    json_set(l, "seccomp", seccomp_features());
    json_set(l, "apparmor", enabled(access("/sys/module/apparmor", F_OK) == 0));
    json_set(l, "selinux", enabled(host_has_selinux()));
    json_set(l, "intelRdt", enabled(false));
    json_set(l, "mountExtensions", json_object());
    json_set(json_get(l, "mountExtensions"), "idmap", enabled(true));
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
        words(
            "async bind defaults dev diratime exec idmap noatime nodev nodiratime noexec nosuid nosymfollow private "
            "rbind "
            "rdev rdiratime relatime rexec ridmap rnoatime rnodev rnodiratime rnoexec rnosuid rnosymfollow ro rprivate "
            "rrelatime rro rrw rshared rslave rstrictatime rsuid runbindable rw shared slave strictatime suid "
            "unbindable"));
    json_set(j, "linux", linux_features());
    *ret_code = 0;
    return print_json(j, JSON_PRETTY);
}

/* ---- spec ---- */

/* runc's default, as far as it holds for a user without root: the ids are put in. */
static const char default_config[] =
    "{\"ociVersion\":\"" OCI_VERSION
    "\",\"process\":{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"sh\"],"
    "\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"TERM=xterm\"],\"cwd\":\"/\","
    "\"capabilities\":{\"bounding\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
    "\"effective\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
    "\"permitted\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"]},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}],\"noNewPrivileges\":true},"
    "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"coracle\",\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
    "\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
    "\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]},"
    "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
    "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]},"
    "{\"destination\":\"/dev/"
    "mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
    "{\"destination\":\"/"
    "sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
    "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\","
    "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"relatime\",\"ro\"]}],"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{"
    "\"type\":\"mount\"},"
    "{\"type\":\"cgroup\"},{\"type\":\"user\"}],"
    "\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/kcore\",\"/proc/keys\",\"/proc/latency_stats\",\"/proc/"
    "timer_list\","
    "\"/proc/timer_stats\",\"/proc/sched_debug\",\"/sys/firmware\",\"/proc/scsi\"],"
    "\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}}";

static void set_map(struct json *linux_, const char *key, int64_t id) {
    struct json *list = json_array(), *range = json_object();
    json_set_int(range, "containerID", 0);
    json_set_int(range, "hostID", id);
    json_set_int(range, "size", 1);
    json_push(list, range);
    json_set(linux_, key, list);
}

struct err *cmd_spec(struct oci *o, int argc, char **argv, int *ret_code) {
    const char *bundle = ".";
    const struct opt opts[] = {{"bundle", 'b', OPT_STRING, &bundle}, {"rootless", 0, OPT_IGNORED_FLAG, NULL}};
    autojson config = NULL;
    autofd int dir = -1;
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc)
        return err_new(ERR_USAGE, "spec takes no argument");
    TRY_CTX(fd_open_dir(AT_FDCWD, bundle, &dir), "bundle");
    if (faccessat(dir, OCI_CONFIG, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_new(ERR_CONFLICT, "File " OCI_CONFIG " exists. Remove it first");
    TRY(json_parse(default_config, sizeof default_config - 1, "the default configuration", 0, &config));
    set_map(json_get(config, "linux"), "uidMappings", o->host->uid);
    set_map(json_get(config, "linux"), "gidMappings", o->host->gid);
    *ret_code = 0;
    return json_write_file(dir, OCI_CONFIG, config, 0644, 0);
}
