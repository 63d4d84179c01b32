/* archive: tar archives by coracle-unpack: reading them member by member, and writing them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "storage/archive.h"
#include "storage/store_int.h"
#include "storage/unpack_int.h"

#define MEMBERS_MAX 100000
#define LINKS_MAX 16
#define INCOMING "incoming" /* no digest, so no member's name */

/* ---- reading ---- */

/* A name relative to the archive's root, without "." and "..". */
static char *clean_name(const char *dir, const char *name) {
    autofree char *full = name[0] == '/' ? mem_dup(name) : mem_printf("/%s/%s", dir, name);
    autofree char *clean = path_clean(full);
    return mem_dup(clean + 1);
}

static struct err *add_member(struct store_archive *a, size_t *cap, const struct json *m) {
    const char *name, *hard, *soft, *digest;
    struct store_member member = {.size = 0};
    TRY(json_get_str(m, "member", &name));
    TRY(json_get_str_opt(m, "hardlink", NULL, &hard));
    TRY(json_get_str_opt(m, "symlink", NULL, &soft));
    if (!hard && !soft) {
        TRY(json_get_str(m, "digest", &digest));
        TRY(json_get_i64(m, "size", &member.size));
        if (!digest_ok(digest))
            return err_new(ERR_CORRUPT, "\"%s\" has no proper digest", name);
        memcpy(member.digest, digest, DIGEST_LEN + 1);
    }
    if (a->n == MEMBERS_MAX)
        return err_new(ERR_CORRUPT, "the archive has more than %d members", MEMBERS_MAX);
    if (a->n == *cap) {
        *cap = *cap ? 2 * *cap : 64;
        a->m = mem_resize(a->m, *cap, sizeof *a->m);
    }
    member.name = clean_name("", name);
    if (hard) {
        member.link = clean_name("", hard);
    } else if (soft) {
        autofree char *dir = mem_dupn(member.name, (size_t)(path_base(member.name) - member.name));
        member.link = clean_name(dir, soft);
    }
    a->m[a->n++] = member;
    return NULL;
}

static struct err *read_members(struct unpack *u, struct store_archive *a) {
    for (size_t cap = 0;;) {
        autojson m = NULL;
        TRY(unpack_recv(u, &m));
        if (json_get(m, "ok"))
            return NULL;
        TRY(add_member(a, &cap, m));
    }
}

/* ---- reading a directory: an OCI layout, or skopeo's ---- */

struct listing {
    struct store_archive *a;
    size_t cap;
    int dir;
    const char *prefix; /* of the members' names */
};

