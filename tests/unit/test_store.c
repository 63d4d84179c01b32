/* The store by its public header: what goes in comes out, what is damaged is named, what is referenced stays. */
#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#include "store_fixture.h"

static void test_open(void) {
    struct fixture f;
    struct store *again = NULL;
    struct stat st;
    fixture_open(&f);
    CHECK_STR(store_root(f.s), f.host.data_root);
    CHECK(fstat(store_dirfd(f.s, ""), &st) == 0 && (st.st_mode & 07777) == 0700);
    CHECK(store_dirfd(f.s, "blobs/sha256") >= 0);
    CHECK_INT(store_dirfd(f.s, "nonsense"), -1);
    CHECK_OK(store_open(&f.host, &again));
    store_free(again);
    CHECK_OK(io_write_file(store_dirfd(f.s, ""), "version", "2\n", 2, 0600, 0));
    CHECK_ERR(store_open(&f.host, &again), ERR_UNSUPPORTED);
    CHECK_OK(io_write_file(store_dirfd(f.s, ""), "version", "x\n", 2, 0600, 0));
    CHECK_ERR(store_open(&f.host, &again), ERR_CORRUPT);
    fixture_close(&f);
}

static void test_open_refuses_other_directories(void) {
    struct fixture f;
    struct store *s = NULL;
    struct stat st;
    fixture_open(&f);
    autofree char *home = mem_printf("%s/home", f.dir), *notes = mem_printf("%s/home/notes", f.dir);
    CHECK(mkdir(home, 0755) == 0 && chmod(home, 0755) == 0 && mkdir(notes, 0755) == 0);
    struct host other = f.host;
    other.data_root = home;
    CHECK_ERR(store_open(&other, &s), ERR_CONFLICT);
    CHECK(stat(home, &st) == 0 && (st.st_mode & 07777) == 0755);
    if (geteuid() == 0) {
        CHECK(rmdir(notes) == 0 && chown(home, 1234, 1234) == 0);
        CHECK_ERR(store_open(&other, &s), ERR_DENIED);
    }
    fixture_close(&f);
}

static void test_tmp(void) {
    struct fixture f;
    autofree char *mine = NULL, *dead = NULL;
    int fd = -1, fd2 = -1;
    fixture_open(&f);
    CHECK(!store_has_debris(f.s));
    CHECK_OK(store_tmp_new(f.s, &mine, &fd));
    CHECK_OK(store_tmp_new(f.s, &dead, &fd2));
    CHECK(!store_has_debris(f.s));
    CHECK(mkdirat(fd2, "a", 0700) == 0 && mkdirat(fd2, "a/b", 0000) == 0);
    fd_close(fd2);
    CHECK(store_has_debris(f.s));
    CHECK_OK(store_collect(f.s));
    CHECK(!store_has_debris(f.s));
    int tmp = store_dirfd(f.s, "tmp");
    CHECK(faccessat(tmp, mine, F_OK, 0) == 0);
    CHECK(faccessat(tmp, dead, F_OK, 0) < 0);
    CHECK(mkdirat(fd, "thing", 0700) == 0);
    CHECK_OK(store_trash(f.s, fd, "thing"));
    CHECK(faccessat(fd, "thing", F_OK, 0) < 0);
    CHECK(store_has_debris(f.s));
    CHECK_OK(store_collect(f.s));
    CHECK(!store_has_debris(f.s));
    CHECK_OK(store_tmp_remove(f.s, mine));
    CHECK_ERR(store_tmp_remove(f.s, "../images"), ERR_USAGE);
    fd_close(fd);
    fixture_close(&f);
}

