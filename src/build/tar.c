/* tar: see tar_int.h. */
#include "build/tar_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/id.h"
#include "base/io.h"
#include "base/str.h"

enum { BLOCK = 512 };

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6], version[2];
    char uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

static struct err *flush(struct tar *t) {
    struct err *e = NULL;
    if (t->digest)
        digest_update(t->digest, t->buf, t->n);
    else
        e = io_write_all(t->fd, t->buf, t->n);
    t->n = 0;
    return e;
}

struct err *tar_bytes(struct tar *t, const void *data, size_t n) {
    for (const char *p = data; n > 0;) {
        size_t room = sizeof t->buf - t->n, part = n < room ? n : room;
        memcpy(t->buf + t->n, p, part);
        t->n += part;
        p += part;
        n -= part;
        if (t->n == sizeof t->buf)
            TRY(flush(t));
    }
    return NULL;
}

struct err *tar_pad(struct tar *t, int64_t size) {
    static const char zeros[BLOCK];
    return tar_bytes(t, zeros, (size_t)((BLOCK - size % BLOCK) % BLOCK));
}

/* An octal number with a NUL behind it, 0 where it does not fit (PAX has it then). */
static void octal(char *field, size_t n, uint64_t v) {
    if (v >> (3 * (n - 1)))
        v = 0;
    for (field[n - 1] = 0; n-- > 1; v >>= 3)
        field[n - 1] = (char)('0' + (v & 7));
}

static struct err *write_header(struct tar *t, struct header *h) {
    unsigned sum = 0;
    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->sum, ' ', sizeof h->sum);
    for (size_t i = 0; i < sizeof *h; i++)
        sum += ((const unsigned char *)h)[i];
    octal(h->sum, 7, sum);
    return tar_bytes(t, h, sizeof *h);
}

/* One record: its own length, in digits that count themselves, the key and the value. */
static void pax(struct str *out, const char *key, const char *value) {
    size_t rest = strlen(key) + strlen(value) + 3, n = rest + 1;
    for (size_t d = 10; n >= d; d *= 10)
        n++;
    if (rest + (size_t)snprintf(NULL, 0, "%zu", n) != n)
        n = rest + (size_t)snprintf(NULL, 0, "%zu", n);
    str_appendf(out, "%zu %s=%s\n", n, key, value);
}

static void pax_number(struct str *out, const char *key, uint64_t v, unsigned bits) {
    char text[24];
    if (!(v >> bits))
        return;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    pax(out, key, text);
}

static struct err *extended(struct tar *t, const char *name, const struct stat *st, const char *link) {
    autostr struct str records = STR_INIT;
    struct header h = {.type = 'x'};
    if (strlen(name) > sizeof h.name)
        pax(&records, "path", name);
    if (link && strlen(link) > sizeof h.link)
        pax(&records, "linkpath", link);
    pax_number(&records, "size", S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0, 33);
    pax_number(&records, "uid", st->st_uid, 21);
    pax_number(&records, "gid", st->st_gid, 21);
    if (st->st_mtim.tv_nsec || st->st_mtim.tv_sec < 0) {
        char time[48];
        (void)snprintf(time, sizeof time, "%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
        pax(&records, "mtime", time);
    }
    if (!records.len)
        return NULL;
    memcpy(h.name, "pax", 3);
    octal(h.mode, sizeof h.mode, 0644);
    octal(h.uid, sizeof h.uid, 0);
    octal(h.gid, sizeof h.gid, 0);
    octal(h.mtime, sizeof h.mtime, 0);
    octal(h.size, sizeof h.size, records.len);
    TRY(write_header(t, &h));
    TRY(tar_bytes(t, records.ptr, records.len));
    return tar_pad(t, (int64_t)records.len);
}

static char type_of(const struct stat *st, const char *link) {
    if (S_ISLNK(st->st_mode))
        return '2';
    if (S_ISDIR(st->st_mode))
        return '5';
    if (link)
        return '1';
    return S_ISFIFO(st->st_mode) ? '6' : '0';
}

struct err *tar_header(struct tar *t, const char *name, const struct stat *st, const char *link) {
    struct header h = {.type = type_of(st, link)};
    bool content = h.type == '0';
    struct stat shown = *st;
    if (!content)
        shown.st_size = 0;
    TRY(extended(t, name, &shown, link));
    memcpy(h.name, name, strnlen(name, sizeof h.name));
    if (link)
        memcpy(h.link, link, strnlen(link, sizeof h.link));
    octal(h.mode, sizeof h.mode, st->st_mode & 07777);
    octal(h.uid, sizeof h.uid, st->st_uid);
    octal(h.gid, sizeof h.gid, st->st_gid);
    octal(h.size, sizeof h.size, (uint64_t)shown.st_size);
    octal(h.mtime, sizeof h.mtime, st->st_mtim.tv_sec < 0 ? 0 : (uint64_t)st->st_mtim.tv_sec);
    return write_header(t, &h);
}

struct err *tar_content(struct tar *t, int fd, int64_t size) {
    for (int64_t left = size; left > 0;) {
        size_t room = sizeof t->buf - t->n, want = (uint64_t)left < room ? (size_t)left : room;
        ssize_t n = read(fd, t->buf + t->n, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "read");
        if (n == 0)
            return err_new(ERR_CORRUPT, "the file became shorter while it was read");
        t->n += (size_t)n;
        left -= n;
        if (t->n == sizeof t->buf)
            TRY(flush(t));
    }
    return tar_pad(t, size);
}

struct err *tar_end(struct tar *t) {
    static const char zeros[2 * BLOCK];
    TRY(tar_bytes(t, zeros, sizeof zeros));
    return flush(t);
}
