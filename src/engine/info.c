/* info and version: what this is, what this machine offers, and what it lacks with the way to get it. */
#include "engine/engine_int.h"

#include "base/logout.h"
#include "spec/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#define API_VERSION "1.50"

static const char *cgroup_word(enum cgroup_mode m) {
    switch (m) {
    case CGROUP_V2:
        return "2";
    case CGROUP_V1:
    case CGROUP_HYBRID:
        return "1";
    case CGROUP_NONE:
        break;
    }
    return "";
}

static void count_containers(struct engine *e, struct json *o) {
    const struct engine_list l = {.all = true, .last = -1};
    struct engine_rows list = {.n = 0};
    err_free(engine_container_list(e, &l, &list));
    int running = 0, paused = 0, stopped = 0;
    for (size_t i = 0; i < list.n; i++) {
        const char *status = list.v[i]->status;
        running += str_eq(status, "running");
        paused += str_eq(status, "paused");
        stopped += !str_eq(status, "running") && !str_eq(status, "paused");
    }
    engine_rows_done(&list);
    json_set_int(o, "Containers", running + paused + stopped);
    json_set_int(o, "ContainersRunning", running);
    json_set_int(o, "ContainersPaused", paused);
    json_set_int(o, "ContainersStopped", stopped);
    autojson images = NULL;
    autoerr none = engine_image_list(e, &images);
    json_set_int(o, "Images", none ? 0 : (int64_t)json_count(images));
}

/* PRETTY_NAME of os-release. */
static void operating_system(struct json *o) {
    static const char *const files[] = {"/etc/os-release", "/usr/lib/os-release"};
    enum { RELEASE_MAX = 16384 };
    autostr struct str text = STR_INIT_MAX(RELEASE_MAX);
    for (size_t i = 0; !text.len && i < ARRAY_LEN(files); i++)
        err_free(io_read_file(AT_FDCWD, files[i], RELEASE_MAX, &text));
    autofree char *name = str_assigned(str_c(&text), "PRETTY_NAME");
    json_set_str(o, "OperatingSystem", name ? name : "Linux");
}

/* What networks are made of here (docs/internals/networks.md), found out by making one, and why it is nothing better.
 */
static void describe_network(struct engine *e, struct json *o) {
    autojson answer = NULL;
    autostr struct str why = STR_INIT;
    int fd = -1;
    struct err *none = engine_userns(e, &fd, NULL);
    if (!none)
        none = net_level(e->host, fd, &answer);
    if (none)
        err_format(none, &why);
    err_free(none);
    json_set_str(o, "NetworkLevel", answer ? json_text(answer, "level") : engine_fallback_level(e));
    json_set_str(o, "NetworkLacks", answer ? json_text(answer, "lacks") : str_c(&why));
}

/* Which ways of stacking layers work here, and what is missing for the others. */
static void describe_abilities(struct engine *e, struct json *o) {
    struct json *warnings = json_array();
    struct id_map map;
    autoerr no_ids = host_id_map(e->host, &map);
    if (no_ids) {
        const char *hint = err_hint_text(no_ids);
        autofree char *line =
            mem_printf("no subordinate ids: %s", hint ? hint : "add a line to /etc/subuid and /etc/subgid");
        json_push_str(warnings, line);
    }
    autofree char *newuidmap = NULL, *fuse = NULL;
    autoerr no_map = host_find_program(e->host, "newuidmap", "uidmap", &newuidmap);
    if (no_map)
        json_push_str(warnings, "newuidmap is missing: install the package uidmap (or shadow-utils)");
    autoerr no_fuse = host_find_program(e->host, "fuse-overlayfs", "fuse-overlayfs", &fuse);
    json_set_bool(o, "FuseOverlayfs", !no_fuse && access("/dev/fuse", R_OK | W_OK) == 0);
    if (e->host->cgroup != CGROUP_V2)
        json_push_str(warnings,
                      "cgroup v2 is not available to this user: docs/limits.md says which resource limits hold");
    const char *way_out = logout_way_out(logout_end("", e->host->user, e->host->uid, 0));
    if (way_out) {
        autofree char *line = mem_printf("systemd ends containers when you log out; they stay with: %s", way_out);
        json_push_str(warnings, line);
    }
    json_set(o, "Warnings", warnings);
}

