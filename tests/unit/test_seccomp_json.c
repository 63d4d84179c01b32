/* Custom seccomp profiles: docker's JSON and the OCI's section. Single quotes stand for double ones in the texts. */
#include <linux/audit.h>
#include <sys/syscall.h>

#include "base/json.h"
#include "base/mem.h"
#include "bpf_run.h"
#include "runtime/runtime.h"
#include "runtime/seccomp_int.h"
#include "unit.h"

#define CAP_BIT(n) (UINT64_C(1) << (n))
#define EACCES_RET (SECCOMP_RET_ERRNO | 13)

static char *quoted(const char *text) {
    char *s = mem_dup(text);
    for (char *p = s; (p = strchr(p, '\''));)
        *p = '"';
    return s;
}

/* What a profile answers to one native call. */
static uint32_t answer(const char *text, uint64_t caps, const char *call, uint64_t arg0) {
    autofree char *json = quoted(text);
    struct program p = {0};
    uint32_t action = 0xbadbad;
    struct err *e = runtime_seccomp_compile(json, caps, &p.f, &p.n, NULL);
    int id = seccomp_id_of(call);
    if (!e && id >= 0) {
        const struct seccomp_data d = {.nr = (int)seccomp_number(SECCOMP_NATIVE, (unsigned)id),
                                       .arch = seccomp_audit_arch(SECCOMP_NATIVE),
                                       .args = {arg0}};
        action = run(&p, &d);
    }
    CHECK_OK(e);
    free(p.f);
    return action;
}

static const char docker_json[] =
    "{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':13,'defaultErrno':'EACCES',"
    "'archMap':[{'architecture':'SCMP_ARCH_X86_64','subArchitectures':['SCMP_ARCH_X86']},"
    "{'architecture':'SCMP_ARCH_AARCH64','subArchitectures':null}],"
    "'syscalls':["
    "{'names':['read','no_such_call','write'],'action':'SCMP_ACT_ALLOW','args':null,'comment':'','includes':{}},"
    "{'name':'close','action':'SCMP_ACT_TRACE','errnoRet':77},"
    "{'names':['mount'],'action':'SCMP_ACT_ALLOW','includes':{'caps':['CAP_SYS_ADMIN']}},"
    "{'names':['mount'],'action':'SCMP_ACT_KILL_PROCESS','excludes':{'caps':['CAP_SYS_ADMIN']}},"
    "{'names':['bpf'],'action':'SCMP_ACT_ALLOW','includes':{'caps':['CAP_SYS_ADMIN','CAP_BPF']}},"
    "{'names':['ptrace'],'action':'SCMP_ACT_ALLOW','includes':{'minKernel':'4.8'}},"
    "{'names':['kcmp'],'action':'SCMP_ACT_ALLOW','includes':{'minKernel':'4000.1'}},"
    "{'names':['acct'],'action':'SCMP_ACT_ALLOW','includes':{'arches':['s390x']}},"
    "{'names':['chroot'],'action':'SCMP_ACT_ALLOW','includes':{'arches':['amd64','arm64']}},"
    "{'names':['socket'],'action':'SCMP_ACT_ALLOW','args':[{'index':0,'value':1,'op':'SCMP_CMP_EQ'},"
    "{'index':0,'value':2,'valueTwo':0,'op':'SCMP_CMP_EQ'}]},"
    "{'names':['unshare'],'action':'SCMP_ACT_ALLOW','args':[{'index':0,'value':2114060288,'op':'SCMP_CMP_MASKED_EQ'}]},"
    "{'names':['lseek'],'action':'SCMP_ACT_LOG','args':[{'index':0,'value':18446744073709551615,'op':'SCMP_CMP_EQ'}]},"
    "{'names':['dup'],'action':'SCMP_ACT_ERRNO','errnoRet':13},"
    "{'names':['dup'],'action':'SCMP_ACT_ALLOW','args':[{'index':0,'value':5,'op':'SCMP_CMP_GE'}]}"
    "]}";

