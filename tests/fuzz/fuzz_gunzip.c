/*
 * fuzz_gunzip: the input is a compressed log, the first byte says in what pieces it is asked for. What is read of it is
 * what zlib's own reader makes of the same file; and the input, compressed, reads back as itself.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/gzip.h"
#include "base/io.h"
#include "base/mem.h"
#include "require_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20 /* of text: a small file may hold a thousand times as much */ };

static int file_of(const uint8_t *data, size_t size) {
    int fd = memfd_create("log.gz", MFD_CLOEXEC);
    require(fd >= 0);
    autoerr e = io_write_all(fd, data, size);
    require(!e && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* Reads up to MOST bytes, `step` at a time; false when the file is said to be damaged. */
static bool read_ours(int fd, size_t step, char *to, size_t *ret_len) {
    struct gunzip *g;
    autoerr e = gunzip_new(fd, &g);
    require(!e);
    *ret_len = 0;
    for (size_t n = 1; !e && n && *ret_len + step <= MOST; *ret_len += n) {
        e = gunzip_read(g, to + *ret_len, step, &n);
        require(e || n <= step);
        if (e)
            break;
    }
    gunzip_free(g);
    return !e;
}

static void compare_with_zlib(const uint8_t *data, size_t size, const char *text, size_t len) {
    gzFile f = gzdopen(file_of(data, size), "rb");
    require(f);
    autofree char *theirs = mem_alloc(len + 1);
    require(gzread(f, theirs, (unsigned)len) == (int)len && memcmp(text, theirs, len) == 0);
    gzclose(f);
}

static void there_and_back(const uint8_t *data, size_t size, size_t step, char *to) {
    autofd int plain = file_of(data, size), packed = file_of(data, 0);
    size_t len;
    autoerr e = gzip_file(plain, packed);
    require(!e && lseek(packed, 0, SEEK_SET) == 0);
    require(read_ours(packed, step, to, &len) && len == size && (!len || memcmp(to, data, len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t step = (size_t)1 << data[0] % 17, len;
    data++, size--;
    autofree char *text = mem_alloc(MOST);
    autofd int fd = file_of(data, size);
    bool gzip = data[0] == 0x1f && size > 1 && data[1] == 0x8b; /* anything else zlib's reader passes on as it is */
    if (read_ours(fd, step, text, &len) && gzip)
        compare_with_zlib(data, size, text, len);
    there_and_back(data, size, step, text);
    return 0;
}
