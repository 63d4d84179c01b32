/* Ids, names, digests. */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"

static void test_random(void) {
    char a[ID_LEN + 1], b[ID_LEN + 1];
    id_random(a);
    id_random(b);
    CHECK(path_is_hex64(a) && path_is_hex64(b) && strcmp(a, b) != 0);
}

static void test_names(void) {
    for (int i = 0; i < 2000; i++) {
        autofree char *name = id_random_name(i % 2);
        CHECK(id_name_ok(name));
        size_t len = strlen(name);
        bool digit = name[len - 1] >= '0' && name[len - 1] <= '9';
        CHECK(digit == (i % 2 == 1));
        const char *under = strchr(name, '_');
        CHECK(under && !strchr(under + 1, '_') && under - name >= 3);
    }
    CHECK(id_name_ok("ab") && id_name_ok("0a") && id_name_ok("a_.-Z"));
    CHECK(!id_name_ok("") && !id_name_ok("a") && !id_name_ok("_a") && !id_name_ok("-a") && !id_name_ok(".a") &&
          !id_name_ok("a/b") && !id_name_ok("a b") && !id_name_ok("a\n") && !id_name_ok("\xc3\xa4x"));
}

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_digest(void) {
    char d[DIGEST_LEN + 1];
    CHECK_OK(digest_of("", 0, d));
    CHECK_STR(d, EMPTY);
    CHECK_OK(digest_of("abc", 3, d));
    CHECK_STR(d, ABC);
    CHECK(digest_ok(d));
    CHECK_INT(strlen(digest_hex(d)), 64);
    struct digest_ctx *c = NULL;
    CHECK_OK(digest_new(&c));
    digest_update(c, "a", 1);
    digest_update(c, "bc", 2);
    digest_final(c, d);
    CHECK_STR(d, ABC);
    CHECK_OK(digest_new(&c));
    digest_free(c);
    digest_free(NULL);
    autofd int fd = sys_memfd("x", 0);
    CHECK_INT(write(fd, "-abc", 4), 4);
    CHECK_INT(lseek(fd, 1, SEEK_SET), 1);
    long long size = 0;
    CHECK_OK(digest_of_fd(fd, d, &size));
    CHECK_STR(d, ABC);
    CHECK_INT(size, 3);
    CHECK(!digest_ok("") && !digest_ok("sha256:") && !digest_ok("sha512:abc") &&
          !digest_ok("sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD") &&
          !digest_ok(ABC "0") && !digest_ok("Sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

UNIT_MAIN({"random", test_random}, {"names", test_names}, {"digest", test_digest})
