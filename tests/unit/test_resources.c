/* Resource limits, the pure parts: docker's grammars and checks, what becomes of them in the OCI config, and that every
 * one is enforced, emulated, without effect or refused, whatever a machine's cgroups take. */
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"
#include "unit.h"

static char *text_of(struct err *take_e) {
    struct str s = STR_INIT;
    if (take_e)
        err_format(take_e, &s);
    err_free(take_e);
    return str_take(&s);
}

static void check_text(struct err *take_e, const char *want) {
    autofree char *got = text_of(take_e);
    CHECK_STR(got, want);
}

/* ---- grammars ---- */

static void test_cpus(void) {
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"1", 1000000000},  {"0.01", 10000000},   {"1.5", 1500000000},   {"3/2", 1500000000}, {".5", 500000000},
        {"1.", 1000000000}, {"1e1", 10000000000}, {"15e-1", 1500000000}, {"-1", -1000000000}, {"+2", 2000000000},
        {"0", 0},           {"1/4", 250000000},   {"0.000000001", 1},    {"1E+0", 1000000000}};
    static const char *const bad[] = {
        "", "x", "1x", "1..", "1/0", "1/", "1.5/2", "e1", "1e", "--1", "1 ", "99999999999999999999", "1e18"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t n = 77;
        CHECK_OK(spec_parse_cpus(good[i].text, &n));
        CHECK_INT(n, good[i].want);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t n = 77;
        autofree char *want = mem_printf("failed to parse %s as a rational number", bad[i]);
        check_text(spec_parse_cpus(bad[i], &n), want);
        CHECK_INT(n, 77);
    }
    int64_t n = 0;
    check_text(spec_parse_cpus("1.2345678912", &n), "value is too precise");
    check_text(spec_parse_cpus("1/3", &n), "value is too precise");
}

static void test_swap(void) {
    int64_t n = 0;
    CHECK_OK(spec_parse_swap("-1", &n));
    CHECK_INT(n, -1);
    CHECK_OK(spec_parse_swap("64m", &n));
    CHECK_INT(n, 64 << 20);
    check_text(spec_parse_swap("-2", &n), "invalid size: '-2'");
}

/* ---- HostConfig ---- */

static struct err *checked(const struct spec_resources *r, struct json **ret) {
    static const struct spec_machine machine = {.cpus = "0-3", .mems = "0"};
    autostrv struct strv warnings = {.n = 0};
    autojson h = json_object();
    TRY(spec_resources_patch(r, h));
    TRY(spec_resources_check(h, &machine, &warnings));
    if (ret)
        *ret = take_ptr(&h);
    return NULL;
}

#define MB (INT64_C(1) << 20)