static void test_blobs(void) {
    struct fixture f;
    char digest[72], wrong[72];
    autostr struct str text = STR_INIT;
    int fd = -1;
    int64_t size = 0;
    fixture_open(&f);
    digest_text("hello", digest);
    digest_text("other", wrong);
    CHECK(!store_blob_has(f.s, digest));
    CHECK(!store_blob_has(f.s, "sha256:../../version"));
    CHECK_ERR(store_blob_put(f.s, wrong, "hello", 5), ERR_CORRUPT);
    CHECK_OK(store_blob_put(f.s, digest, "hello", 5));
    CHECK_OK(store_blob_put(f.s, digest, "hello", 5));
    CHECK_OK(store_blob_open(f.s, digest, &fd, &size));
    CHECK_INT(size, 5);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0444);
    fd_close(fd);
    CHECK_OK(store_blob_read(f.s, digest, 5, &text));
    CHECK_STR(str_c(&text), "hello");
    CHECK_ERR(store_blob_read(f.s, digest, 4, &text), ERR_CORRUPT);
    CHECK_ERR(store_blob_open(f.s, wrong, &fd, NULL), ERR_NOT_FOUND);
    CHECK_ERR(store_blob_open(f.s, "hello", &fd, NULL), ERR_USAGE);
    CHECK_OK(io_write_file(store_dirfd(f.s, "tmp"), "x", "other", 5, 0600, 0));
    CHECK_OK(store_blob_adopt(f.s, wrong, store_dirfd(f.s, "tmp"), "x"));
    CHECK(store_blob_has(f.s, wrong));
    CHECK_OK(io_write_file(store_dirfd(f.s, "tmp"), "x", "other", 5, 0600, 0));
    CHECK_OK(store_blob_adopt(f.s, wrong, store_dirfd(f.s, "tmp"), "x"));
    CHECK(faccessat(store_dirfd(f.s, "tmp"), "x", F_OK, 0) < 0);
    fixture_close(&f);
}

/* Two downloads of one blob: the second waits, and finds it there. */
static void test_partial(void) {
    struct fixture f;
    char digest[72];
    int fd = -1, ready[2];
    int64_t have = -1;
    fixture_open(&f);
    digest_text("hello", digest);
    CHECK_OK(store_partial_open(f.s, digest, &fd, &have));
    CHECK_INT(have, 0);
    CHECK_OK(io_write_all(fd, "hel", 3));
    CHECK(fchmod(fd, 0444) == 0); /* as one that was killed just before the rename leaves it */
    fd_close(fd);
    CHECK_OK(store_partial_open(f.s, digest, &fd, &have));
    CHECK_INT(have, 3);
    CHECK_OK(fd_pipe(0, ready));
    pid_t pid = fork();
    if (pid == 0) {
        fd_close(fd); /* the description is the parent's: its lock stays */
        int fd2 = -1;
        int64_t have2 = -1;
        CHECK_OK(io_write_all(ready[1], "x", 1));
        CHECK_OK(store_partial_open(f.s, digest, &fd2, &have2));
        _exit(fd2 == -1 && store_blob_has(f.s, digest) ? 0 : 1);
    }
    char c;
    CHECK(read(ready[0], &c, 1) == 1);
    CHECK_OK(io_write_all(fd, "lo", 2));
    CHECK_OK(store_partial_commit(f.s, digest, fd));
    fd_close(fd);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK_OK(store_partial_drop(f.s, digest));
    CHECK_OK(store_partial_open(f.s, digest, &fd, &have));
    CHECK_INT(fd, -1);
    /* An old partial goes with the debris, a locked one does not. */
    char other[72];
    digest_text("other", other);
    CHECK_OK(store_partial_open(f.s, other, &fd, &have));
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK(futimens(fd, old) == 0);
    CHECK_OK(store_collect(f.s));
    CHECK(faccessat(store_dirfd(f.s, "blobs/partial"), digest_hex(other), F_OK, 0) == 0);
    fd_close(fd);
    CHECK_OK(store_collect(f.s));
    CHECK(faccessat(store_dirfd(f.s, "blobs/partial"), digest_hex(other), F_OK, 0) < 0);
    fd_close(ready[0]);
    fd_close(ready[1]);
    fixture_close(&f);
}

