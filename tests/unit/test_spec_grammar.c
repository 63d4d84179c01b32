/* The mini grammars of run's flags: what they take, and docker's words for what they do not. */
#include "spec/spec.h"
#include "unit.h"

/* The call's whole error text, "" for success; owned by the caller. */
static char *text_of(struct err *take_e) {
    struct str s = STR_INIT;
    if (take_e)
        err_format(take_e, &s);
    err_free(take_e);
    return str_take(&s);
}

#define CHECK_FAIL(expr, want)                                                                                         \
    do {                                                                                                               \
        char *fail_ = text_of(expr);                                                                                   \
        CHECK_STR(fail_, want);                                                                                        \
        free(fail_);                                                                                                   \
    } while (0)

static void test_bytes(void) {
    static const struct {
        const char *text;
        int64_t want; /* -1: an error */
    } t[] = {
        {"0", 0},
        {"1024", 1024},
        {"1b", 1},
        {"1B", 1},
        {"64m", 64 << 20},
        {"64M", 64 << 20},
        {"1kib", 1024},
        {"1KiB", 1024},
        {"2GB", INT64_C(2) << 30},
        {"2 GB", INT64_C(2) << 30},
        {"1.5g", INT64_C(3) << 29},
        {"0.5k", 512},
        {"1.", 1},
        {"32.3", 32},
        {"7p", INT64_C(7) << 50},
        {"8191p", INT64_C(8191) << 50},
        {"9223372036854775807", INT64_MAX},
        {"", -1},
        {"m", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1  m", -1},
        {"1m ", -1},
        {"1x", -1},
        {"1mm", -1},
        {"1mib1", -1},
        {"1ki", -1},
        {"0x10", -1},
        {"1e3", -1},
        {"inf", -1},
        {"nan", -1},
        {".5m", -1},
        {"1.5.5m", -1},
        {"8192p", -1},
        {"16384p", -1},
        {"9223372036854775808", -1},
        {"99999999999999999999999", -1},
        {"1\xc3\xa9", -1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int64_t v = -2;
        struct err *e = spec_parse_bytes(t[i].text, &v);
        bool ok = t[i].want >= 0 ? !e && v == t[i].want : e && err_kind(e) == ERR_USAGE && v == -2;
        CHECK(ok);
        if (!ok)
            fprintf(stderr, "size '%s': got %lld (%s)\n", t[i].text, (long long)v, e ? "error" : "ok");
        err_free(e);
    }
    int64_t v;
    CHECK_FAIL(spec_parse_bytes("1x", &v), "invalid suffix: 'x'");
    CHECK_FAIL(spec_parse_bytes("hello", &v), "invalid size: 'hello'");
}

static void test_ulimit(void) {
    const char *name;
    uint64_t soft, hard;
    CHECK_OK(spec_parse_ulimit("nofile=1024:2048", &name, &soft, &hard));
    CHECK_STR(name, "RLIMIT_NOFILE");
    CHECK_INT(soft, 1024);
    CHECK_INT(hard, 2048);
    CHECK_OK(spec_parse_ulimit("nproc=5", &name, &soft, &hard));
    CHECK_INT(hard, 5);
    CHECK_OK(spec_parse_ulimit("core=unlimited", &name, &soft, &hard));
    CHECK(soft == UINT64_MAX && hard == UINT64_MAX);
    CHECK_OK(spec_parse_ulimit("memlock=0:-1", &name, &soft, &hard));
    CHECK(soft == 0 && hard == UINT64_MAX);
    CHECK_FAIL(spec_parse_ulimit("nofile", &name, &soft, &hard), "invalid ulimit argument: nofile");
    CHECK_FAIL(spec_parse_ulimit("bogus=1", &name, &soft, &hard), "invalid ulimit type: bogus");
    CHECK_FAIL(spec_parse_ulimit("nofile=1:2:3", &name, &soft, &hard),
               "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`");
    CHECK_FAIL(spec_parse_ulimit("nofile=3:2", &name, &soft, &hard),
               "ulimit soft limit must be less than or equal to hard limit: 3 > 2");
    CHECK_FAIL(spec_parse_ulimit("nofile=-1:2", &name, &soft, &hard),
               "ulimit soft limit must be less than or equal to hard limit: -1 > 2");
    static const char *const bad[] = {
        "",          "=",         "nofile=",   "nofile=-2", "nofile= 1",
        "nofile=1:", "nofile=:1", "nofile=1k", "NOFILE=1",  "nofile=99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_ERR(spec_parse_ulimit(bad[i], &name, &soft, &hard), ERR_USAGE);
}

struct volume_case {
    const char *text, *source, *target, *propagation;
    bool ro;
    enum spec_mount_type type;
};

static void test_volume_ok(void) {
    static const struct volume_case t[] = {
        {"/a:/b", "/a", "/b", NULL, false, SPEC_MOUNT_BIND},
        {"/a:/b:ro", "/a", "/b", NULL, true, SPEC_MOUNT_BIND},
        {"/a:/b:z,ro,rslave", "/a", "/b", "rslave", true, SPEC_MOUNT_BIND},
        {"/a:/b:rw,cached", "/a", "/b", NULL, false, SPEC_MOUNT_BIND},
        {".:/b", "/home/u", "/b", NULL, false, SPEC_MOUNT_BIND},
        {"./x:/b:ro", "/home/u/x", "/b", NULL, true, SPEC_MOUNT_BIND},
        {"../y:/b", "/home/y", "/b", NULL, false, SPEC_MOUNT_BIND},
        {"../../../../y:/b", "/y", "/b", NULL, false, SPEC_MOUNT_BIND},
        {"data:/b", "data", "/b", NULL, false, SPEC_MOUNT_VOLUME},
        {"data:/b:nocopy", "data", "/b", NULL, false, SPEC_MOUNT_VOLUME},
        {"/b", NULL, "/b", NULL, false, SPEC_MOUNT_VOLUME},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct spec_mount m = {0};
        CHECK_OK(spec_parse_volume(t[i].text, "/home/u", &m));
        CHECK(str_eq(m.source, t[i].source) && str_eq(m.target, t[i].target) &&
              str_eq(m.propagation, t[i].propagation));
        CHECK_INT(m.read_only, t[i].ro);
        CHECK_INT(m.type, t[i].type);
        CHECK_INT(m.create_source, t[i].type == SPEC_MOUNT_BIND);
        spec_mount_done(&m);
    }
}

static void test_volume_bad(void) {
    static const struct {
        const char *text, *want;
    } t[] = {
        {"", "invalid empty volume spec"},
        {":", "invalid spec: :: empty section between colons"},
        {":/b", "invalid spec: :/b: empty section between colons"},
        {"/a:", "invalid spec: /a:: empty section between colons"},
        {"/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"},
        {"/a:ro", "invalid volume specification: '/a:ro'"},
        {"/a:/b:bogus", "invalid volume specification: '/a:/b:bogus': invalid mode: bogus"},
        {"/a:/b:ro,rw", "invalid volume specification: '/a:/b:ro,rw': invalid mode: ro,rw"},
        {"/a:/b:ro,", "invalid volume specification: '/a:/b:ro,': invalid mode: ro,"},
        {"/a:/b:exec,noexec", "invalid volume specification: '/a:/b:exec,noexec': invalid mode: exec,noexec"},
        {"/a:/b:O,ro", "invalid volume specification: '/a:/b:O,ro': an overlay is there to be written to: O and ro "
                       "contradict each other"},
        {"/a:/b:O,upperdir=/u", "invalid volume specification: '/a:/b:O,upperdir=/u': an overlay needs both or neither "
                                "of upperdir and workdir"},
        {"/a:/b:upperdir=/u,workdir=/w", "invalid volume specification: '/a:/b:upperdir=/u,workdir=/w': upperdir and "
                                         "workdir are about an overlay: they go with O"},
        {"/a:/b:O,upperdir=u,workdir=/w",
         "invalid volume specification: '/a:/b:O,upperdir=u,workdir=/w': invalid mode: O,upperdir=u,workdir=/w"},
        {"/a:/", "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: "
                 "destination can't be '/'"},
        {"/a:/x/..", "invalid volume specification: '/a:/x/..': invalid mount config for type \"bind\": invalid "
                     "specification: destination can't be '/'"},
        {"/a:b",
         "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' "
         "mount path must be absolute"},
        {"/a:/b:nocopy", "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \"bind\": field "
                         "VolumeOptions must not be specified"},
        {"d1:/b:rslave",
         "invalid volume specification: 'd1:/b:rslave': invalid mount config for type \"volume\": field "
         "BindOptions must not be specified"},
        {"a/b:/c",
         "invalid volume specification: 'a/b:/c': \"a/b\" includes invalid characters for a local volume name, only "
         "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct spec_mount m = {0};
        CHECK_FAIL(spec_parse_volume(t[i].text, "/home/u", &m), t[i].want);
        CHECK(!m.target);
    }
    static const char *const hostile[] = {"/a:\n/b", "~/x:/b", "-x:/b", "x:/b", "a\n:/b", "/a:/b:ro\n", "::::::::"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct spec_mount m = {0};
        CHECK_ERR(spec_parse_volume(hostile[i], "/home/u", &m), ERR_USAGE);
    }
    struct spec_mount m = {0};
    CHECK_ERR(spec_parse_volume("./x:/b", NULL, &m), ERR_USAGE);
}

static void test_mount_ok(void) {
    struct spec_mount m = {0};
    CHECK_OK(spec_parse_mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave", &m));
    CHECK_INT(m.type, SPEC_MOUNT_BIND);
    CHECK_STR(m.source, "/a");
    CHECK_STR(m.target, "/b");
    CHECK_STR(m.propagation, "rslave");
    CHECK(m.read_only && !m.create_source);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("TYPE=Bind,\"source=/a,b\",\"target=/c\"\"d\",readonly=false", &m));
    CHECK_STR(m.source, "/a,b");
    CHECK_STR(m.target, "/c\"d");
    CHECK(!m.read_only);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=tmpfs,target=/t,tmpfs-size=1g,tmpfs-mode=1770", &m));
    CHECK_INT(m.tmpfs_size, 1 << 30);
    CHECK_INT(m.tmpfs_mode, 01770);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("src=data,dst=/d,volume-nocopy", &m));
    CHECK_INT(m.type, SPEC_MOUNT_VOLUME);
    CHECK(m.no_copy);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=bind,src=./x,dst=/d,bind-recursive=disabled", &m));
    CHECK(strv_has(&m.options, "bind-recursive=disabled"));
    spec_mount_done(&m);
}

/* What podman's users write, and names that nobody would give. */
static void test_mount_more(void) {
    struct spec_mount m = {0};
    CHECK_OK(spec_parse_mount("subpath=a b/c,type=image,src=debian:12,dst=/i", &m));
    CHECK_INT(m.type, SPEC_MOUNT_IMAGE);
    CHECK(m.read_only && strv_has(&m.options, "image-subpath=a b/c"));
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=image,src=debian,dst=/i,rw,image-subpath=etc", &m));
    CHECK(!m.read_only && strv_has(&m.options, "image-subpath=etc"));
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=bind,src=/a,dst=/i,rw=false,relabel=private,noexec,bind-create-src", &m));
    CHECK(m.read_only && m.create_source && strv_has(&m.options, "Z") && strv_has(&m.options, "noexec"));
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=bind,\"src=/a\nb\",\"dst=/c:d\n\"", &m));
    CHECK_STR(m.source, "/a\nb");
    CHECK_STR(m.target, "/c:d\n");
    spec_mount_done(&m);
    CHECK_OK(spec_parse_volume("/a\nb c:/d \xc3\xa4:cached,nosuid,O,upperdir=/u,workdir=/w", "/", &m));
    CHECK_STR(m.source, "/a\nb c");
    CHECK_STR(m.target, "/d \xc3\xa4");
    CHECK(m.overlay && strv_has(&m.options, "nosuid") && strv_has(&m.options, "upperdir=/u"));
    spec_mount_done(&m);
    CHECK_OK(spec_parse_volume("/a:/b:U,ro", "/", &m));
    CHECK(strv_has(&m.options, SPEC_OPTION_CHOWN) && m.read_only);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=bind,src=/a,dst=/b,chown,U=true", &m));
    CHECK(strv_has(&m.options, SPEC_OPTION_CHOWN) && m.options.n == 1);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_mount("type=tmpfs,dst=/b,U=false", &m));
    CHECK(!m.options.n);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_volume("/a:/b:bind,copy", "/", &m));
    CHECK(strv_has(&m.options, "bind-recursive=disabled") && !m.no_copy);
    spec_mount_done(&m);
}

