/*
 * Layers and archives through a real coracle-unpack (from CORACLE_BIN, else from above this program) into a real store.
 */
#include "storage/unpack_client.c"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/path.h"
#include "base/sys/sys.h"
#include "store_fixture.h"

#include "storage/archive.h"

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        perror(path);
    fd_close(fd);
}

/* A user namespace in which we are root and nobody else exists, held by its descriptor; -1 where there are none. */
static int make_userns(void) {
    int ready[2], hold[2];
    CHECK_OK(fd_pipe(0, ready));
    CHECK_OK(fd_pipe(0, hold));
    pid_t pid = fork();
    if (pid == 0) {
        char c = unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
        close(hold[1]);
        if (write(ready[1], &c, 1) == 1 && read(hold[0], &c, 1) == 0)
            _exit(0);
        _exit(1);
    }
    char c = 'n';
    int fd = -1;
    if (read(ready[0], &c, 1) == 1 && c == 'y') {
        autofree char *dir = mem_printf("/proc/%d", (int)pid);
        autofree char *deny = path_join(dir, "setgroups"), *uids = path_join(dir, "uid_map");
        autofree char *gids = path_join(dir, "gid_map"), *ns = path_join(dir, "ns/user");
        autofree char *uid = mem_printf("0 %u 1", geteuid()), *gid = mem_printf("0 %u 1", getegid());
        write_file(deny, "deny");
        write_file(uids, uid);
        write_file(gids, gid);
        fd = open(ns, O_RDONLY | O_CLOEXEC);
    }
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(hold[i]);
    }
    waitpid(pid, NULL, 0);
    return fd;
}

struct env {
    struct fixture f;
    int userns;
    int tar; /* a layer: etc/hello with "hi\n" */
    char digest[DIGEST_LEN + 1];
    long long size;
};

static void env_open(struct env *e) {
    char exe[4096];
    fixture_open(&e->f);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    autofree char *up = mem_printf("%.*s/..", (int)(path_base(exe) - exe), exe);
    const char *bin = getenv("CORACLE_BIN");
    e->f.host.libexec_dir = path_clean(bin ? bin : up);
    e->userns = make_userns();
    e->tar = sys_memfd("tar", MFD_CLOEXEC);
    const struct store_tar_file file = {.name = "etc/hello", .data = "hi\n", .len = 3};
    CHECK_OK(store_archive_write(e->f.s, e->tar, &file, 1));
    lseek(e->tar, 0, SEEK_SET);
    CHECK_OK(digest_of_fd(e->tar, e->digest, &e->size));
    lseek(e->tar, 0, SEEK_SET);
}

static void env_close(struct env *e) {
    fd_close(e->tar);
    fd_close(e->userns);
    CHECK_OK(store_collect(e->f.s));
    CHECK(!store_has_debris(e->f.s));
    free(e->f.host.libexec_dir);
    fixture_close(&e->f);
}

static struct store_unpack order(const struct env *e) {
    return (struct store_unpack){.blob_digest = e->digest,
                                 .blob_size = e->size,
                                 .input_fd = e->tar,
                                 .bell_fd = -1,
                                 .copy_fd = -1,
                                 .userns_fd = e->userns,
                                 .ids = 1};
}

static struct err *unpack(struct env *e, const struct store_unpack *u, struct store_unpacked *r) {
    struct store_unpack_job *job;
    lseek(e->tar, 0, SEEK_SET);
    TRY(store_unpack_start(e->f.s, u, &job));
    return store_unpack_finish(e->f.s, job, r);
}

static void test_layer(void) {
    struct env e;
    struct store_unpacked r;
    env_open(&e);
    struct store_unpack u = order(&e);
    CHECK_OK(unpack(&e, &u, &r));
    CHECK_STR(r.blob_digest, e.digest);
    CHECK_STR(r.diff_id, e.digest);
    CHECK_STR(r.chain_id, e.digest);
    CHECK_INT(r.blob_size, e.size);
    CHECK_INT(r.entries, 2);
    CHECK(store_layer_has(e.f.s, r.chain_id));
    autofree char *path = mem_printf("%s/diff/etc/hello", digest_hex(r.chain_id));
    autostr struct str text = STR_INIT;
    CHECK_OK(io_read_file(store_dirfd(e.f.s, "layers"), path, 100, &text));
    CHECK_STR(str_c(&text), "hi\n");
    autofree char *info = mem_printf("%s/info.json", digest_hex(r.chain_id));
    autojson j = NULL;
    CHECK_OK(json_read_file(store_dirfd(e.f.s, "layers"), info, &j));
    CHECK_STR(json_str_value(json_get(j, "diff_id")), e.digest);
    CHECK_OK(unpack(&e, &u, &r)); /* once more: it is there already */
    env_close(&e);
}

static void test_refused(void) {
    struct env e;
    struct store_unpacked r = {.entries = 7};
    char other[DIGEST_LEN + 1];
    env_open(&e);
    digest_text("other", other);
    struct store_unpack u = order(&e);
    u.blob_digest = other;
    CHECK_ERR(unpack(&e, &u, &r), ERR_CORRUPT);
    u = order(&e);
    u.blob_size++;
    CHECK_ERR(unpack(&e, &u, &r), ERR_CORRUPT);
    u = order(&e);
    u.diff_id = other;
    CHECK_ERR(unpack(&e, &u, &r), ERR_CORRUPT);
    u.diff_id = "sha256:../../../../etc";
    CHECK_ERR(unpack(&e, &u, &r), ERR_CORRUPT);
    CHECK_INT(ftruncate(e.tar, 1024 + 100), 0);
    u = order(&e);
    CHECK_ERR(unpack(&e, &u, &r), ERR_CORRUPT);
    CHECK_INT(r.entries, 7);
    CHECK(!store_layer_has(e.f.s, e.digest));
    CHECK(store_has_debris(e.f.s));
    env_close(&e);
}