static void test_docker(void) {
    CHECK_INT(answer(docker_json, 0, "read", 0), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "write", 0), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "close", 0), SECCOMP_RET_TRACE | 77);
    CHECK_INT(answer(docker_json, 0, "openat", 0), EACCES_RET);
    CHECK_INT(answer(docker_json, 0, "mount", 0), SECCOMP_RET_KILL_PROCESS);
    CHECK_INT(answer(docker_json, CAP_BIT(21), "mount", 0), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, CAP_BIT(21), "bpf", 0), EACCES_RET);
    CHECK_INT(answer(docker_json, CAP_BIT(21) | CAP_BIT(39), "bpf", 0), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "ptrace", 0), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "kcmp", 0), EACCES_RET);
    CHECK_INT(answer(docker_json, 0, "acct", 0), EACCES_RET);
    CHECK_INT(answer(docker_json, 0, "chroot", 0), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "socket", 1), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "socket", 2), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "socket", 3), EACCES_RET);
    CHECK_INT(answer(docker_json, 0, "unshare", 0x10000000), EACCES_RET);
    CHECK_INT(answer(docker_json, 0, "unshare", 0x400), SECCOMP_RET_ALLOW);
    CHECK_INT(answer(docker_json, 0, "lseek", UINT64_MAX), SECCOMP_RET_LOG);
    CHECK_INT(answer(docker_json, 0, "lseek", UINT32_MAX), EACCES_RET);
    CHECK_INT(answer(docker_json, 0, "dup", 5), SECCOMP_RET_ALLOW); /* repeating the default hides nothing */
}

static void expect_bad(const char *text, enum err_kind kind) {
    autofree char *json = quoted(text);
    struct sock_filter *f = NULL;
    size_t n;
    struct err *e = runtime_seccomp_compile(json, 0, &f, &n, NULL);
    if (!e || err_kind(e) != kind)
        fprintf(stderr, "for %s: %s\n", text, e ? err_kind_name(err_kind(e)) : "accepted");
    CHECK(e && err_kind(e) == kind && !f);
    err_free(e);
}

static void expect_bad_rule(const char *rule, enum err_kind kind) {
    autofree char *text = mem_printf("{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[%s]}", rule);
    expect_bad(text, kind);
}

static void test_bad(void) {
    expect_bad("", ERR_CORRUPT);
    expect_bad("[]", ERR_CORRUPT);
    expect_bad("{'defaultAction':'SCMP_ACT_MAYBE'}", ERR_USAGE);
    expect_bad("{'defaultAction':7}", ERR_CORRUPT);
    expect_bad("{'defaultAction':'SCMP_ACT_NOTIFY'}", ERR_UNSUPPORTED);
    expect_bad("{'defaultAction':'SCMP_ACT_ALLOW','defaultErrnoRet':1}", ERR_USAGE);
    expect_bad("{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':4096}", ERR_USAGE);
    expect_bad("{'defaultAction':'SCMP_ACT_ALLOW','architectures':['SCMP_ARCH_VAX']}", ERR_USAGE);
    expect_bad("{'defaultAction':'SCMP_ACT_ALLOW','architectures':['SCMP_ARCH_X86'],"
               "'archMap':[{'architecture':'SCMP_ARCH_X86'}]}",
               ERR_USAGE);
    expect_bad("{'defaultAction':'SCMP_ACT_ALLOW','flags':['SECCOMP_FILTER_FLAG_NEW_LISTENER']}", ERR_UNSUPPORTED);
    expect_bad_rule("{'action':'SCMP_ACT_ALLOW'}", ERR_USAGE);
    expect_bad_rule("{'name':'a','names':['b'],'action':'SCMP_ACT_ALLOW'}", ERR_USAGE);
    expect_bad_rule("{'names':['read'],'action':'SCMP_ACT_TRAP','args':[{'index':6,'value':0,'op':'SCMP_CMP_EQ'}]}",
                    ERR_USAGE);
    expect_bad_rule("{'names':['read'],'action':'SCMP_ACT_TRAP','args':[{'index':0,'value':0,'op':'LIKE'}]}",
                    ERR_USAGE);
    expect_bad_rule("{'names':['read'],'action':'SCMP_ACT_TRAP','args':[{'index':0,'value':-1,'op':'SCMP_CMP_EQ'}]}",
                    ERR_CORRUPT);
    expect_bad_rule("{'names':['read'],'action':'SCMP_ACT_TRAP','includes':{'minKernel':'five'}}", ERR_USAGE);
    struct sock_filter *f = (struct sock_filter *)-1;
    size_t n = 1;
    CHECK_OK(runtime_seccomp_compile("{}", 0, &f, &n, NULL)); /* docker: an empty profile is none at all */
    CHECK(!f && n == 0);
}