static void test_mount_bad(void) {
    static const struct {
        const char *text, *want;
    } t[] = {
        {"", "invalid field '' must be a key=value pair"},
        {"foo", "invalid field 'foo' must be a key=value pair"},
        {"type=bind,src", "invalid field 'src' must be a key=value pair"},
        {"type=bind,foo=bar", "unexpected key 'foo' in 'foo=bar'"},
        {"type=bind,src=/a", "target is required"},
        {"type=bind,src=/a,dst=/b,ro=maybe", "invalid value for ro: maybe"},
        {"type=tmpfs,dst=/b,tmpfs-size=x", "invalid value for tmpfs-size: x"},
        {"type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"},
        {"type=tmpfs,dst=/b,tmpfs-mode=17777", "invalid value for tmpfs-mode: 17777"},
        {"type=bind,dst=/b", "invalid mount config for type \"bind\": field Source must not be empty"},
        {"type=tmpfs,src=/a,dst=/b", "invalid mount config for type \"tmpfs\": field Source must not be specified"},
        {"type=bind,src=a,dst=/b",
         "invalid mount config for type \"bind\": invalid mount path: 'a' mount path must be absolute"},
        {"type=bind,src=/a,dst=b",
         "invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute"},
        {"type=bind,src=/a,dst=/",
         "invalid mount config for type \"bind\": invalid specification: destination can't be '/'"},
        {"type=nfs,src=/a,dst=/b", "invalid mount config for type \"nfs\": mount type unknown"},
        {"type=bind,src=/a,dst=/b,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'bind'"},
        {"type=tmpfs,dst=/b,bind-propagation=rprivate", "cannot mix 'bind-*' options with mount type 'tmpfs'"},
        {"type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"},
        {"type=bind,src=/a,dst=/b,bind-propagation=x", "invalid value for bind-propagation: x"},
        {"type=bind,src=/a,dst=/b,bind-recursive=readonly",
         "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"},
        {"type=bind,\"src=/a", "bare or extraneous \" in a field"},
        {"type=bind,s\"rc=/a", "bare or extraneous \" in a field"},
        {"type=bind,src=/a\n,dst=/b", "a field with a newline needs quotes"},
        {"type=image,dst=/b", "invalid mount config for type \"image\": field Source must not be empty"},
        {"type=bind,src=/a,dst=/b,image-subpath=c", "cannot mix 'image-*' options with mount type 'bind'"},
        {"type=image,src=a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'image'"},
        {"type=bind,src=/a,dst=/b,subpath=c", "cannot mix 'subpath' with mount type 'bind'"},
        {"type=bind,src=/a,dst=/b,relabel=x", "invalid value for relabel: x"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct spec_mount m = {0};
        CHECK_FAIL(spec_parse_mount(t[i].text, &m), t[i].want);
        CHECK(!m.target);
    }
    struct spec_mount m = {0};
    CHECK_ERR(spec_parse_mount("type=cluster,src=x,dst=/b", &m), ERR_UNSUPPORTED);
}

static void test_tmpfs(void) {
    struct spec_mount m = {0};
    CHECK_OK(spec_parse_tmpfs("/run:rw,size=64m,mode=1777,exec", &m));
    CHECK_STR(m.target, "/run");
    CHECK_INT(m.options.n, 4);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_tmpfs("/run", &m));
    CHECK_INT(m.options.n, 0);
    spec_mount_done(&m);
    CHECK_OK(spec_parse_tmpfs("/run:", &m));
    spec_mount_done(&m);
    m = (struct spec_mount){0};
    CHECK_FAIL(spec_parse_tmpfs("/run:bogus", &m), "invalid tmpfs option \"bogus\"");
    CHECK_FAIL(spec_parse_tmpfs("/run:size=", &m), "invalid tmpfs option \"size=\"");
    CHECK_FAIL(spec_parse_tmpfs("/run:rw,,exec", &m), "invalid tmpfs option \"\"");
    CHECK_FAIL(spec_parse_tmpfs("/", &m),
               "invalid mount config for type \"tmpfs\": invalid specification: destination can't be '/'");
    CHECK_FAIL(spec_parse_tmpfs("run", &m),
               "invalid mount config for type \"tmpfs\": invalid mount path: 'run' mount path must be absolute");
    CHECK_ERR(spec_parse_tmpfs("", &m), ERR_USAGE);
    CHECK_ERR(spec_parse_tmpfs("/x:mode=7\n", &m), ERR_USAGE);
    CHECK(!m.target);
}