/* The example of the OCI image specification's definition, computed with sha256sum. */
static void test_chain_id(void) {
    char a[72], b[72], chain[72], want[72];
    digest_text("a", a);
    digest_text("b", b);
    CHECK_OK(store_chain_id(NULL, a, chain));
    CHECK_STR(chain, a);
    autofree char *pair = mem_printf("%s %s", a, b);
    digest_text(pair, want);
    CHECK_OK(store_chain_id(a, b, chain));
    CHECK_STR(chain, want);
    CHECK_ERR(store_chain_id(a, "sha512:00", chain), ERR_CORRUPT);
}

static void test_images(void) {
    struct fixture f;
    char id[65], id2[65], top[72], got[65];
    struct store_image *img = NULL;
    autostrv struct strv ids = {0};
    fixture_open(&f);
    put_image(f.s, "one", id, top);
    put_image(f.s, "two", id2, top);
    CHECK_OK(store_image_get(f.s, id, &img));
    CHECK_STR(img->id, id);
    CHECK_INT(img->created, 5);
    CHECK_INT((long long)img->n_layers, 2);
    CHECK_INT(img->layers[1].diff_size, 2);
    CHECK(store_layer_has(f.s, img->layers[1].chain_id));
    img->layers[1].chain_id[10] ^= 1; /* a hex digit becomes another or a letter out of range: refused either way */
    CHECK_ERR(store_image_put(f.s, img), ERR_CORRUPT);
    store_image_free(img);
    CHECK_OK(store_image_ids(f.s, &ids));
    CHECK_INT((long long)ids.n, 2);
    char prefix[13] = "";
    memcpy(prefix, id, 12);
    CHECK_OK(store_image_by_prefix(f.s, prefix, got));
    CHECK_STR(got, id);
    CHECK_ERR(store_image_by_prefix(f.s, "zz", got), ERR_NOT_FOUND);
    CHECK_ERR(store_image_by_prefix(f.s, "", got), ERR_NOT_FOUND);
    autofree char *file = mem_printf("%s.json", id);
    CHECK_OK(io_write_file(store_dirfd(f.s, "images"), file, "{\"id\":3}", 8, 0600, 0));
    CHECK_ERR(store_image_get(f.s, id, &img), ERR_CORRUPT);
    CHECK_ERR(store_image_get(f.s, "../version", &img), ERR_NOT_FOUND);
    CHECK_OK(store_image_remove(f.s, id)); /* a damaged image can be removed */
    CHECK_ERR(store_image_remove(f.s, id), ERR_NOT_FOUND);
    fixture_close(&f);
}

/* Who has looked up an image by its name gets nothing of the image that the name was given to meanwhile. */
static void test_moved_ref(void) {
    static const char name[] = "docker.io/library/moved:1";
    static const char digest[] = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
    struct fixture f;
    char one[65], other[65], top[72];
    struct store_ref got;
    fixture_open(&f);
    put_image(f.s, "one", one, top);
    put_image(f.s, "other", other, top);
    got = store_ref_of(f.s, name, one);
    CHECK_STR(got.image, "");
    const struct store_target to = {.image = one, .manifest = digest, .index = digest};
    CHECK_OK(store_ref_set_to(f.s, name, &to));
    got = store_ref_of(f.s, name, one);
    CHECK_STR(got.manifest, digest);
    CHECK_STR(got.index, digest);
    got = store_ref_of(f.s, name, other);
    CHECK_STR(got.image, "");
    CHECK_STR(got.manifest, "");
    CHECK_STR(got.index, "");
    got = store_ref_of(f.s, NULL, one);
    CHECK_STR(got.image, "");
    CHECK_OK(store_ref_get(f.s, name, &got));
    CHECK_STR(got.image, one);
    CHECK_STR(got.index, digest);
    fixture_close(&f);
}