/* A file of which the first part is there and the rest comes while it is read. */
static void test_growing(void) {
    struct env e;
    struct store_unpacked r;
    struct store_unpack_job *job;
    int bell[2];
    char rest[1 << 16];
    env_open(&e);
    autofd int copy = sys_memfd("copy", MFD_CLOEXEC);
    CHECK_OK(fd_pipe(0, bell));
    struct store_unpack u = order(&e);
    u.bell_fd = bell[0];
    u.copy_fd = copy;
    ssize_t n = pread(e.tar, rest, sizeof rest, 700);
    CHECK_INT(n, e.size - 700);
    CHECK_INT(ftruncate(e.tar, 700), 0);
    CHECK_OK(store_unpack_start(e.f.s, &u, &job));
    CHECK_OK(io_write_all(bell[1], "", 1)); /* rings for nothing */
    CHECK_INT(pwrite(e.tar, rest, 100, 700), 100);
    CHECK_OK(io_write_all(bell[1], "", 1));
    CHECK_INT(pwrite(e.tar, rest + 100, (size_t)n - 100, 800), n - 100);
    close(bell[1]);
    CHECK_OK(store_unpack_finish(e.f.s, job, &r));
    CHECK_STR(r.blob_digest, e.digest);
    CHECK_INT(lseek(copy, 0, SEEK_END), e.size);
    close(bell[0]);
    env_close(&e);
}

static void test_killed(void) {
    struct env e;
    struct store_unpacked r;
    struct store_unpack_job *job;
    int pipe_fds[2];
    env_open(&e);
    CHECK_OK(fd_pipe(0, pipe_fds));
    struct store_unpack u = order(&e);
    u.input_fd = pipe_fds[0]; /* nothing will ever come */
    CHECK_OK(store_unpack_start(e.f.s, &u, &job));
    CHECK(store_unpack_fd(job) >= 0);
    kill(job->helper.pid, SIGKILL);
    CHECK_ERR(store_unpack_finish(e.f.s, job, &r), ERR_SYSTEM);
    CHECK_OK(store_unpack_start(e.f.s, &u, &job));
    store_unpack_cancel(e.f.s, job);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    env_close(&e);
}

static void test_archive(void) {
    struct env e;
    char blob[DIGEST_LEN + 1];
    struct store_archive *a;
    env_open(&e);
    put_blob(e.f.s, "a blob", blob);
    const struct store_tar_file files[] = {{.name = "blobs/sha256/x", .blob = blob},
                                           {.name = "index.json", .data = "{}", .len = 2},
                                           {.name = "blobs/sha256/y", .data = "", .len = 0}};
    autofd int out = sys_memfd("out", MFD_CLOEXEC);
    CHECK_OK(store_archive_write(e.f.s, out, files, ARRAY_LEN(files)));
    lseek(out, 0, SEEK_SET);
    CHECK_OK(store_archive_read(e.f.s, out, &a));
    CHECK_INT(a->n, 3);
    const struct store_member *m = store_archive_find(a, "./blobs/sha256/x");
    CHECK(m && m->size == 6);
    CHECK_STR(m ? m->digest : "", blob);
    CHECK(faccessat(a->tmp_fd, digest_hex(blob), R_OK, 0) == 0);
    CHECK(store_archive_find(a, "blobs") == NULL);
    store_archive_free(e.f.s, a);
    CHECK_INT(ftruncate(out, 1000), 0);
    lseek(out, 0, SEEK_SET);
    CHECK_ERR(store_archive_read(e.f.s, out, &a), ERR_CORRUPT);
    const struct store_tar_file missing = {.name = "x", .blob = e.digest};
    CHECK_ERR(store_archive_write(e.f.s, out, &missing, 1), ERR_NOT_FOUND);
    autofd int closed = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK_ERR(store_archive_write(e.f.s, closed, files, ARRAY_LEN(files)), ERR_NO_SPACE);
    env_close(&e);
}

static void test_links(void) {
    struct store_member m[] = {{.name = mem_dup("a/layer.tar")},
                               {.name = mem_dup("b/layer.tar"), .link = mem_dup("a/layer.tar")},
                               {.name = mem_dup("x"), .link = mem_dup("y")},
                               {.name = mem_dup("y"), .link = mem_dup("x")}};
    struct store_archive a = {.m = m, .n = ARRAY_LEN(m)};
    CHECK(store_archive_find(&a, "/b/layer.tar") == &m[0]);
    CHECK(store_archive_find(&a, "b/../a/layer.tar") == &m[0]);
    CHECK(store_archive_find(&a, "x") == NULL);
    for (size_t i = 0; i < ARRAY_LEN(m); i++) {
        free(m[i].name);
        free(m[i].link);
    }
}

UNIT_MAIN({"layer", test_layer}, {"refused", test_refused}, {"resumed", test_growing}, {"killed", test_killed},
          {"archive", test_archive}, {"links", test_links})