static void check_device(const char *text, const char *host, const char *container, const char *perms) {
    char *h = NULL, *c = NULL, *p = NULL;
    CHECK_OK(spec_parse_device(text, &h, &c, &p));
    CHECK(str_eq(h, host) && str_eq(c, container) && str_eq(p, perms));
    free(h);
    free(c);
    free(p);
}

static void test_device(void) {
    check_device("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm");
    check_device("/dev/sda:/dev/xvdc", "/dev/sda", "/dev/xvdc", "rwm");
    check_device("/dev/sda:/dev/xvdc:r", "/dev/sda", "/dev/xvdc", "r");
    check_device("/dev/sda:rw", "/dev/sda", "/dev/sda", "rw");
    char *h = NULL, *c = NULL, *p = NULL;
    CHECK_FAIL(spec_parse_device("/dev/sda:/dev/x:rr", &h, &c, &p), "bad mode specified: rr");
    CHECK_FAIL(spec_parse_device("a:/b:c:d", &h, &c, &p), "invalid device specification: a:/b:c:d");
    CHECK_FAIL(spec_parse_device("", &h, &c, &p), "invalid device specification: ");
    CHECK_FAIL(spec_parse_device("vendor.com/class=all", &h, &c, &p), "vendor.com/class=all is not an absolute path");
    CHECK_FAIL(spec_parse_device("/dev/a:xyz", &h, &c, &p), "xyz is not an absolute path");
    CHECK_ERR(spec_parse_device("/dev/a:/", &h, &c, &p), ERR_USAGE);
    CHECK_ERR(spec_parse_device("/dev/a:/dev/b:", &h, &c, &p), ERR_USAGE);
    CHECK(!h && !c && !p);
}