static void test_refs(void) {
    static const char *const good[] = {"docker.io/library/alpine:3.20", "localhost:5000/a/b/c:Tag_1.2-x",
                                       "[::1]:5000/x:y", "z.io/a-b:1", "z.io/a/b:1"};
    static const char *const bad[] = {"",         "a+b/c:1", "/a:1",  "a//b:1", "a/:1",
                                      "a/../b:1", "a/.b:1",  "a b:1", "a/b/",   "a/b\n:1"};
    struct fixture f;
    char id[65], top[72];
    struct store_ref got;
    autostrmap struct strmap refs = {0};
    fixture_open(&f);
    put_image(f.s, "one", id, top);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CHECK_OK(store_ref_set(f.s, good[i], id));
        CHECK_OK(store_ref_get(f.s, good[i], &got));
        CHECK_STR(got.image, id);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(store_ref_set(f.s, bad[i], id), ERR_USAGE);
    autofree char *longest = mem_printf("a.io/%0250d", 1), *longer = mem_printf("a.io/%0251d", 1);
    CHECK_OK(store_ref_set(f.s, longest, id));
    CHECK_ERR(store_ref_set(f.s, longer, id), ERR_USAGE);
    CHECK_OK(store_ref_remove(f.s, longest));
    CHECK_ERR(store_ref_remove(f.s, longest), ERR_NOT_FOUND);
    CHECK_ERR(store_ref_get(f.s, longest, &got), ERR_NOT_FOUND);
    char none[65];
    id_random(none);
    CHECK_ERR(store_ref_set(f.s, good[0], none), ERR_NOT_FOUND);
    CHECK_OK(io_write_file(store_dirfd(f.s, "refs"), "x.io+y:1", "nonsense", 8, 0600, 0)); /* skipped, with a warning */
    CHECK_OK(store_refs(f.s, &refs));
    CHECK_INT((long long)refs.n, (long long)ARRAY_LEN(good));
    for (size_t i = 1; i < refs.n; i++)
        CHECK(strcmp(refs.e[i - 1].key, refs.e[i].key) < 0);
    CHECK_OK(store_image_remove(f.s, id));
    strmap_done(&refs);
    refs = (struct strmap){0};
    CHECK_OK(store_refs(f.s, &refs));
    CHECK_INT((long long)refs.n, 0);
    fixture_close(&f);
}

/* What a maker leaves who is killed between the names and the record, and what the next one makes of it. */
static void test_names_of_new_images(void) {
    struct fixture f;
    char id[65], other[65], top[72];
    struct store_ref got;
    bool changed = false, skipped = true;
    int64_t bytes = 0;
    struct store_image *img = NULL;
    autostrmap struct strmap refs = {0};
    autostrv struct strv names = {0};
    fixture_open(&f);
    int images = store_dirfd(f.s, "images"), written = store_dirfd(f.s, "refs");
    put_image(f.s, "one", id, top);
    put_image(f.s, "two", other, top);
    strv_push(&names, "a.io/new:1");
    strv_push(&names, "a.io/moved:1");
    CHECK_OK(store_ref_set(f.s, names.v[1], other));
    CHECK_OK(store_image_get(f.s, id, &img));
    autofree char *file = mem_printf("%s.json", id);
    CHECK_OK(store_ref_set(f.s, names.v[0], id));
    CHECK(unlinkat(images, file, 0) == 0);
    CHECK_ERR(store_ref_get(f.s, names.v[0], &got), ERR_NOT_FOUND);
    CHECK_OK(store_refs(f.s, &refs));
    CHECK(refs.n == 1 && strcmp(refs.e[0].value, other) == 0);
    CHECK_OK(store_sweep(f.s, false, &skipped, &bytes));
    CHECK(!skipped && faccessat(written, "a.io+new:1", F_OK, 0) < 0 &&
          faccessat(written, "a.io+moved:1", F_OK, 0) == 0);
    /* An image whose record is refused brings no name into view; one whose record is written brings all of them. */
    CHECK_ERR(store_image_put_named(f.s, img, &names, &changed), ERR_NOT_FOUND);
    CHECK_ERR(store_ref_get(f.s, names.v[0], &got), ERR_NOT_FOUND);
    store_image_free(img);
    put_image(f.s, "one", id, top);
    CHECK_OK(store_image_get(f.s, id, &img));
    CHECK(unlinkat(images, file, 0) == 0);
    CHECK_OK(store_image_put_named(f.s, img, &names, &changed));
    CHECK(changed);
    for (size_t i = 0; i < names.n; i++) {
        CHECK_OK(store_ref_get(f.s, names.v[i], &got));
        CHECK_STR(got.image, id);
    }
    CHECK_OK(store_image_put_named(f.s, img, &names, &changed));
    CHECK(!changed);
    store_image_free(img);
    fixture_close(&f);
}