static struct err *copy_member(struct listing *l, int from, const char *name) {
    char digest[DIGEST_LEN + 1];
    long long size = 0;
    autofd int to = -1;
    TRY(fd_open_at(l->a->tmp_fd, INCOMING, O_RDWR | O_CREAT | O_TRUNC, 0600, &to));
    TRY(io_copy(from, to, UINT64_MAX, NULL));
    if (lseek(to, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind %s", name);
    TRY(digest_of_fd(to, digest, &size));
    if (renameat(l->a->tmp_fd, INCOMING, l->a->tmp_fd, digest_hex(digest)) < 0)
        return err_sys(errno, "rename %s", name);
    autojson m = json_object();
    autofree char *member = mem_printf("%s%s", l->prefix, name);
    json_set_str(m, "member", member);
    json_set_str(m, "digest", digest);
    json_set_int(m, "size", size);
    return add_member(l->a, &l->cap, m);
}

static struct err *list_file(void *ctx, const char *name, unsigned char d_type) {
    struct listing *l = ctx;
    struct stat st;
    if (d_type == DT_DIR)
        return NULL;
    autofd int fd = -1;
    TRY(fd_open_at(l->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd));
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", name);
    return S_ISREG(st.st_mode) ? copy_member(l, fd, name) : NULL;
}

static struct err *read_directory(struct store *s, int fd, struct store_archive *a) {
    struct listing l = {.a = a, .dir = fd, .prefix = ""};
    autofd int blobs = -1;
    TRY(store_tmp_new(s, &a->tmp, &a->tmp_fd));
    TRY(io_each_entry(fd, list_file, &l));
    struct err *none = fd_open_at(fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &blobs);
    if (none) {
        err_free(none);
        return NULL;
    }
    l.dir = blobs;
    l.prefix = "blobs/sha256/";
    return io_each_entry(blobs, list_file, &l);
}

/* ---- */

static struct err *read_archive(struct store *s, int fd, struct unpack *u, struct store_archive *a) {
    TRY(store_tmp_new(s, &a->tmp, &a->tmp_fd));
    TRY(unpack_start(s, -1, u));
    autojson order = json_object();
    json_set_str(order, "op", "archive");
    const int fds[] = {fd, a->tmp_fd};
    TRY(msg_send(u->chan, order, fds, ARRAY_LEN(fds)));
    return read_members(u, a);
}

struct err *store_archive_read(struct store *s, int fd, struct store_archive **ret) {
    struct store_archive *a = mem_alloc(sizeof *a);
    struct unpack u = {.pid = -1, .pidfd = -1};
    struct stat st;
    a->tmp_fd = -1;
    bool dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    struct err *e = dir ? read_directory(s, fd, a) : read_archive(s, fd, &u, a);
    unpack_stop(&u);
    if (e) {
        store_archive_free(s, a);
        return e;
    }
    *ret = a;
    return NULL;
}

const struct store_member *store_archive_find(const struct store_archive *a, const char *name) {
    autofree char *wanted = clean_name("", name);
    for (int links = 0; links < LINKS_MAX; links++) {
        const struct store_member *m = NULL;
        for (size_t i = a->n; i > 0 && !m; i--) /* the last one wins, as in every tar */
            if (str_eq(a->m[i - 1].name, wanted))
                m = &a->m[i - 1];
        if (!m || !m->link)
            return m;
        mem_set(&wanted, m->link);
    }
    return NULL;
}

void store_archive_free(struct store *s, struct store_archive *a) {
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        free(a->m[i].name);
        free(a->m[i].link);
    }
    free(a->m);
    if (a->tmp)
        err_free(store_tmp_remove(s, a->tmp)); /* what is left is debris */
    fd_close(a->tmp_fd);
    free(a->tmp);
    free(a);
}

/* ---- writing ---- */

static struct err *open_file(struct store *s, const struct store_tar_file *f, int *ret_fd, int64_t *ret_size) {
    if (f->blob)
        return store_blob_open(s, f->blob, ret_fd, ret_size);
    autofd int fd = sys_memfd("tar", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    TRY(io_write_all(fd, f->data, f->len));
    *ret_fd = take_fd(&fd);
    *ret_size = (int64_t)f->len;
    return NULL;
}

static struct err *send_file(struct store *s, struct unpack *u, const struct store_tar_file *f) {
    autofd int fd = -1;
    int64_t size = 0;
    TRY(open_file(s, f, &fd, &size));
    autojson m = json_object();
    json_set_str(m, "file", f->name);
    json_set_int(m, "size", size);
    return msg_send(u->chan, m, &fd, 1);
}

static struct err *send_files(struct store *s, struct unpack *u, const struct store_tar_file *files, size_t n) {
    for (size_t i = 0; i < n; i++)
        TRY(send_file(s, u, &files[i]));
    autojson end = json_object();
    json_set_bool(end, "end", true);
    return msg_send(u->chan, end, NULL, 0);
}

static struct err *write_archive(struct store *s, struct unpack *u, int out_fd, const struct store_tar_file *files,
                                 size_t n) {
    autojson done = NULL;
    autojson order = json_object();
    json_set_str(order, "op", "pack");
    TRY(msg_send(u->chan, order, &out_fd, 1));
    struct err *lost = send_files(s, u, files, n);
    if (lost && err_errno(lost) != EPIPE && err_errno(lost) != ECONNRESET)
        return lost;
    err_free(lost); /* it has ended, and its last message says why */
    return unpack_recv(u, &done);
}

struct err *store_archive_write(struct store *s, int out_fd, const struct store_tar_file *files, size_t n) {
    struct unpack u;
    TRY(unpack_start(s, -1, &u));
    struct err *e = write_archive(s, &u, out_fd, files, n);
    unpack_stop(&u);
    return e;
}