static void test_checks(void) {
    static char good_cpus[] = "0,2-3,02", bad_cpus[] = "3-2", far_cpus[] = "1-4", junk[] = "0-", far_mems[] = "1";
    static const struct {
        struct spec_resources r;
        const char *want;
    } t[] = {
        {{.memory = 6 * MB}, ""},
        {{.memory = 6 * MB - 1}, "Minimum memory limit allowed is 6MB"},
        {{.memory = 64 * MB, .memory_swap = 64 * MB}, ""},
        {{.memory = 64 * MB, .memory_swap = -1}, ""},
        {{.memory_swap = -1}, ""},
        {{.memory = 64 * MB, .memory_swap = 63 * MB},
         "Minimum memoryswap limit should be larger than memory limit, see usage"},
        {{.memory_swap = 63 * MB}, "You should always set the Memory limit when using Memoryswap limit, see usage"},
        {{.memory_reservation = 5 * MB}, "Minimum memory reservation allowed is 6MB"},
        {{.memory = 64 * MB, .memory_reservation = 65 * MB},
         "Minimum memory limit can not be less than memory reservation limit, see usage"},
        {{.memory_swappiness = 100, .memory_swappiness_set = true}, ""},
        {{.memory_swappiness = -1, .memory_swappiness_set = true}, ""},
        {{.memory_swappiness = 101, .memory_swappiness_set = true},
         "invalid value: 101. Valid memory swappiness range is 0-100"},
        {{.memory_swappiness = -2, .memory_swappiness_set = true},
         "invalid value: -2. Valid memory swappiness range is 0-100"},
        {{.nano_cpus = 4000000000}, ""},
        {{.nano_cpus = 4000000001}, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
        {{.nano_cpus = 9999999}, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
        {{.nano_cpus = -1}, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
        {{.nano_cpus = 1000000000, .cpu_period = 1000},
         "Conflicting options: Nano CPUs and CPU Period cannot both be set."},
        {{.nano_cpus = 1000000000, .cpu_quota = 1000},
         "Conflicting options: Nano CPUs and CPU Quota cannot both be set."},
        {{.cpu_period = 999}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"},
        {{.cpu_period = 1000001},
         "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"},
        {{.cpu_quota = 999}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"},
        {{.cpu_quota = -1}, ""},
        {{.cpu_shares = -1}, "invalid CPU shares (-1): value must be a positive integer"},
        {{.cpuset_cpus = good_cpus}, ""},
        {{.cpuset_cpus = bad_cpus}, "Invalid value 3-2 for cpuset cpus"},
        {{.cpuset_cpus = junk}, "Invalid value 0- for cpuset cpus"},
        {{.cpuset_cpus = far_cpus}, "Requested CPUs are not available - requested 1-4, available: 0-3"},
        {{.cpuset_mems = far_mems}, "Requested memory nodes are not available - requested 1, available: 0"},
        {{.blkio_weight = 9}, "Range of blkio weight is from 10 to 1000"},
        {{.blkio_weight = 1001}, "Range of blkio weight is from 10 to 1000"},
        {{.blkio_weight = 10}, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        check_text(checked(&t[i].r, NULL), t[i].want);
}

static void test_devices(void) {
    static const struct {
        size_t list;
        const char *text, *want;
    } t[] = {
        {offsetof(struct spec_resources, read_bps), "/dev/sda", "bad format: /dev/sda"},
        {offsetof(struct spec_resources, read_bps), ":1", "bad format: :1"},
        {offsetof(struct spec_resources, read_bps), "/dev/sda:1:2", "bad format: /dev/sda:1:2"},
        {offsetof(struct spec_resources, read_bps), "sda:1", "bad format for device path: sda:1"},
        {offsetof(struct spec_resources, write_iops), "/dev/sda:-1",
         "invalid rate for device: /dev/sda:-1. The correct format is <device-path>:<number>. Number must be a "
         "positive "
         "integer"},
        {offsetof(struct spec_resources, weight_device), "/dev/sda:9", "invalid weight for device: /dev/sda:9"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct spec_resources r = {.memory = 0};
        strv_push((struct strv *)(void *)((char *)&r + t[i].list), t[i].text);
        autofree char *got = text_of(checked(&r, NULL));
        CHECK(str_ends(got, t[i].want));
        spec_resources_done(&r);
    }
}

/* ---- linux.resources ---- */

static void test_oci(void) {
    struct spec_resources r = {.memory = 64 * MB,
                               .memory_swap = -1,
                               .memory_swappiness_set = true,
                               .nano_cpus = 1500000000,
                               .cpu_shares = 512,
                               .pids_limit = -1,
                               .pids_limit_set = true,
                               .blkio_weight = 300,
                               .oom_kill_disable = true,
                               .cpuset_cpus = mem_dup("0-1")};
    struct json *h = NULL;
    autostrmap struct strmap numbers = {.n = 0};
    autostrv struct strv devices = {.n = 0};
    autostr struct str text = STR_INIT;
    strv_push(&r.read_bps, "/dev/sda:1mb");
    strv_push(&r.weight_device, "/dev/sdb:20");
    strv_push(&r.write_iops, "/dev/sda:7");
    CHECK_OK(checked(&r, &h));
    spec_resources_devices(h, &devices);
    CHECK_INT((int64_t)devices.n, 2);
    strmap_set(&numbers, "/dev/sda", "8:0");
    strmap_set(&numbers, "/dev/sdb", "8:16");
    autojson oci = spec_resources_oci(h, &numbers);
    json_render(oci, JSON_COMPACT, &text);
    CHECK_STR(str_c(&text),
              "{\"memory\":{\"limit\":67108864,\"swap\":-1,\"swappiness\":0,\"disableOOMKiller\":true},"
              "\"cpu\":{\"shares\":512,\"quota\":150000,\"period\":100000,\"cpus\":\"0-1\"},\"pids\":{\"limit\":-1},"
              "\"blockIO\":{\"weight\":300,\"weightDevice\":[{\"major\":8,\"minor\":16,\"weight\":20}],"
              "\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1048576}],"
              "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":7}]}}");
    json_free(h);
    spec_resources_done(&r);
}

static void test_nothing(void) {
    const struct spec_resources r = {.memory = 0};
    const struct strmap none = {.n = 0};
    struct json *h = NULL;
    CHECK_OK(checked(&r, &h));
    CHECK_INT((int64_t)json_count(h), 0);
    autojson oci = spec_resources_oci(h, &none);
    CHECK_INT((int64_t)json_count(oci), 0);
    json_free(h);
}

/* ---- what becomes of each ---- */

/* Each limit with the files that hold it, and what stands in them then. */
static const struct limit {
    const char *resources, *v1, *v1_value, *v2, *v2_value;
} limits[] = {
    {"{\"memory\":{\"limit\":67108864}}", "memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
    {"{\"memory\":{\"limit\":67108864,\"swap\":100663296}}", "memory.memsw.limit_in_bytes", "100663296",
     "memory.swap.max", "33554432"},
    {"{\"memory\":{\"reservation\":67108864}}", "memory.soft_limit_in_bytes", "67108864", "memory.low", "67108864"},
    {"{\"memory\":{\"swappiness\":0}}", "memory.swappiness", "0", NULL, NULL},
    {"{\"memory\":{\"disableOOMKiller\":true}}", "memory.oom_control", "1", NULL, NULL},
    {"{\"cpu\":{\"quota\":50000}}", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000"},
    {"{\"cpu\":{\"period\":50000}}", "cpu.cfs_period_us", "50000", "cpu.max", "max 50000"},
    {"{\"cpu\":{\"shares\":512}}", "cpu.shares", "512", "cpu.weight", "20"},
    {"{\"cpu\":{\"cpus\":\"0\"}}", "cpuset.cpus", "0", "cpuset.cpus", "0"},
    {"{\"cpu\":{\"mems\":\"0\"}}", "cpuset.mems", "0", "cpuset.mems", "0"},
    {"{\"pids\":{\"limit\":10}}", "pids.max", "10", "pids.max", "10"},
    {"{\"blockIO\":{\"weight\":505}}", "blkio.weight", "505", "io.bfq.weight", "505"},
    {"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":10}]}}", "blkio.weight_device", "8:0 10",
     "io.bfq.weight", "8:0 10"},
    {"{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":10}]}}",
     "blkio.throttle.read_bps_device", "8:0 10", "io.max", "8:0 rbps=10"},
    {"{\"blockIO\":{\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":10}]}}",
     "blkio.throttle.write_bps_device", "8:0 10", "io.max", "8:0 wbps=10"},
    {"{\"blockIO\":{\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":10}]}}",
     "blkio.throttle.read_iops_device", "8:0 10", "io.max", "8:0 riops=10"},
    {"{\"blockIO\":{\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":10}]}}",
     "blkio.throttle.write_iops_device", "8:0 10", "io.max", "8:0 wiops=10"},
};
#define TAKES_ALL (TAKES_WEIGHT_DEVICE * 2 - 1)

