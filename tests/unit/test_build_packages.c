/* What package managers say is installed, as an SBOM has it. */
#include "base/mem.h"
#include "build/packages_int.h"
#include "unit.h"

static char *listed(struct packages *p) {
    autostr struct str out = STR_INIT;
    packages_sort(p);
    for (size_t i = 0; i < p->n; i++)
        str_appendf(&out, "%s %s %s %s %s|", p->v[i].type, p->v[i].name, p->v[i].version, p->v[i].arch,
                    p->v[i].license);
    packages_done(p);
    return str_take(&out);
}

static void test_dpkg(void) {
    static const char *const cases[][2] = {
        {"", ""},
        {"\n\n\n", ""},
        {"Package: a\nVersion: 1\nArchitecture: all\n", "deb a 1 all |"},
        {"Package: b\r\nStatus: install ok installed\r\nVersion:2\r\n\nPackage: a\nVersion: 1", "deb a 1  |deb b 2  |"},
        {"Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: b\n", "deb b   |"},
        {"Package: a\nStatus: install ok half-installed\n", ""},
        {"Version: 1\nArchitecture: all\n", ""},
        {"Package: \n", ""},
        {"Package: a\nPackage: b\n", "deb a   |"},
        {"Package: a\nDescription: x\n Package: b\n Version: 9\n", "deb a   |"},
        {"Package: a\tb\x01\xff\n\nPackage: a\tb\x01\xff\n", "deb a?b??   |"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct packages p = {.n = 0};
        packages_of_dpkg(cases[i][0], &p);
        autofree char *got = listed(&p);
        CHECK_STR(got, cases[i][1]);
    }
}

static void test_apk(void) {
    struct packages p = {.n = 0};
    packages_of_apk("C:Q1\nP:musl\nV:1.2\nA:x86_64\nL:MIT\nF:lib\nR:P:no\n\nP:zlib\nV:1\n", &p);
    packages_of_dpkg("Package: a\n", &p);
    CHECK_INT(p.n, 3);
    autofree char *got = listed(&p);
    CHECK_STR(got, "apk musl 1.2 x86_64 MIT|apk zlib 1  |deb a   |");
}

UNIT_MAIN({"dpkg", test_dpkg}, {"apk", test_apk})
