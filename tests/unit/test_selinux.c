/* Labels of containers: what the policy's file says, what the options make of it, and what is never relabelled. */
#include "base/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "spec/selinux.h"
#include "spec/spec.h"
#include "spec_fixture.h"
#include "unit.h"

static const char contexts[] = "# of the distribution\n"
                               "process = \"system_u:system_r:container_t:s0\"\n"
                               "content = \"system_u:object_r:virt_var_lib_t:s0\"\n"
                               "file=system_u:object_r:container_file_t:s0\r\n"
                               "ro_file = \"system_u:object_r:container_ro_file_t:s0\"\n";

static void test_contexts(void) {
    autolabels l = {0};
    CHECK_OK(selinux_contexts_parse(contexts, &l));
    CHECK_STR(l.process, "system_u:system_r:container_t:s0");
    CHECK_STR(l.file, "system_u:object_r:container_file_t:s0");
    CHECK_STR(l.layers, "system_u:object_r:container_ro_file_t:s0");
    autolabels older = {0};
    CHECK_OK(selinux_contexts_parse("process = a:b:c:s0\nfile = a:b:f:s0:c9", &older));
    CHECK_STR(older.layers, "a:b:f:s0");
    autolabels none = {0};
    CHECK_ERR(selinux_contexts_parse("", &none), ERR_NOT_FOUND);
    CHECK_ERR(selinux_contexts_parse("process = \"a:b:c:s0\"\nfiles = \"a:b:c:s0\"\n", &none), ERR_NOT_FOUND);
    CHECK_ERR(selinux_contexts_parse("process = \"a:b:c:s0\"\nfile = \"a:b\"\n", &none), ERR_CORRUPT);
    CHECK_ERR(selinux_contexts_parse("process = a:b:c\"d\nfile = a:b:,c\n", &none), ERR_CORRUPT);
    CHECK(!none.process && !none.file);
}

static void check_name(const char *text, const char *want) {
    autofree char *name = selinux_policy_name(text);
    CHECK(str_eq(name, want) || (!name && !want));
}

static void test_policy_name(void) {
    check_name("# SELINUXTYPE= can take one of these\nSELINUX=enforcing\nSELINUXTYPE=default\n", "default");
    check_name("SELINUX=enforcing\nSELINUXTYPE = targeted \n", "targeted");
    check_name("SELINUXTYPE=../../tmp\n", NULL);
    check_name("SELINUXTYPE=..\n", NULL);
    check_name("SELINUXTYPE=\n", NULL);
    check_name("", NULL);
}

/* All of them are two categories of 1024, the lower first; neighbours differ, and so do the ends. */
static void test_levels(void) {
    unsigned last_low = 0, last_high = 0;
    for (uint32_t i = 0; i < SELINUX_LEVELS; i++) {
        unsigned low, high;
        autofree char *level = selinux_level(i);
        bool ok = sscanf(level, "s0:c%u,c%u", &low, &high) == 2 && low < high && high < 1024 &&
                  (i == 0 || high > last_high || (high == last_high && low == last_low + 1));
        if (!ok)
            CHECK_STR(level, "a pair that comes after the one before");
        last_low = low;
        last_high = high;
    }
    CHECK_INT(last_low, 1022);
    CHECK_INT(last_high, 1023);
}

static void test_parts(void) {
    autofree char *with = selinux_with_level("u:r:t:s0:c1,c2", "s0:c3,c4");
    autofree char *shared = selinux_shared("u:object_r:t:s0:c1,c2");
    autofree char *without = selinux_with_level("u:r:t", "s0:c3,c4"); /* a policy without levels */
    CHECK_STR(with, "u:r:t:s0:c3,c4");
    CHECK_STR(shared, "u:object_r:t:s0");
    CHECK_STR(without, "u:r:t");
    CHECK_STR(selinux_level_of("u:r:t:s0:c1,c2"), "s0:c1,c2");
    CHECK_STR(selinux_level_of("u:r:t"), "");
    autostrv struct strv same = {.n = 0};
    selinux_same_as("u:r:t:s0:c1,c2", &same);
    autofree char *all = strv_join(&same, "|");
    CHECK_STR(all, "user:u|role:r|type:t|level:s0:c1,c2");
}