/* A config with a pid namespace of its own, or one that is `shared`, and these resources. */
static struct json *config_with(const char *resources, bool shared) {
    struct json *j = NULL;
    autofree char *text = mem_printf("{\"linux\":{\"namespaces\":[{\"type\":\"pid\"%s}],\"resources\":%s}}",
                                     shared ? ",\"path\":\"/proc/1/ns/pid\"" : "", resources);
    CHECK_OK(json_parse(text, strlen(text), "test", 0, &j));
    return j;
}

/* With every single controller's file missing, and with all: a limit is taken, said or refused. */
static void test_no_silent_drop(void) {
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        autojson r = config_with(limits[i].resources, false);
        struct runtime_emulation e = {.memory = 0};
        autostrv struct strv silence = {.n = 0}, said = {.n = 0};
        CHECK_OK(limits_plan(r, TAKES_ALL, &e, &silence));
        CHECK_INT((int64_t)silence.n, 0);
        CHECK(!e.memory && !e.cpus);
        autoerr refused = limits_plan(r, 0, &e, &said);
        CHECK(refused ? err_kind(refused) == ERR_UNSUPPORTED && err_hint_text(refused) : said.n >= 1);
        CHECK(!said.n || !refused);
    }
}

/*
 * Directories with the files that a kernel gives where these controllers are delegated: what stands in them afterwards
 * is what it was told. A controller of version 1 has a hierarchy of its own.
 */