static void test_containers(void) {
    struct fixture f;
    char a[65], b[65], got[65];
    autojson j = NULL;
    int64_t size = -1;
    int dir = -1;
    fixture_open(&f);
    CHECK_OK(make_container(f.s, "web", NULL, NULL, a));
    struct err *e = make_container(f.s, "web", NULL, NULL, b);
    autostr struct str text = STR_INIT;
    if (e)
        err_format(e, &text);
    CHECK(e && err_kind(e) == ERR_CONFLICT);
    err_free(e);
    autofree char *want =
        mem_printf("Conflict. The container name \"/web\" is already in use by container \"%s\". You have to remove "
                   "(or rename) that container to be able to reuse that name.",
                   a);
    CHECK_STR(str_c(&text), want);
    CHECK(!store_has_debris(f.s));
    CHECK_ERR(make_container(f.s, "../x", NULL, NULL, b), ERR_USAGE);
    CHECK_OK(make_container(f.s, "db", NULL, NULL, b));
    CHECK_OK(store_container_find(f.s, "web", got));
    CHECK_STR(got, a);
    CHECK_OK(store_container_find(f.s, "/web", got));
    CHECK_OK(store_container_find(f.s, b, got));
    CHECK_STR(got, b);
    CHECK_ERR(store_container_find(f.s, "nope", got), ERR_NOT_FOUND);
    CHECK_ERR(store_container_find(f.s, "../containers", got), ERR_NOT_FOUND);
    CHECK_ERR(store_container_find(f.s, "", got), ERR_NOT_FOUND);
    CHECK_OK(store_container_read(f.s, a, "state.json", &j));
    CHECK_STR(json_str_value(json_get(j, "Status")), "created");
    CHECK_OK(store_container_open(f.s, a, &dir));
    CHECK_OK(io_write_file(dir, "upper/file", "12345", 5, 0600, 0));
    CHECK(linkat(dir, "upper/file", dir, "upper/link", 0) == 0);
    CHECK_OK(store_container_size(f.s, a, &size));
    CHECK_INT(size, 5);
    fd_close(dir);
    CHECK_OK(store_container_rename(f.s, a, "front"));
    CHECK_ERR(store_container_rename(f.s, a, "db"), ERR_CONFLICT);
    CHECK_ERR(store_container_find(f.s, "web", got), ERR_NOT_FOUND);
    CHECK_OK(store_container_find(f.s, "front", got));
    CHECK_STR(got, a);
    CHECK_OK(store_container_sync(f.s, a));
    CHECK_OK(store_container_remove(f.s, a));
    CHECK_ERR(store_container_remove(f.s, a), ERR_NOT_FOUND);
    CHECK_ERR(store_container_find(f.s, "front", got), ERR_NOT_FOUND);
    CHECK(store_has_debris(f.s));
    CHECK_OK(make_container(f.s, "front", NULL, NULL, a));
    fixture_close(&f);
}