static struct err *resolve(const char *options, struct selinux_labels *ret) {
    autolabels policy = {0};
    autostrv struct strv list = {.n = 0};
    TRY(selinux_contexts_parse(contexts, &policy));
    if (*options)
        strv_split(&list, options, '|');
    return selinux_resolve(&policy, "s0:c5,c6", &list, ret);
}

static void check_resolved(const char *options, const char *process, const char *file) {
    autolabels l = {0};
    CHECK_OK(resolve(options, &l));
    CHECK_STR(l.process, process);
    CHECK_STR(l.file, file);
}

static void test_resolve(void) {
    check_resolved("", "system_u:system_r:container_t:s0:c5,c6", "system_u:object_r:container_file_t:s0:c5,c6");
    check_resolved("type:spc_t", "system_u:system_r:spc_t:s0:c5,c6", "system_u:object_r:container_file_t:s0:c5,c6");
    check_resolved("filetype:web_t|role:staff_r", "system_u:staff_r:container_t:s0:c5,c6",
                   "system_u:object_r:web_t:s0:c5,c6");
    check_resolved("level:s0:c1,c2|user:me_u", "me_u:system_r:container_t:s0:c1,c2",
                   "me_u:object_r:container_file_t:s0:c1,c2");
    check_resolved("level:s0|level:s0:c9", "system_u:system_r:container_t:s0:c9",
                   "system_u:object_r:container_file_t:s0:c9");
    static const char *const bad[] = {"type",     "colour:red", "type:",       "type:a b",
                                      "type:a:b", "type:a\"",   "level:s0 c1", "filetype:a,b",
                                      "nonsense", ":",          "level:s0\n",  "type:a,fscontext=b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        autolabels l = {0};
        CHECK_ERR(resolve(bad[i], &l), ERR_USAGE);
    }
    autolabels l = {0};
    CHECK_ERR(resolve("nested", &l), ERR_UNSUPPORTED);
    const struct selinux_labels flat = {(char[]){"u:r:t"}, (char[]){"u:object_r:f"}, (char[]){"u:object_r:f"}};
    autostrv struct strv level = {.n = 0};
    strv_push(&level, "level:s0:c1");
    CHECK_ERR(selinux_resolve(&flat, "s0:c5,c6", &level, &l), ERR_UNSUPPORTED);
    char long_type[256] = "type:";
    memset(long_type + 5, 'x', 240);
    CHECK_ERR(resolve(long_type, &l), ERR_USAGE);
}

static void test_wanted(void) {
    struct config on = {.selinux_enabled = true}, off = {.selinux_enabled = false};
    struct container_options o = {.pid = NULL};
    CHECK(selinux_wanted(&o, &on));
    CHECK(!selinux_wanted(&o, &off));
    CHECK(!selinux_wanted(&o, NULL));
    o.privileged = true;
    CHECK(!selinux_wanted(&o, &on));
    strv_push(&o.security_opt, "label=type:spc_t"); /* what is typed decides */
    CHECK(selinux_wanted(&o, &on) && selinux_wanted(&o, &off));
    o.privileged = false;
    o.pid = mem_dup("host");
    CHECK(selinux_wanted(&o, &off));
    strv_push(&o.security_opt, "label:disable");
    CHECK(!selinux_wanted(&o, &on));
    strv_done(&o.security_opt);
    o.security_opt = (struct strv){.n = 0};
    CHECK(!selinux_wanted(&o, &on));
    mem_set(&o.pid, "container:x");
    CHECK(selinux_wanted(&o, &on));
    mem_set(&o.ipc, "host");
    CHECK(!selinux_wanted(&o, &on));
    container_options_done(&o);
}