static void set_log_drivers(struct json *o) {
    struct json *plugins = json_object(), *log = json_array(), *volume = json_array(), *network = json_array();
    for (size_t i = 0; spec_log_drivers[i]; i++)
        json_push_str(log, spec_log_drivers[i]);
    json_push_str(volume, "local");
    json_push_str(network, "bridge");
    json_push_str(network, "host");
    json_push_str(network, "null");
    json_set(plugins, "Volume", volume);
    json_set(plugins, "Network", network);
    json_set(plugins, "Authorization", json_null());
    json_set(plugins, "Log", log);
    json_set(o, "Plugins", plugins);
}

/* What scripts ask of a daemon, and of the client beside it. */
static void set_daemon(struct json *o) {
    struct json *runtimes = json_object(), *runtime = json_object(), *swarm = json_object(), *client = json_object();
    json_set_str(runtime, "path", "coracle-runtime");
    json_set(runtimes, "coracle", runtime);
    json_set(o, "Runtimes", runtimes);
    json_set_str(swarm, "NodeID", "");
    json_set_str(swarm, "LocalNodeState", "inactive");
    json_set_bool(swarm, "ControlAvailable", false);
    json_set(o, "Swarm", swarm);
    json_set_bool(o, "LiveRestoreEnabled", true); /* containers need nobody to go on */
    json_set_bool(o, "ExperimentalBuild", false);
    json_set_bool(o, "Debug", false);
    json_set_str(o, "IndexServerAddress", "https://index.docker.io/v1/");
    json_set_str(client, "Version", CORACLE_VERSION);
    json_set_str(client, "Context", "default");
    json_set(client, "Plugins", json_array());
    json_set_bool(client, "Debug", false);
    json_set(o, "ClientInfo", client);
}

struct err *engine_info(struct engine *e, struct json **ret) {
    struct store *s;
    TRY(engine_store(e, &s));
    struct json *o = json_object();
    struct sysinfo si;
    json_set_str(o, "ID", e->host->boot_id);
    count_containers(e, o);
    json_set_str(o, "Driver", engine_driver_name(e));
    json_set_str(o, "LoggingDriver", e->config->log_driver ? e->config->log_driver : "json-file");
    set_log_drivers(o);
    json_set_str(o, "CgroupDriver", e->host->cgroup == CGROUP_NONE ? "none" : "cgroupfs");
    json_set_str(o, "CgroupVersion", cgroup_word(e->host->cgroup));
    json_set_str(o, "KernelVersion", e->host->kernel);
    operating_system(o);
    json_set_str(o, "OSType", "linux");
    struct utsname u;
    json_set_str(o, "Architecture", uname(&u) == 0 ? u.machine : e->host->arch);
    json_set_int(o, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
    json_set_int(o, "MemTotal", sysinfo(&si) == 0 ? (int64_t)si.totalram * si.mem_unit : 0);
    json_set_str(o, "DockerRootDir", store_root(s));
    json_set_str(o, "Name", e->host->hostname);
    json_set_str(o, "ServerVersion", CORACLE_VERSION);
    json_set_str(o, "DefaultRuntime", "coracle");
    json_set(o, "SecurityOptions", json_array());
    json_push_str(json_get(o, "SecurityOptions"), "name=seccomp,profile=builtin");
    json_push_str(json_get(o, "SecurityOptions"), "name=rootless");
    if (e->config->selinux_enabled && host_has_selinux())
        json_push_str(json_get(o, "SecurityOptions"), "name=selinux");
    json_set_strv(o, "RegistryMirrors", &e->config->registry_mirrors);
    json_set_strv(o, "InsecureRegistries", &e->config->insecure_registries);
    json_set_str(o, "RunDir", e->host->run_root);
    describe_network(e, o);
    describe_abilities(e, o);
    set_daemon(o);
    *ret = o;
    return NULL;
}

static struct json *version_half(const struct engine *e) {
    struct json *o = json_object();
    struct utsname u;
    json_set_str(o, "Version", CORACLE_VERSION);
    json_set_str(o, "ApiVersion", API_VERSION);
    json_set_str(o, "Os", "linux");
    json_set_str(o, "Arch", e->host->arch);
    json_set_str(o, "KernelVersion", uname(&u) == 0 ? u.release : "");
    return o;
}

struct err *engine_version(struct engine *e, struct json **ret) {
    struct json *o = json_object(), *client = version_half(e), *server = version_half(e);
    json_remove(client, "KernelVersion");
    json_set_str(client, "Context", "default");
    json_set_str(client, "DefaultAPIVersion", API_VERSION);
    json_set_str(server, "MinAPIVersion", "1.24");
    json_set(o, "Client", client);
    json_set(o, "Server", server);
    *ret = o;
    return NULL;
}