static void test_oci(void) {
    autofree char *text =
        quoted("{'defaultAction':'SCMP_ACT_ALLOW','architectures':['SCMP_ARCH_X86_64','SCMP_ARCH_AARCH64'],"
               "'flags':['SECCOMP_FILTER_FLAG_LOG','SECCOMP_FILTER_FLAG_TSYNC'],"
               "'syscalls':[{'names':['getcwd'],'action':'SCMP_ACT_ERRNO'}]}");
    autojson j = NULL;
    struct program p = {0};
    unsigned flags = 0;
    CHECK_OK(json_parse(text, strlen(text), "test", 0, &j));
    CHECK_OK(runtime_seccomp_compile_oci(j, &p.f, &p.n, &flags));
    CHECK_INT(flags, SECCOMP_FILTER_FLAG_LOG);
    struct seccomp_data d = {.nr = SYS_getcwd, .arch = seccomp_audit_arch(SECCOMP_NATIVE)};
    CHECK_INT(run(&p, &d), SECCOMP_RET_ERRNO | 1);
    d.nr = SYS_read;
    CHECK_INT(run(&p, &d), SECCOMP_RET_ALLOW);
    d.nr = 3000; /* unknown calls pass where the default is to pass */
    CHECK_INT(run(&p, &d), SECCOMP_RET_ALLOW);
    d.arch = AUDIT_ARCH_I386;
    CHECK_INT(run(&p, &d), SECCOMP_RET_KILL_PROCESS);
    free(p.f);
}

/* Calls that somebody else answers. */
static void test_listener(void) {
    static const char notify[] = "{'defaultAction':'SCMP_ACT_ALLOW','listenerPath':'/s','syscalls':["
                                 "{'names':['getcwd'],'action':'SCMP_ACT_NOTIFY'}]}";
    autofree char *text = quoted(notify);
    struct sock_filter *f = NULL;
    size_t n = 0;
    unsigned flags = 0;
    CHECK_INT(answer(notify, 0, "getcwd", 0), SECCOMP_RET_USER_NOTIF);
    CHECK_INT(answer(notify, 0, "read", 0), SECCOMP_RET_ALLOW);
    CHECK_OK(runtime_seccomp_compile(text, 0, &f, &n, &flags));
    CHECK_INT(flags, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    free(f);
    expect_bad("{'defaultAction':'SCMP_ACT_ALLOW','listenerMetadata':'x'}", ERR_USAGE);
    expect_bad_rule("{'names':['read'],'action':'SCMP_ACT_NOTIFY'}", ERR_USAGE);
    expect_bad("{'defaultAction':'SCMP_ACT_ALLOW','listenerPath':'/s','syscalls':["
               "{'names':['sendmsg'],'action':'SCMP_ACT_NOTIFY'}]}",
               ERR_UNSUPPORTED);
}

UNIT_MAIN({"docker's form", test_docker}, {"bad profiles", test_bad}, {"the OCI's form", test_oci},
          {"a listener", test_listener})
