/*
 * The tar that `load` is given, on its way into files that are named by their digests. The first byte chooses how it
 * comes: even, as it is, its headers' checksums put right so that mutations get past them; odd, compressed or not.
 * Whatever it holds, every member that is told has a clean name and, when it is a file, one of that digest and size;
 * nothing else lies in the directory, and nothing beside it.
 */
#include "storage/unpack/archive.c"
#include "storage/unpack/inflate.c"
#include "storage/unpack/ring.c"
#include "storage/unpack/source.c"
#include "storage/unpack/tree.c"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/path.h"
#include "base/sys/sys.h"
#include "require_fixture.h"
#include "tests/fuzz/tar_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (64 << 20)

static int dir = -1;

void extract_prepare(void) {}
struct err *sandbox_confine(enum sandbox_kind kind, int take_dirfd, int *ret_root) {
    (void)kind, (void)take_dirfd, (void)ret_root;
    return NULL;
}
struct err *sandbox_filter(void) {
    return NULL;
}
struct err *op_send_ok(struct op *op, struct json *take_result) {
    (void)op;
    json_free(take_result);
    return NULL;
}

/* Who hears of a member: every file is there as it is said to be. */
struct err *msg_send(struct msg_chan *c, const struct json *m, const int *fds, size_t n) {
    (void)c, (void)fds, (void)n;
    const char *name = json_text(m, "member"), *digest = json_str_value(json_get(m, "digest"));
    autofree char *clean = path_clean(name);
    require(!*name || (str_eq(clean, name) && *name != '/' && !str_starts(name, "../")));
    if (!digest)
        return NULL;
    struct stat st;
    require(digest_ok(digest) && fstatat(dir, digest_hex(digest), &st, AT_SYMLINK_NOFOLLOW) == 0);
    require(S_ISREG(st.st_mode) && st.st_size == json_int_value(json_get(m, "size"), -1));
    return NULL;
}

static void make_scratch(void) {
    char path[] = "/dev/shm/fuzz-archive-XXXXXX";
    const struct rlimit r = {.rlim_cur = FILE_MAX, .rlim_max = FILE_MAX};
    setrlimit(RLIMIT_FSIZE, &r);
    signal(SIGXFSZ, SIG_IGN);
    require(mkdtemp(path) && (dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
}

static struct err *remove_entry(void *ctx, const char *name, unsigned char d_type) {
    (void)ctx, (void)d_type;
    require((path_is_hex64(name) || str_eq(name, INCOMING)) && unlinkat(dir, name, 0) == 0);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (dir < 0)
        make_scratch();
    if (size < 1)
        return 0;
    uint8_t *tar = mem_resize(NULL, size, 1);
    memcpy(tar, data + 1, size - 1);
    if (!(data[0] & 1))
        tar_repair_checksums(tar, size - 1);
    autofd int fd = sys_memfd("tar", 0);
    struct source source = {.fd = fd, .bell_fd = -1, .copy_fd = -1};
    struct op op = {.n_fds = 0};
    struct reader r = {.op = &op, .dir = dir, .archive = archive_read_new(), .buf = mem_resize(NULL, SOURCE_CHUNK, 1)};
    struct err *e = io_write_all(fd, tar, size - 1);
    require(!e && lseek(fd, 0, SEEK_SET) == 0 && r.archive);
    e = inflate_new(&source, &r.inflate);
    if (!e)
        e = all_members(&r);
    err_free(e);
    archive_read_free(r.archive);
    inflate_free(r.inflate);
    err_free(r.feed_err);
    source_done(&source);
    free(r.buf);
    free(tar);
    autoerr bad = io_each_entry(dir, remove_entry, NULL);
    require(!bad);
    return 0;
}