static const struct setup {
    const char *name;
    bool v1;
    const char *controllers; /* in the order of enum runtime_controller */
    unsigned enforced;       /* how many of the limits */
} setups[] = {
    {"everything delegated", false, "cpu cpuset memory pids io", 15},
    {"what systemd delegates by itself", false, "cpu memory pids", 7},
    {"before systemd 244", false, "memory pids", 4},
    {"version 1, writable", true, "cpu cpuset memory pids io", 17},
    {"hybrid: version 2 without a controller", false, "", 0},
};

static void touch(int dir, const char *file) {
    autofd int fd = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
}

static bool has_controller(const struct setup *s, const char *file) {
    autofree char *name = mem_dupn(file, strcspn(file, "."));
    return strstr(s->controllers, !strcmp(name, "blkio") ? "io" : name) &&
           (strcmp(name, "cpu") != 0 || !strncmp(s->controllers, "cpu ", 4));
}

/* All in one directory, as no file of one controller is called as one of another. */
static void make_cgroup(const struct setup *s, int dir, struct runtime_cgroup *g) {
    static const char *const always[] = {"cpu.max", "cpuset.cpus", "memory.max", "pids.max", "io.max"};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        const char *file = s->v1 ? limits[i].v1 : limits[i].v2;
        if (file && has_controller(s, file))
            touch(dir, file);
    }
    for (size_t i = 0; !s->v1 && i < ARRAY_LEN(always); i++)
        if (has_controller(s, always[i]))
            touch(dir, always[i]);
    *g = (struct runtime_cgroup)RUNTIME_CGROUP_NONE;
    static const enum runtime_controller each[] = {RUNTIME_CPU, RUNTIME_CPUSET, RUNTIME_MEMORY, RUNTIME_PIDS,
                                                   RUNTIME_IO};
    for (size_t i = 0; s->v1 && i < ARRAY_LEN(each); i++)
        g->v1[each[i]] = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    if (!s->v1)
        g->v2 = fcntl(dir, F_DUPFD_CLOEXEC, 3);
}

static bool holds(int dir, const char *file, const char *want) {
    autostr struct str text = STR_INIT;
    autoerr unread = file ? io_read_file(dir, file, 4096, &text) : NULL;
    return file && !unread && str_eq(str_c(&text), want);
}