/* Durable, with a name that the summary does not have yet, and with an id or name that is taken. */
static void test_container_durable(void) {
    struct fixture f;
    char got[65], id[65], id2[65];
    autojson empty = json_object();
    autojson back = NULL;
    fixture_open(&f);
    id_random(id);
    id_random(id2);
    struct store_container_new c = {.id = id, .name = "solid", .config = empty, .summary = empty, .durable = true};
    CHECK_OK(store_container_create(f.s, &c, NULL, NULL));
    CHECK_OK(store_container_find(f.s, "solid", got));
    CHECK_STR(got, id);
    CHECK_OK(store_container_read(f.s, id, "container.json", &back));
    CHECK_STR(json_str_value(json_get(back, "Name")), "solid");
    c.name = "other";
    CHECK_ERR(store_container_create(f.s, &c, NULL, NULL), ERR_CONFLICT);
    CHECK_ERR(store_container_find(f.s, "other", got), ERR_NOT_FOUND);
    c.id = id2;
    CHECK_OK(store_container_create(f.s, &c, NULL, NULL));
    CHECK(!store_has_debris(f.s));
    c.id = "../../etc";
    CHECK_ERR(store_container_create(f.s, &c, NULL, NULL), ERR_USAGE);
    CHECK_ERR(store_container_read(f.s, "../../etc", "passwd", &back), ERR_NOT_FOUND);
    CHECK_ERR(store_container_read(f.s, id, "../version", &back), ERR_USAGE);
    fixture_close(&f);
}

static void test_container_prefix(void) {
    struct fixture f;
    char id[65], got[65], prefix[65];
    fixture_open(&f);
    for (int i = 0; i < 40; i++) {
        autofree char *name = mem_printf("c%d", i);
        CHECK_OK(make_container(f.s, name, NULL, NULL, id));
    }
    memcpy(prefix, id, sizeof prefix);
    prefix[20] = '\0';
    CHECK_OK(store_container_find(f.s, prefix, got));
    CHECK_STR(got, id);
    bool ambiguous = false; /* 40 ids share 16 first digits */
    for (const char *d = "0123456789abcdef"; *d; d++) {
        const char one[2] = {*d, '\0'};
        autoerr e = store_container_find(f.s, one, got);
        ambiguous = ambiguous || (e && err_kind(e) == ERR_CONFLICT);
    }
    CHECK(ambiguous);
    fixture_close(&f);
}

