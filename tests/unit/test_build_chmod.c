/* --chmod: octal and symbolic modes. */
#include "unit.h"

#include <sys/stat.h>

#include "build/chmod_int.h"

static const struct {
    const char *text;
    mode_t before, after; /* after 0: it is no mode */
} cases[] = {
    {"755", S_IFREG | 0644, S_IFREG | 0755},
    {"04711", S_IFREG | 0600, S_IFREG | 04711},
    {"0", S_IFREG | 0644, S_IFREG},
    {"u=rwX,go=rX", S_IFREG | 0600, S_IFREG | 0644},
    {"u=rwX,go=rX", S_IFREG | 0711, S_IFREG | 0755},
    {"u=rwX,go=rX", S_IFDIR | 0700, S_IFDIR | 0755},
    {"a+x", S_IFREG | 0644, S_IFREG | 0755},
    {"+x", S_IFREG | 0600, S_IFREG | 0711},
    {"go-rwx", S_IFREG | 0777, S_IFREG | 0700},
    {"g=u", S_IFREG | 0640, S_IFREG | 0660},
    {"o=g-w", S_IFREG | 0660, S_IFREG | 0664},
    {"u+s,g+s,+t", S_IFREG | 0755, S_IFREG | 07755},
    {"a=", S_IFREG | 07777, S_IFREG},
    {"=r", S_IFREG | 0777, S_IFREG | 0444},
    {"u+rw-x", S_IFREG | 0100, S_IFREG | 0600},
    {"", 0, 0},
    {"99", 0, 0},
    {"u", 0, 0},
    {"u+q", 0, 0},
    {"u+r,", 0, 0},
    {"10000", 0, 0},
    {"rwx", 0, 0},
};

static void test_modes(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chmod c;
        autoerr e = chmod_parse(cases[i].text, &c);
        CHECK_INT(e == NULL, cases[i].after != 0);
        if (!e)
            CHECK_INT(chmod_apply(&c, cases[i].before), cases[i].after);
    }
}

UNIT_MAIN({"modes", test_modes})
