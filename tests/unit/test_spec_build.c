/* spec_build: docker's rules for what options and image make together, and the words of its refusals. */
#include "spec_fixture.h"

static char *text_of(struct err *take_e) {
    struct str s = STR_INIT;
    if (take_e)
        err_format(take_e, &s);
    err_free(take_e);
    return str_take(&s);
}

static struct spec *build(const struct fixture *f) {
    struct spec *s = NULL;
    CHECK_OK(fixture_build(f, &s));
    return s ? s : mem_alloc(sizeof *s);
}
static void spec_freep(struct spec **s) { spec_free(*s); }
#define autospec __attribute__((cleanup(spec_freep))) struct spec *

/* Elements of an array of strings joined by '|'; "null" where it is not an array. */
static void check_list(const struct json *root, const char *path, const char *want) {
    const struct json *list = json_path(root, path);
    autostr struct str s = STR_INIT;
    if (json_type(list) != JSON_ARRAY)
        str_append(&s, "null");
    JSON_EACH(it, list) {
        str_append(&s, s.len ? "|" : "");
        str_append(&s, json_str_value(it));
    }
    CHECK_STR(str_c(&s), want);
}

static void check_text(const struct json *root, const char *path, const char *want) {
    CHECK_STR(json_str_value(json_path(root, path)), want);
}

/* ---- command ---- */

struct command_case {
    const char *entrypoint; /* --entrypoint, NULL: not given */
    const char *command;    /* words of the command line, NULL: none */
    const char *image;      /* image's config members */
    const char *want;       /* NULL: "no command specified" */
};

static void check_command(const struct command_case *t) {
    autofixture f = fixture_new();
    autofree char *image = mem_printf("{\"config\":{%s}}", t->image);
    f.image = image;
    f.o.entrypoint_set = t->entrypoint != NULL;
    mem_set(&f.o.entrypoint, t->entrypoint);
    if (t->command)
        strv_split(&f.o.command, t->command, ' ');
    if (!t->want) {
        struct spec *s = NULL;
        autofree char *e = text_of(fixture_build(&f, &s));
        CHECK_STR(e, "no command specified");
        return;
    }
    autospec s = build(&f);
    check_list(s->config, "process.args", t->want);
}

