/* What U, z and Z of a mount leave alone, asked of both in the way that a container's start does; SELinux is not
 * needed: they are refused before anything is changed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rootfs_plan.h"
#include "engine/engine_int.h"
#include "engine/labels_int.h"
#include "engine/volumes_int.h"
#include "spec/selinux.h"
#include "unit.h"

static char top[] = "/tmp/coracle-unit.XXXXXX";

static char *below(const char *name) { return mem_printf("%s/%s", top, name); }

/* The annotations of a container with this mount. */
static struct json *config_of(const char *source) {
    autojson one = json_object();
    autojson list = json_array();
    struct json *annotations = json_object(), *config = json_object();
    autostr struct str text = STR_INIT;
    json_set_str(one, "Source", source);
    json_set_str(one, "Label", "system_u:object_r:container_file_t:s0");
    json_push(list, take_ptr(&one));
    json_render(list, JSON_COMPACT, &text);
    json_set_str(annotations, SPEC_ANN_RELABEL, str_c(&text));
    json_set_str(annotations, SPEC_ANN_CHOWN, str_c(&text));
    json_set_str(annotations, SPEC_ANN_USER, "0");
    json_set(config, "annotations", annotations);
    return config;
}

static bool is_refused(struct err *take_e) {
    autoerr e = take_e;
    return e && err_kind(e) == ERR_DENIED && !err_errno(e);
}

static bool both_refuse(const struct engine *e, const char *source) {
    autojson config = config_of(source);
    const struct rootfs_plan none = {.driver = ROOTFS_OVERLAY};
    autofd int root = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool relabel = is_refused(labels_put(e, config, &none)), chown = is_refused(volumes_give(e, config, NULL, root));
    if (relabel != chown)
        printf("%s: relabelling %d, giving %d\n", source, relabel, chown);
    CHECK(relabel == chown);
    return relabel && chown;
}

static void test_precious(void) {
    static const char *const dirs[] = {"users",
                                       "users/me",
                                       "users/me/.local",
                                       "users/me/.local/store",
                                       "users/me/.local/store/volumes",
                                       "users/me/work",
                                       "users/you",
                                       "run",
                                       "run/coracle",
                                       "run/other"};
    static const char *const no[] = {"users/me/work", "users/you", "users/me/.local/store/volumes", "run/other",
                                     "users/me/link-out"};
    static const char *const yes[] = {"",
                                      "users",
                                      "users/me",
                                      "users/me/.local",
                                      "users/me/.local/store",
                                      "run",
                                      "run/coracle",
                                      "users/me/link-store",
                                      "users/me/work/../.local"};
    CHECK(mkdtemp(top) != NULL);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        autofree char *dir = below(dirs[i]);
        CHECK(mkdir(dir, 0755) == 0);
    }
    autofree char *home = below("users/me"), *store = below("users/me/.local/store"), *run = below("run/coracle");
    autofree char *out = below("users/me/link-out"), *in = below("users/me/link-store");
    CHECK(symlink("../you", out) == 0 && symlink(".local", in) == 0);
    const struct host h = {.home = home, .data_root = store, .run_root = run, .uid = getuid(), .gid = getgid()};
    const struct engine e = {.host = &h, .userns_fd = -1};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        autofree char *path = below(yes[i]);
        CHECK(both_refuse(&e, path));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        autofree char *path = below(no[i]);
        CHECK(!both_refuse(&e, path));
    }
    CHECK(both_refuse(&e, "/"));
    CHECK(both_refuse(&e, "/usr"));
    CHECK(both_refuse(&e, "/etc/passwd"));
    CHECK(both_refuse(&e, "/tmp"));
    CHECK_OK(io_remove_tree(AT_FDCWD, top));
}

UNIT_MAIN({"precious", test_precious})