/* What a kill may leave in names/ gives way; what is being made does not. */
static void test_stale_names(void) {
    struct fixture f;
    char dead[65], making[65], a[65], b[65], got[65];
    fixture_open(&f);
    int names = store_dirfd(f.s, "names"), tmp = store_dirfd(f.s, "tmp");
    id_random(dead);
    id_random(making);
    CHECK(symlinkat(dead, names, "stale") == 0 && symlinkat(making, names, "making") == 0);
    CHECK(symlinkat("nonsense", names, "odd") == 0);
    CHECK(mkdirat(tmp, making, 0700) == 0);
    int fd = openat(tmp, making, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(flock(fd, LOCK_EX) == 0);
    CHECK_ERR(store_container_find(f.s, "stale", got), ERR_NOT_FOUND);
    CHECK_OK(make_container(f.s, "stale", NULL, NULL, a));
    CHECK_OK(make_container(f.s, "odd", NULL, NULL, b));
    CHECK_ERR(make_container(f.s, "making", NULL, NULL, b), ERR_CONFLICT);
    fd_close(fd);
    CHECK_OK(make_container(f.s, "making", NULL, NULL, b));
    /* A rename that was killed after its first step. */
    CHECK(symlinkat(a, names, "halfway") == 0);
    CHECK_OK(make_container(f.s, "halfway", NULL, NULL, b));
    CHECK_OK(store_container_find(f.s, "halfway", got));
    CHECK_STR(got, b);
    CHECK_OK(store_container_find(f.s, "stale", got));
    CHECK_STR(got, a);
    fixture_close(&f);
}

static void test_container_lock(void) {
    struct fixture f;
    char id[65];
    bool running = true;
    int lock = -1, again = -1, hold[2];
    fixture_open(&f);
    CHECK_OK(make_container(f.s, "web", NULL, NULL, id));
    CHECK_OK(store_container_running(f.s, id, &running));
    CHECK(!running);
    CHECK_OK(store_container_lock(f.s, id, false, &lock));
    CHECK_OK(fd_pipe(0, hold));
    pid_t pid = fork(); /* the monitor */
    if (pid == 0) {
        char c;
        fd_close(hold[1]);
        _exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
    }
    fd_close(lock); /* the monitor keeps the lock */
    fd_close(hold[0]);
    CHECK_OK(store_container_running(f.s, id, &running));
    CHECK(running);
    CHECK_ERR(store_container_lock(f.s, id, false, &again), ERR_IN_USE);
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK_OK(store_container_running(f.s, id, &running));
    CHECK(!running);
    CHECK_OK(store_container_lock(f.s, id, true, &again));
    fd_close(again);
    fd_close(hold[1]);
    char none[65];
    id_random(none);
    CHECK_ERR(store_container_running(f.s, none, &running), ERR_NOT_FOUND);
    CHECK_ERR(store_container_lock(f.s, none, false, &again), ERR_NOT_FOUND);
    fixture_close(&f);
}

static void test_sweep(void) {
    struct fixture f;
    char keep[65], drop[65], used[65], top_keep[72], top_drop[72], top_used[72], loose[72], diff[72], chain[72], id[65];
    bool skipped = true;
    int64_t bytes = 0;
    int hold = -1;
    fixture_open(&f);
    put_image(f.s, "keep", keep, top_keep);
    put_image(f.s, "drop", drop, top_drop);
    put_image(f.s, "used", used, top_used);
    put_blob(f.s, "loose", loose);
    close(put_layer(f.s, NULL, "loose layer", diff, chain));
    CHECK_OK(make_container(f.s, "cc", used, top_used, id));
    CHECK_OK(store_image_remove(f.s, drop));
    CHECK_OK(store_image_remove(f.s, used));
    CHECK_OK(store_hold(f.s, &hold));
    CHECK_OK(store_sweep(f.s, false, &skipped, &bytes));
    CHECK(skipped && store_blob_has(f.s, loose));
    fd_close(hold);
    /* A damaged container keeps everything. */
    int dir = -1;
    CHECK_OK(store_container_open(f.s, id, &dir));
    CHECK(renameat(dir, "container.json", dir, "good") == 0);
    CHECK_OK(store_sweep(f.s, false, &skipped, &bytes));
    CHECK(skipped && store_blob_has(f.s, loose) && store_layer_has(f.s, top_drop));
    CHECK(renameat(dir, "good", dir, "container.json") == 0);
    fd_close(dir);
    CHECK_OK(store_sweep(f.s, false, &skipped, &bytes));
    CHECK(!skipped && bytes > 0);
    CHECK(store_layer_has(f.s, top_keep) && store_layer_has(f.s, top_used));
    CHECK(!store_layer_has(f.s, top_drop) && !store_layer_has(f.s, chain) && !store_blob_has(f.s, loose));
    autofree char *config = mem_printf("sha256:%s", used), *gone = mem_printf("sha256:%s", drop);
    CHECK(store_blob_has(f.s, config) && !store_blob_has(f.s, gone));
    CHECK(!store_has_debris(f.s));
    struct store_image *img = NULL;
    CHECK_OK(store_image_get(f.s, keep, &img));
    CHECK(store_blob_has(f.s, img->manifest) && store_blob_has(f.s, img->layers[0].blob));
    CHECK_OK(store_image_put(f.s, img));
    store_image_free(img);
    CHECK_ERR(make_container(f.s, "dd", drop, top_drop, id), ERR_NOT_FOUND);
    fixture_close(&f);
}

UNIT_MAIN({"open", test_open}, {"open refuses other directories", test_open_refuses_other_directories},
          {"tmp", test_tmp}, {"blobs", test_blobs}, {"partial", test_partial}, {"chain id", test_chain_id},
          {"images", test_images}, {"refs", test_refs}, {"moved ref", test_moved_ref},
          {"names of new images", test_names_of_new_images}, {"containers", test_containers},
          {"container durable", test_container_durable}, {"container prefix", test_container_prefix},
          {"stale names", test_stale_names}, {"container lock", test_container_lock}, {"sweep", test_sweep})