static void test_precious(void) {
    static const char *const yes[] = {"/",     "/usr",           "/var",        "/var/lib", "/etc/passwd",
                                      "/home", "/data/users/me", "/data/users", "/data"};
    static const char *const no[] = {"/usr/local/site", "/var/www", "/home/me",   "/data/users/me/x",
                                     "/data/users/mee", "/dat",     "/etc/passw", "/vari"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        CHECK(selinux_is_precious(yes[i], "/data/users/me"));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        CHECK(!selinux_is_precious(no[i], "/data/users/me"));
    CHECK(!selinux_is_precious("/data", NULL));
    CHECK(!selinux_is_precious("/data", ""));
}

/* ---- what a spec says of it ---- */

static void spec_freep(struct spec **s) { spec_free(*s); }
#define autospec __attribute__((cleanup(spec_freep))) struct spec *

static struct spec *build(const struct fixture *f) {
    struct spec *s = NULL;
    CHECK_OK(fixture_build(f, &s));
    return s;
}

static void check_text(const struct json *root, const char *path, const char *want) {
    CHECK_STR(json_str_value(json_path(root, path)), want);
}

static const char *relabels_of(const struct spec *s) {
    return json_str_value(json_get(json_get(s->config, "annotations"), SPEC_ANN_RELABEL));
}

static void test_label(void) {
    struct selinux_labels policy = {(char[]){"u:r:container_t:s0"}, (char[]){"u:object_r:file_t:s0"},
                                    (char[]){"u:object_r:ro_t:s0"}};
    struct selinux_machine machine = {.policy = &policy, .level = "s0:c1,c2"};
    autofixture f = fixture_new();
    f.selinux = &machine;
    strv_push(&f.o.volumes, "/src:/d:Z");
    strv_push(&f.o.volumes, "/plain:/p");
    strv_push(&f.o.volumes, "vol:/v");
    f.image = NULL;
    strv_push(&f.o.command, "true");
    autospec off = build(&f); /* nobody asks */
    CHECK(!json_path(off->config, "linux.mountLabel") && !relabels_of(off));
    f.config.selinux_enabled = true;
    autospec on = build(&f);
    check_text(on->config, "process.selinuxLabel", "u:r:container_t:s0:c1,c2");
    check_text(on->config, "linux.mountLabel", "u:object_r:file_t:s0:c1,c2");
    check_text(on->summary, "MountLabel", "u:object_r:file_t:s0:c1,c2");
    CHECK(strstr(relabels_of(on), "[{\"Layers\":\"u:object_r:ro_t:s0\"},"));
    CHECK(strstr(relabels_of(on), "{\"Source\":\"/src\",\"Label\":\"u:object_r:file_t:s0:c1,c2\"}"));
    CHECK(strstr(relabels_of(on), "/vol/_data\",\"Label\":\"u:object_r:file_t:s0\",\"Lazy\":true}"));
    CHECK(strstr(relabels_of(on), "/hosts\"") && !strstr(relabels_of(on), "/plain") &&
          !strstr(relabels_of(on), "/init\""));
    machine.same = "u:r:other_t:s0:c8,c9";
    autospec same = build(&f);
    check_text(same->config, "process.selinuxLabel", "u:r:other_t:s0:c8,c9");
    check_text(same->config, "linux.mountLabel", "u:object_r:file_t:s0:c8,c9");
    strv_push(&f.o.security_opt, "label=type:typed_t");
    autospec typed = build(&f);
    check_text(typed->config, "process.selinuxLabel", "u:r:typed_t:s0:c1,c2");
    strv_push(&f.o.security_opt, "label=disable");
    autospec none = build(&f);
    CHECK(!json_path(none->config, "process.selinuxLabel") && !json_get(none->summary, "ProcessLabel"));
    CHECK_INT(none->warnings.n, 0);
    autofixture g = fixture_new(); /* the configuration of a machine with SELinux, on one without */
    g.config.selinux_enabled = true;
    autospec without = build(&g);
    CHECK(!json_path(without->config, "process.selinuxLabel"));
    CHECK_INT(without->warnings.n, 1);
}

UNIT_MAIN({"contexts", test_contexts}, {"policy_name", test_policy_name}, {"levels", test_levels},
          {"parts", test_parts}, {"resolve", test_resolve}, {"wanted", test_wanted}, {"precious", test_precious},
          {"spec", test_label})