static void test_caps(void) {
    uint64_t m;
    CHECK_OK(spec_parse_cap("net_admin", &m));
    CHECK_INT(m, 1 << 12);
    CHECK_OK(spec_parse_cap("cap_Chown", &m));
    CHECK_INT(m, 1);
    CHECK_OK(spec_parse_cap("all", &m));
    CHECK_INT(m, (INT64_C(1) << 41) - 1);
    CHECK_FAIL(spec_parse_cap("NET_BOGUS", &m), "unknown capability: \"NET_BOGUS\"");
    CHECK_ERR(spec_parse_cap("", &m), ERR_USAGE);
    CHECK_ERR(spec_parse_cap("CAP_", &m), ERR_USAGE);
    CHECK_STR(spec_cap_name(40), "CAP_CHECKPOINT_RESTORE");
    CHECK_STR(spec_cap_name(21), "CAP_SYS_ADMIN");
    CHECK(!spec_cap_name(41) && !spec_cap_name(-1));
    CHECK_INT(__builtin_popcountll(spec_default_caps()), 14);
}

static void check_env_file(const char *text, const char *want) {
    struct strv v = {0};
    CHECK_OK(spec_parse_env_file(text, "env file", &v));
    char *joined = strv_join(&v, "|");
    CHECK_STR(joined, want);
    free(joined);
    strv_done(&v);
}

