/* lognames: see lognames_int.h. */
#include "monitor/lognames_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

void logname(int64_t number, bool packed, char ret[LOG_NAME_SIZE]) {
    snprintf(ret, LOG_NAME_SIZE, LOG_NAME ".%lld%s", (long long)number, packed ? ".gz" : "");
}

void logname_remove(int dirfd, int64_t number) {
    char name[LOG_NAME_SIZE];
    /* In this order: who compresses it takes its file back when the first name has gone (logpack.c). */
    for (int packed = 0; packed < 2; packed++) {
        logname(number, packed, name);
        unlinkat(dirfd, name, 0);
    }
}

/* The number in a rotated file's name; 0 for another name. */
static int64_t number_of(const char *name) {
    int64_t n;
    if (!str_starts(name, LOG_NAME "."))
        return 0;
    const char *digits = name + strlen(LOG_NAME ".");
    size_t len = strspn(digits, "0123456789");
    if (digits[len] && strcmp(digits + len, ".gz") != 0)
        return 0;
    autofree char *text = mem_dupn(digits, len);
    return str_to_i64(text, 1, INT64_MAX - 1, &n) ? n : 0;
}

static struct err *widen(void *ctx, const char *name, unsigned char type) {
    (void)type;
    struct logrange *r = ctx;
    int64_t n = number_of(name);
    if (n && (n < r->oldest || r->newest < r->oldest))
        r->oldest = n;
    if (n > r->newest)
        r->newest = n;
    return NULL;
}

static bool is_there(int dirfd, int64_t number) {
    char name[LOG_NAME_SIZE];
    struct stat st;
    for (int packed = 0; packed < 2; packed++) {
        logname(number, packed, name);
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

/*
 * While files change their names a directory may be read without meeting either name of one. A gap in the middle does
 * not matter; at the ends it is looked for by name, and where nothing was found at all the directory is read again.
 */
struct err *logrange_find(int dirfd, struct logrange *ret) {
    struct logrange r = {.oldest = 1};
    for (int look = 0; look < 2 && r.newest < r.oldest; look++)
        TRY(io_each_entry(dirfd, widen, &r));
    if (r.newest >= r.oldest) {
        while (is_there(dirfd, r.newest + 1))
            r.newest++;
        while (r.oldest > 1 && is_there(dirfd, r.oldest - 1))
            r.oldest--;
    }
    *ret = r;
    return NULL;
}