static void test_command(void) {
#define EP "\"Entrypoint\":[\"ep\",\"x\"]"
#define CMD "\"Cmd\":[\"cmd\"]"
    static const struct command_case t[] = {
        {NULL, NULL, CMD, "cmd"},
        {NULL, NULL, EP "," CMD, "ep|x|cmd"},
        {NULL, "a b", EP "," CMD, "ep|x|a|b"},
        {NULL, "a b", CMD, "a|b"},
        {"own", NULL, EP "," CMD, "own"},
        {"own", "a", EP "," CMD, "own|a"},
        {"", "a", EP "," CMD, "a"},
        {"", NULL, EP "," CMD, NULL},
        {NULL, NULL, "\"Entrypoint\":[\"\"]," CMD, "cmd"},
        {NULL, NULL, "\"Entrypoint\":null,\"Cmd\":null", NULL},
        {NULL, NULL, "", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        check_command(&t[i]);
}

/* ---- environment ---- */

static void test_env(void) {
    autofixture f = fixture_new();
    strv_push(&f.o.env_files, "A=file\nEDITOR\nNOWHERE\nLANG=file\n");
    strv_push(&f.o.env, "A=flag");
    strv_push(&f.o.env, "TERM=own");
    f.o.tty = true;
    autospec s = build(&f);
    /* SECRET stands bare in the image and has a value on the host: it must not get in. */
    check_list(s->config, "process.env",
               "PATH=/usr/bin:/bin|HOSTNAME=0123456789ab|TERM=own|A=flag|EDITOR=vi|LANG=file");
    check_list(s->options, "Config.Env", "A=flag|EDITOR=vi|LANG=file|TERM=own|PATH=/usr/bin:/bin");
}

static void test_env_unset(void) {
    autofixture f = fixture_new();
    strv_push(&f.o.env, "LANG"); /* in the image, not on the host */
    strv_push(&f.o.env, "SECRET");
    strv_push(&f.o.env, "A=1");
    strv_push(&f.o.env, "A");
    autospec s = build(&f);
    check_list(s->config, "process.env", "PATH=/usr/bin:/bin|HOSTNAME=0123456789ab|SECRET=hunter2");
}

static void test_env_extras(void) {
    autofixture f = fixture_new();
    f.o.env_host = f.o.unset_env_all = true;
    strv_push(&f.o.unset_env, "EDITOR");
    strv_push(&f.o.env, "A=1");
    autospec s = build(&f);
    check_list(s->config, "process.env", "A=1|SECRET=hunter2");
}

static void test_umask_and_files(void) {
    autofixture f = fixture_new();
    mem_set(&f.o.umask, "0027");
    mem_set(&f.o.tz, "Europe/Rome");
    mem_set(&f.o.cwd, "/work");
    mem_set(&f.o.pidfile, "../run/x.pid");
    autospec s = build(&f);
    CHECK_INT(json_int_value(json_path(s->config, "process.user.umask"), -1), 027);
    CHECK_STR(json_str_value(json_get(json_get(s->config, "annotations"), SPEC_ANN_PIDFILE)), "/run/x.pid");
    const char *zone = NULL;
    JSON_EACH(m, json_get(s->config, "mounts"))
    if (str_eq(json_str_value(json_get(m, "destination")), "/etc/localtime"))
        zone = json_str_value(json_get(m, "source"));
    CHECK_STR(zone, "/usr/share/zoneinfo/Europe/Rome");
}

/* ---- lines for passwd and group ---- */

static char me[] = "me", gecos[] = "Me, Myself", my_home[] = "/home/me", us[] = "us";
static const struct host_account my_account = {.name = me, .gecos = gecos, .home = my_home, .group = us};

static void check_lines(const struct fixture *f, const char *passwd, const char *group) {
    autospec s = build(f);
    const struct json *a = json_get(s->config, "annotations");
    const char *got_passwd = json_str_value(json_get(a, SPEC_ANN_PASSWD));
    const char *got_group = json_str_value(json_get(a, SPEC_ANN_GROUP));
    CHECK_STR(got_passwd ? got_passwd : "none", passwd);
    CHECK_STR(got_group ? got_group : "none", group);
}

static void test_account(void) {
    autofixture f = fixture_new();
    f.image = NULL;
    strv_push(&f.o.command, "id");
    mem_set(&f.o.workdir, "/w:x");
    check_lines(&f, "none", "none");
    mem_set(&f.o.userns, "keep-id");
    f.map_user = "1000:100";
    f.account = &my_account;
    check_lines(&f, "me:*:1000:100:Me, Myself:/:/bin/sh", "us:x:100:me");
    mem_set(&f.o.workdir, "/srv");
    check_lines(&f, "me:*:1000:100:Me, Myself:/srv:/bin/sh", "us:x:100:me");
    strv_push(&f.o.volumes, "/home:/home");
    check_lines(&f, "me:*:1000:100:Me, Myself:/home/me:/bin/sh", "us:x:100:me");
    mem_set(&f.o.passwd_entry, "a$USERNAME:$UID$GID::0:$NAME$:$HOME:$X");
    mem_set(&f.o.group_entry, "$GROUPNAME:y:$GID:$USERLIST,b");
    check_lines(&f, "ame:1000100::0:Me, Myself$:/home/me:$X", "us:y:100:me,b");
    mem_set(&f.o.passwd_entry, NULL);
    mem_set(&f.o.group_entry, NULL);
    f.o.no_passwd = true;
    check_lines(&f, "none", "none");
}

static void test_account_by_number(void) {
    autofixture f = fixture_new();
    mem_set(&f.o.user, "7");
    check_lines(&f, "none", "none");
    mem_set(&f.o.passwd_entry, "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh");
    check_lines(&f, "7:*:7:0:container user:/app:/bin/sh", "0:x:0:7");
}

static void test_no_image(void) {
    autofixture f = fixture_new();
    f.image = NULL;
    strv_push(&f.o.command, "true");
    autospec s = build(&f);
    check_list(s->config, "process.env",
               "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|HOSTNAME=0123456789ab");
    check_text(s->config, "process.cwd", "/");
    check_text(s->options, "Config.WorkingDir", "");
}

/* ---- capabilities ---- */

static size_t count_caps(const char *add, const char *drop, const char *has, bool *ret_has) {
    autofixture f = fixture_new();
    if (*add)
        strv_split(&f.o.cap_add, add, ' ');
    if (*drop)
        strv_split(&f.o.cap_drop, drop, ' ');
    autospec s = build(&f);
    const struct json *list = json_path(s->config, "process.capabilities.effective");
    *ret_has = false;
    JSON_EACH(it, list)
    *ret_has = *ret_has || str_eq(json_str_value(it), has);
    CHECK(!json_path(s->config, "process.capabilities.inheritable"));
    CHECK(!json_path(s->config, "process.capabilities.ambient"));
    return json_count(list);
}

static void test_caps(void) {
    bool has;
    CHECK_INT(count_caps("", "", "CAP_CHOWN", &has), 14);
    CHECK(has);
    CHECK_INT(count_caps("ALL", "", "CAP_BPF", &has), 41);
    CHECK_INT(count_caps("ALL", "SYS_ADMIN", "CAP_SYS_ADMIN", &has), 40);
    CHECK(!has);
    CHECK_INT(count_caps("", "ALL", "", &has), 0);
    CHECK_INT(count_caps("chown cap_kill", "ALL", "CAP_KILL", &has), 2);
    CHECK_INT(count_caps("SYS_ADMIN", "CHOWN", "CAP_CHOWN", &has), 14);
    CHECK(!has);
    CHECK_INT(count_caps("CHOWN", "CHOWN", "CAP_CHOWN", &has), 14);
    CHECK(has); /* an add takes precedence over a drop */
    CHECK_INT(count_caps("ALL", "ALL", "", &has), 41);
}

/* ---- refusals ---- */

#define LIST(member) offsetof(struct container_options, member), true
#define TEXT(member) offsetof(struct container_options, member), false

static const struct refusal {
    size_t offset;
    bool list;
    const char *value;
    enum err_kind kind;
    const char *want; /* NULL: any text */
} refusals[] = {
    {TEXT(workdir), "rel", ERR_USAGE, "the working directory 'rel' is invalid, it needs to be an absolute path"},
    {TEXT(stop_signal), "SIGNOPE", ERR_USAGE, "invalid signal: SIGNOPE"},
    {TEXT(hostname), "a b", ERR_USAGE, NULL},
    {TEXT(hostname), "a\nb", ERR_USAGE, NULL},
    {TEXT(user), "a\nb", ERR_USAGE, NULL},
    {LIST(networks), "container:", ERR_UNSUPPORTED, "network mode container: is not available"},
    {LIST(networks), "alias=x", ERR_USAGE, "--network: no name specified for network"},
    {LIST(networks), "name=a,name=b", ERR_USAGE, "--network: name is given twice"},
    {LIST(networks), "name=a,color=red", ERR_USAGE, "invalid field color in --network"},
    {LIST(networks), "name=a,ip=10.0.0", ERR_USAGE,
     "invalid argument \"10.0.0\" for \"--ip\" flag: not an IPv4 address"},
    {LIST(networks), "name=a,mac-address=01:00:00:00:00:01", ERR_USAGE, "01:00:00:00:00:01 is not a valid mac address"},
    {LIST(networks), "name=bridge,alias=x", ERR_USAGE,
     "network-scoped alias is supported only for containers in user defined networks"},
    {TEXT(ip), "10.0.0.2", ERR_USAGE, "user specified IP address is supported on user defined networks only"},
    {LIST(publish), "80/sctp", ERR_UNSUPPORTED, "port 80/sctp cannot be published without root"},
    {TEXT(pid), "bogus", ERR_USAGE, "--pid: invalid PID mode"},
    {TEXT(pid), "container:", ERR_USAGE, NULL},
    {TEXT(ipc), "bogus", ERR_USAGE, "--ipc: invalid IPC mode"},
    {TEXT(uts), "bogus", ERR_USAGE, "--uts: invalid UTS mode"},
    {TEXT(cgroupns), "bogus", ERR_USAGE, "--cgroupns: invalid CGROUP mode"},
    {TEXT(userns), "keep-id:what=1", ERR_USAGE, "--userns keep-id:what=1: unknown option"},
    {TEXT(userns), "bogus", ERR_USAGE, "--userns: invalid USER mode"},
    {TEXT(restart), ":3", ERR_USAGE, "invalid restart policy format: no policy provided before colon"},
    {TEXT(restart), "on-failure:-1", ERR_USAGE, "invalid restart policy: maximum retry count cannot be negative"},
    {TEXT(restart), "no:-1", ERR_USAGE,
     "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative"},
    {TEXT(health_on_failure), "maybe", ERR_USAGE,
     "invalid on-failure action 'maybe' for health check: use none, kill, restart or stop"},
    {TEXT(restart), "on-failure:x", ERR_USAGE, "invalid restart policy format: maximum retry count must be an integer"},
    {TEXT(restart), "always:3", ERR_USAGE,
     "invalid restart policy: maximum retry count can only be used with 'on-failure'"},
    {TEXT(restart), "maybe", ERR_USAGE,
     "invalid restart policy: unknown policy 'maybe'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
    {TEXT(log_driver), "gelf", ERR_UNSUPPORTED, "log driver gelf is not supported"},
    {TEXT(log_driver), "bogus", ERR_USAGE, "logger: no log driver named 'bogus' is registered"},
    {LIST(log_opt), "bogus=1", ERR_USAGE, "unknown log opt 'bogus' for json-file log driver"},
    {LIST(log_opt), "max-file=0", ERR_USAGE, NULL},
    {LIST(log_opt), "max-size=x", ERR_USAGE, "invalid log opt max-size: invalid size: 'x'"},
    {LIST(log_opt), "max-size", ERR_USAGE, NULL},
    {LIST(volumes), "x", ERR_USAGE, NULL},
    {LIST(volumes), "", ERR_USAGE, "invalid empty volume spec"},
    {TEXT(volume_driver), "nfs", ERR_UNSUPPORTED, "error looking up volume plugin nfs: plugin \"nfs\" not found"},
    {LIST(mounts), "src=data,dst=/x,volume-driver=nfs", ERR_UNSUPPORTED, NULL},
    {LIST(mounts), "src=data,dst=/x,volume-subpath=a/../../b", ERR_USAGE, NULL},
    {LIST(volumes_from), ":ro", ERR_USAGE, "invalid volumes-from specification: ':ro'"},
    {LIST(volumes_from), "a:shared", ERR_USAGE, "invalid mode for volumes-from: shared"},
    {LIST(volumes), "/a:/x:bad", ERR_USAGE, "invalid volume specification: '/a:/x:bad': invalid mode: bad"},
    {LIST(cap_add), "NOPE", ERR_USAGE, "unknown capability: \"NOPE\""},
    {LIST(env), "", ERR_USAGE, "invalid environment variable: "},
    {LIST(env), "=x", ERR_USAGE, "invalid environment variable: =x"},
    {LIST(env), "A=\xff", ERR_USAGE, NULL},
    {LIST(labels), "=x", ERR_USAGE, "invalid label '=x': empty name"},
    {LIST(annotations), "org.coracle.privileged=true", ERR_USAGE, NULL},
    {LIST(security_opt), "bogus", ERR_USAGE, "Invalid --security-opt: \"bogus\""},
    {LIST(security_opt), "bogus=1", ERR_USAGE, "Invalid --security-opt: \"bogus=1\""},
    {LIST(security_opt), "seccomp=", ERR_USAGE, "Invalid --security-opt: \"seccomp=\""},
    {LIST(security_opt), "seccomp={", ERR_USAGE, NULL},
    {LIST(security_opt), "seccomp=[]", ERR_USAGE, NULL},
    {LIST(security_opt), "no-new-privileges=maybe", ERR_USAGE, NULL},
    {LIST(security_opt), "mask=relative", ERR_USAGE, NULL},
    {LIST(sysctl), "kernel.hostname=x", ERR_USAGE,
     "invalid argument \"kernel.hostname=x\" for \"--sysctl\" flag: sysctl 'kernel.hostname=x' is not allowed"},
    {LIST(sysctl), "net.core.somaxconn", ERR_USAGE,
     "invalid argument \"net.core.somaxconn\" for \"--sysctl\" flag: sysctl 'net.core.somaxconn' is not allowed"},
    {LIST(sysctl), "net.../kernel/core_pattern=|/x", ERR_USAGE, NULL},
    {LIST(sysctl), "net...kernel=1", ERR_USAGE, NULL},
    {LIST(sysctl), "net.=1", ERR_USAGE, NULL},
    {LIST(add_host), "db", ERR_USAGE,
     "invalid argument \"db\" for \"--add-host\" flag: bad format for add-host: \"db\""},
    {LIST(add_host), ":1.2.3.4", ERR_USAGE,
     "invalid argument \":1.2.3.4\" for \"--add-host\" flag: bad format for add-host: \":1.2.3.4\""},
    {LIST(add_host), "db:1.2.3", ERR_USAGE,
     "invalid argument \"db:1.2.3\" for \"--add-host\" flag: invalid IP address in add-host: \"1.2.3\""},
    {LIST(add_host), "db\nevil:1.2.3.4", ERR_USAGE, NULL},
    {LIST(dns), "nope", ERR_USAGE,
     "invalid argument \"nope\" for \"--dns\" flag: IP address is not correctly formatted: nope"},
    {LIST(dns_search), "a b", ERR_USAGE,
     "invalid argument \"a b\" for \"--dns-search\" flag: a b is not a valid domain"},
    {LIST(dns_option), "ndots:1\nnameserver 1.1.1.1", ERR_USAGE, NULL},
    {LIST(publish), "80:", ERR_USAGE, "no port specified: 80:<empty>"},
    {LIST(publish), "x:80", ERR_USAGE, "invalid hostPort: x"},
    {LIST(publish), "80:99999", ERR_USAGE, "invalid containerPort: 99999"},
    {LIST(publish), "80/icmp", ERR_USAGE, "invalid proto: icmp"},
    {LIST(publish), "1.2.3:80:80", ERR_USAGE, "invalid IP address: 1.2.3"},
    {LIST(publish), "1-3:1-2", ERR_USAGE, "invalid ranges specified for container and host Ports: 1-2 and 1-3"},
    {LIST(publish), "9-1", ERR_USAGE, "invalid containerPort: 9-1"},
    {LIST(publish), "1-65535", ERR_USAGE, NULL},
    {LIST(expose), "80:80", ERR_USAGE, "invalid port format for --expose: 80:80"},
    {LIST(expose), "x", ERR_USAGE,
     "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax"},
    {LIST(group_add), "", ERR_USAGE, NULL},
    {LIST(ulimit), "bogus=1", ERR_USAGE,
     "invalid argument \"bogus=1\" for \"--ulimit\" flag: invalid ulimit type: bogus"},
    {LIST(device), "fuse", ERR_USAGE, "fuse is not an absolute path"},
};

static void test_refusals(void) {
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct refusal *r = &refusals[i];
        autofixture f = fixture_new();
        void *member = (char *)&f.o + r->offset;
        if (r->list)
            strv_push(member, r->value);
        else
            mem_set(member, r->value);
        struct spec *s = NULL;
        struct err *e = fixture_build(&f, &s);
        enum err_kind kind = e ? err_kind(e) : ERR_KIND_COUNT;
        bool hint = e && err_hint_text(e);
        autofree char *text = text_of(e);
        bool ok = kind == r->kind && !s && (!r->want || !strcmp(text, r->want)) && (kind != ERR_UNSUPPORTED || hint);
        CHECK(ok);
        if (!ok)
            fprintf(stderr, "'%s': got '%s', want '%s'\n", r->value, text, r->want ? r->want : "an error");
        spec_free(s);
    }
}

static void check_conflict(struct fixture *f, const char *want) {
    struct spec *s = NULL;
    autofree char *text = text_of(fixture_build(f, &s));
    CHECK_STR(text, want);
    fixture_done(f);
}

static void test_conflicts(void) {
    struct fixture f = fixture_new();
    mem_set(&f.o.uts, "host");
    mem_set(&f.o.hostname, "x");
    check_conflict(&f, "conflicting options: hostname and the UTS mode");
    f = fixture_new();
    mem_set(&f.o.passwd_entry, "a:b:c:d:e:f:g");
    check_conflict(&f, "--passwd-entry: the image knows who runs there");
    f = fixture_new();
    mem_set(&f.o.user, "7:8");
    mem_set(&f.o.group_entry, "a:b:c");
    check_conflict(&f, "invalid value for --group-entry: 'a:b:c' is not one line of 4 fields with colons between them");
    f = fixture_new();
    f.o.no_passwd = true;
    mem_set(&f.o.group_entry, "a:b:c:");
    check_conflict(&f, "conflicting options: --group-entry and --passwd=false");
    f = fixture_new();
    strv_push(&f.o.networks, "container:a");
    strv_push(&f.o.publish, "80");
    check_conflict(&f, "conflicting options: port publishing and the container type network mode");
    f = fixture_new();
    strv_push(&f.o.networks, "container:a");
    strv_push(&f.o.dns, "1.1.1.1");
    check_conflict(&f, "conflicting options: dns and the network mode");
    f = fixture_new();
    mem_set(&f.o.restart, "always");
    f.o.rm = true;
    check_conflict(&f, "conflicting options: cannot specify both --restart and --rm");
    f = fixture_new();
    strv_push(&f.o.networks, "host");
    strv_push(&f.o.sysctl, "net.core.somaxconn=1");
    check_conflict(&f, "invalid argument \"net.core.somaxconn=1\" for \"--sysctl\" flag: sysctl 'net.core.somaxconn=1' "
                       "is not allowed with --network host");
    f = fixture_new();
    strv_push(&f.o.volumes, "/a:/x");
    strv_push(&f.o.tmpfs, "/y/../x/");
    check_conflict(&f, "duplicate mount point: /x");
    f = fixture_new();
    f.o.oom_score_adj = 1001;
    check_conflict(&f, "invalid value 1001, range for oom score adj is [-1000, 1000]");
    f = fixture_new();
    mem_set(&f.o.log_driver, "none");
    strv_push(&f.o.log_opt, "max-size=1m");
    check_conflict(&f, "invalid logging opts for driver none");
    f = fixture_new();
    f.image = "{\"config\":{\"Cmd\":\"a string\"}}";
    check_conflict(&f, "config.Cmd: expected an array");
    f = fixture_new();
    f.image = "{\"config\":{\"Cmd\":[\"x\"],\"WorkingDir\":\"rel\"}}";
    check_conflict(&f, "the working directory 'rel' is invalid, it needs to be an absolute path");
}

/* What a start asks for: networks with their names, ports published and exposed, the files to complete. */
static void test_network(void) {
    autofixture f = fixture_new();
    f.image = "{\"config\":{\"Cmd\":[\"x\"],\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}}}}";
    strv_push(&f.o.networks, "name=back,alias=store,ip=10.89.7.9");
    strv_push(&f.o.networks, "front");
    strv_push(&f.o.publish, "127.0.0.1:8080-8081:80");
    strv_push(&f.o.add_host, "gw:host-gateway");
    f.o.publish_all = true;
    autospec s = build(&f);
    const struct json *networks = json_get(s->network, "networks"), *ports = json_get(s->network, "ports");
    CHECK_INT(json_count(networks), 2);
    CHECK_STR(json_str_value(json_get(json_first(networks), "network")), "back");
    CHECK_STR(json_str_value(json_get(json_first(networks), "ip")), "10.89.7.9");
    CHECK_STR(json_str_value(json_first(json_get(json_first(networks), "aliases"))), "store");
    CHECK_INT(json_count(ports), 2);
    CHECK_STR(json_str_value(json_get(json_first(ports), "host_port")), "8080-8081");
    CHECK_INT(json_int_value(json_get(json_next(json_first(ports)), "port"), 0), 53);
    CHECK(strstr(json_str_value(json_get(s->network, "hosts")), "\nhost-gateway\tgw\n") != NULL);
    CHECK_STR(json_str_value(json_get(s->summary, "NetworkMode")), "back");
    autofixture n = fixture_new();
    strv_push(&n.o.networks, "none");
    autospec t = build(&n);
    CHECK(!t->network);
}

/* ---- files and settings ---- */

static void test_resolv(void) {
    autofixture f = fixture_new();
    autospec s = build(&f);
    const struct json *a = json_get(s->config, "annotations");
    CHECK_STR(json_str_value(json_get(a, SPEC_ANN_RESOLV)),
              "nameserver 192.0.2.1\nsearch example.org example.net\noptions edns0\n");
    autofixture h = fixture_new();
    strv_push(&h.o.networks, "host");
    autospec t = build(&h);
    CHECK(!json_get(json_get(t->config, "annotations"), SPEC_ANN_RESOLV));
    CHECK_STR(json_str_value(json_get(json_get(t->config, "annotations"), SPEC_ANN_HOSTS)),
              "127.0.0.1 localhost workstation\n");
    autofixture d = fixture_new();
    strv_push(&d.o.networks, "host");
    strv_push(&d.config.dns, "192.0.2.9");
    strv_push(&d.o.dns_search, ".");
    strv_push(&d.o.add_host, "gw=host-gateway");
    strv_push(&d.o.add_host, "six:[::1]");
    autospec u = build(&d);
    a = json_get(u->config, "annotations");
    CHECK_STR(json_str_value(json_get(a, SPEC_ANN_RESOLV)), "nameserver 192.0.2.9\noptions edns0\n");
    CHECK_STR(json_str_value(json_get(a, SPEC_ANN_HOSTS)),
              "127.0.0.1 localhost workstation\n127.0.0.1\tgw\n::1\tsix\n");
}

static void test_defaults(void) {
    autofixture f = fixture_new();
    strv_push(&f.config.default_ulimits, "nofile=10:20");
    strv_push(&f.config.default_ulimits, "core=0");
    strmap_set(&f.config.log_opts, "max-file", "3");
    f.config.no_new_privileges = f.config.init = true;
    f.config.shm_size = 4096;
    f.config.seccomp_profile = mem_dup("unconfined");
    strv_push(&f.o.ulimit, "nofile=30");
    autospec s = build(&f);
    CHECK_INT(json_count(json_path(s->config, "process.rlimits")), 2);
    CHECK_INT(json_int_value(json_get(json_first(json_path(s->config, "process.rlimits")), "hard"), 0), 30);
    CHECK(json_bool_value(json_path(s->config, "process.noNewPrivileges"), false));
    CHECK_INT(json_int_value(json_path(s->options, "HostConfig.ShmSize"), 0), 4096);
    check_text(s->summary, "LogOpts.max-file", "3");
    CHECK_STR(json_str_value(json_get(json_get(s->config, "annotations"), SPEC_ANN_SECCOMP)), "unconfined");
    CHECK_STR(json_str_value(json_get(json_get(s->config, "annotations"), SPEC_ANN_INIT)), "true");
    free(f.config.seccomp_profile);
}

static void test_security(void) {
    autofixture f = fixture_new();
    strv_push(&f.o.security_opt, "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
    strv_push(&f.o.security_opt, "label=disable");
    strv_push(&f.o.security_opt, "apparmor:unconfined");
    strv_push(&f.o.security_opt, "systempaths=unconfined");
    strv_push(&f.o.security_opt, "mask=/proc/a/../b:/c");
    strv_push(&f.o.security_opt, "writable-cgroups=true");
    autospec s = build(&f);
    CHECK_STR(json_str_value(json_get(json_get(s->config, "annotations"), SPEC_ANN_SECCOMP)),
              "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
    check_list(s->config, "linux.maskedPaths", "/proc/b|/c");
    check_list(s->config, "linux.readonlyPaths", "");
    CHECK_INT(s->warnings.n, 0);
    autofixture h = fixture_new();
    strv_push(&h.o.security_opt, "label=type:container_t");
    strv_push(&h.o.security_opt, "label=disable");
    autospec bare = build(&h); /* as docker on a machine without SELinux */
    CHECK_INT(bare->warnings.n, 0);
    autofixture g = fixture_new();
    strv_push(&g.o.security_opt, "unmask=/proc/bus:/proc/kcore");
    autospec t = build(&g);
    CHECK_INT(json_count(json_path(t->config, "linux.maskedPaths")), 11);
    CHECK_INT(json_count(json_path(t->config, "linux.readonlyPaths")), 4);
}

/* A user's mount takes a default's place, and one on /dev those below it too. */
static void test_replaced_mounts(void) {
    autofixture f = fixture_new();
    strv_push(&f.o.volumes, "/dev:/dev");
    strv_push(&f.o.volumes, "/a:/proc");
    strv_push(&f.o.volumes, "/h:/etc/hosts");
    autospec s = build(&f);
    autostr struct str all = STR_INIT;
    JSON_EACH(m, json_get(s->config, "mounts"))
    str_appendf(&all, "%s ", json_str_value(json_get(m, "destination")));
    CHECK_STR(str_c(&all), "/sys /sys/fs/cgroup /dev /proc /data /etc/resolv.conf /etc/hostname /etc/hosts ");
}

/* What ps reads a thousand times stays small. */
static void test_summary_size(void) {
    autofixture f = fixture_new();
    f.image = "{\"config\":{\"Cmd\":[\"sleep\",\"1000\"]}}";
    autospec s = build(&f);
    autostr struct str text = STR_INIT;
    json_render(s->summary, JSON_COMPACT, &text);
    CHECK(text.len <= 700);
    CHECK(!s->tty && !s->open_stdin && !s->rm);
}

/* "/target name-or-source rw|ro\n" of each mount of the user's, in the order of the summary. */
static void check_volumes(const struct fixture *f, const char *want) {
    autospec s = build(f);
    autostr struct str got = STR_INIT;
    JSON_EACH(m, json_get(s->options, "Mounts"))
    str_appendf(&got, "%s %s %s\n", json_text(m, "Destination"),
                json_get(m, "Name") ? json_text(m, "Name") : json_text(m, "Source"),
                json_bool_value(json_get(m, "RW"), false) ? "rw" : "ro");
    CHECK_STR(str_c(&got), want);
}

#define NAME(n) n "333333333333333333333333333333333333333333333333333333333333333"

/* docker's precedence: what is typed, --volumes-from (the last one first), -v without a source, VOLUME. */
static void test_volumes(void) {
    autofixture f = fixture_new();
    f.image =
        "{\"config\":{\"Cmd\":[\"x\"],\"Volumes\":{\"/typed\":{},\"/other\":{},\"/own\":{},\"/image\":{},\"/t\":{}}}}";
    f.others = "[[{\"Type\":\"volume\",\"Name\":\"first\",\"Destination\":\"/other\",\"RW\":true},"
               "{\"Type\":\"bind\",\"Source\":\"/srv\",\"Destination\":\"/typed\",\"RW\":true}],"
               "[{\"Type\":\"volume\",\"Name\":\"second\",\"Destination\":\"/other\",\"RW\":true}]]";
    strv_push(&f.o.volumes_from, "a");
    strv_push(&f.o.volumes_from, "b:ro");
    strv_push(&f.o.volumes, "data:/typed:ro");
    strv_push(&f.o.volumes, "/own/");
    strv_push(&f.o.tmpfs, "/t");
    check_volumes(&f, "/typed data ro\n/other second ro\n/own " NAME("0") " rw\n/image " NAME("1") " rw\n");
}

/* Only what an image may have at the place fills a volume. */
static void test_volume_fills(void) {
    autofixture f = fixture_new();
    f.image = "{\"config\":{\"Cmd\":[\"x\"]}}";
    f.others = "[[{\"Type\":\"volume\",\"Name\":\"other\",\"Destination\":\"/o\",\"RW\":true}]]";
    strv_push(&f.o.volumes_from, "a");
    strv_push(&f.o.volumes, "data:/a");
    strv_push(&f.o.volumes, "bare:/b:nocopy");
    strv_push(&f.o.mounts, "src=sub,dst=/c,volume-subpath=x");
    autospec s = build(&f);
    CHECK_STR(json_str_value(json_get(json_get(s->config, "annotations"), SPEC_ANN_VOLUMES)), "{\"/a\":\"data\"}");
}

UNIT_MAIN({"command", test_command}, {"env", test_env}, {"env_unset", test_env_unset}, {"env_extras", test_env_extras},
          {"umask_and_files", test_umask_and_files}, {"account", test_account},
          {"account_by_number", test_account_by_number}, {"no_image", test_no_image}, {"caps", test_caps},
          {"refusals", test_refusals}, {"conflicts", test_conflicts}, {"network", test_network},
          {"resolv", test_resolv}, {"defaults", test_defaults}, {"security", test_security},
          {"replaced_mounts", test_replaced_mounts}, {"summary_size", test_summary_size}, {"volumes", test_volumes},
          {"volume_fills", test_volume_fills})