static void test_env_file(void) {
    check_env_file("", "");
    check_env_file("A=1\nB=2", "A=1|B=2");
    check_env_file("\xef\xbb\xbf"
                   "A=1\r\n\r\n  # comment\n  B= two words \nC\n",
                   "A=1|B= two words |C");
    check_env_file("A=x=y\nB=\"q\"\nC=", "A=x=y|B=\"q\"|C=");
    struct strv v = {0};
    CHECK_FAIL(spec_parse_env_file("ok=1\n=x\n", "env file", &v), "invalid env file: no variable name on line '=x'");
    CHECK_FAIL(spec_parse_env_file("A B=1", "env file", &v), "invalid env file: variable 'A B' contains whitespaces");
    CHECK_FAIL(spec_parse_env_file("A =1", "env file", &v), "invalid env file: variable 'A ' contains whitespaces");
    CHECK_FAIL(spec_parse_env_file("A=1\nB=\xff\n", "env file", &v), "invalid env file: invalid utf8 bytes at line 2");
    strv_done(&v);
}

UNIT_MAIN({"bytes", test_bytes}, {"ulimit", test_ulimit}, {"volume", test_volume_ok}, {"volume_bad", test_volume_bad},
          {"mount", test_mount_ok}, {"mount_more", test_mount_more}, {"mount_bad", test_mount_bad},
          {"tmpfs", test_tmpfs}, {"device", test_device}, {"caps", test_caps}, {"env_file", test_env_file})