static void remove_files(int dir) {
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        (void)unlinkat(dir, limits[i].v1, 0);
        if (limits[i].v2)
            (void)unlinkat(dir, limits[i].v2, 0);
    }
}

/* One limit in one set-up; whether it is enforced. Fails where nobody holds it and nothing is said. */
static bool try_limit(const struct setup *s, const struct limit *l, int dir) {
    autocgroup g = RUNTIME_CGROUP_NONE;
    autojson config = config_with(l->resources, false);
    struct runtime_emulation e;
    autostrv struct strv said = {.n = 0};
    make_cgroup(s, dir, &g);
    autoerr refused = runtime_limits_plan(config, &g, &e, &said);
    if (!refused)
        CHECK_OK(runtime_resources_apply(json_path(config, "linux.resources"), &g));
    bool enforced = holds(dir, s->v1 ? l->v1 : l->v2, s->v1 ? l->v1_value : l->v2_value);
    bool told = refused ? err_kind(refused) == ERR_UNSUPPORTED && err_hint_text(refused) : said.n > 0;
    if (enforced == told)
        fprintf(stderr, "%s: %s is %s\n", s->name, l->resources,
                enforced ? "enforced and disclaimed" : "dropped in silence");
    CHECK(enforced != told);
    remove_files(dir);
    return enforced;
}

static void test_setups(void) {
    char path[] = "/tmp/test-resources.XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    autofd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_LEN(setups); i++) {
        unsigned enforced = 0;
        for (size_t k = 0; k < ARRAY_LEN(limits); k++)
            enforced += try_limit(&setups[i], &limits[k], dir);
        CHECK_INT(enforced, setups[i].enforced);
    }
    CHECK_INT(rmdir(path), 0);
}

static void test_emulation(void) {
    static const char text[] = "{\"memory\":{\"limit\":67108864,\"swap\":134217728},\"cpu\":{\"cpus\":\"0-1\"}}";
    autojson r = config_with(text, false);
    autojson shared = config_with(text, true);
    struct runtime_emulation e = {.memory = 0};
    autostrv struct strv said = {.n = 0};
    CHECK_OK(limits_plan(r, TAKES_CPUSET, &e, &said));
    CHECK_INT(e.memory, 67108864);
    CHECK(!e.cpus);
    CHECK_INT((int64_t)said.n, 1); /* not of swap besides */
    CHECK_OK(limits_plan(r, TAKES_MEMORY, &e, &said));
    CHECK_INT(e.memory, 0);
    CHECK_STR(e.cpus, "0-1");
    CHECK_INT((int64_t)said.n, 3);
    /* nobody can tell whose memory it is */
    CHECK_OK(limits_plan(shared, TAKES_MEMORY, &e, NULL));
    autoerr unseen = limits_plan(shared, TAKES_CPUSET, &e, NULL);
    CHECK(unseen && err_kind(unseen) == ERR_UNSUPPORTED && err_hint_text(unseen));
}

/* What lifts a limit needs nobody to hold it. */
static void test_lifted(void) {
    static const char text[] =
        "{\"memory\":{\"limit\":-1},\"pids\":{\"limit\":-1},\"cpu\":{\"quota\":-1,\"cpus\":\"\"}}";
    autojson r = config_with(text, true);
    struct runtime_emulation e = {.memory = 5};
    autostrv struct strv said = {.n = 0};
    CHECK_OK(limits_plan(r, 0, &e, &said));
    CHECK_INT((int64_t)said.n, 0);
    CHECK_INT(e.memory, 0);
}

UNIT_MAIN({"cpus", test_cpus}, {"swap", test_swap}, {"checks", test_checks}, {"devices", test_devices},
          {"oci", test_oci}, {"nothing", test_nothing}, {"no_silent_drop", test_no_silent_drop},
          {"setups", test_setups}, {"emulation", test_emulation}, {"lifted", test_lifted})
