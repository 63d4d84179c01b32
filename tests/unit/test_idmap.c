/* Maps of ids: the ones that have names, those that are typed, what is free, and what is not a map. */
#include "base/idmap.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "unit.h"

static char *text_of(const struct id_ranges *m) {
    struct str s = STR_INIT;
    idmap_text(m->r, m->n, &s);
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\n')
            s.ptr[i] = ',';
    return str_take(&s);
}

#define CHECK_MAP(m, want)                                                                                             \
    do {                                                                                                               \
        autofree char *text_ = text_of(m);                                                                             \
        CHECK_STR(text_, want);                                                                                        \
    } while (0)

static void test_keep(void) {
    struct id_ranges m;
    CHECK_OK(idmap_keep(2000, 65537, 0, &m));
    CHECK_MAP(&m, "0 1 2000,2000 0 1,2001 2001 63536,");
    CHECK_INT(idmap_total(m.r, m.n), 65537);
    CHECK_INT(idmap_end(m.r, m.n), 65537);
    CHECK_OK(idmap_keep(0, 10, 0, &m));
    CHECK_OK(idmap_settle(&m, 10));
    CHECK_MAP(&m, "0 0 10,");
    CHECK_OK(idmap_keep(9, 10, 0, &m)); /* the last one */
    CHECK_MAP(&m, "0 1 9,9 0 1,");
    CHECK_OK(idmap_keep(3, 100, 5, &m));
    CHECK_MAP(&m, "0 1 3,3 0 1,4 4 1,");
    CHECK_ERR(idmap_keep(10, 10, 0, &m), ERR_USAGE);
    CHECK_ERR(idmap_keep(5, 100, 5, &m), ERR_USAGE);
    CHECK_ERR(idmap_keep(5, 100, 101, &m), ERR_USAGE);
}

static void test_translation(void) {
    struct id_ranges m;
    uint32_t id = 77;
    CHECK_OK(idmap_keep(2000, 65537, 0, &m));
    CHECK(idmap_above(m.r, m.n, 0, &id) && id == 1);
    CHECK(idmap_above(m.r, m.n, 1999, &id) && id == 2000);
    CHECK(idmap_above(m.r, m.n, 2000, &id) && id == 0);
    CHECK(idmap_above(m.r, m.n, 2001, &id) && id == 2001);
    CHECK(idmap_above(m.r, m.n, 65536, &id) && id == 65536);
    CHECK(!idmap_above(m.r, m.n, 65537, &id) && id == 65536);
    CHECK_INT(idmap_foreign(m.r, m.n), 65537);
    idmap_without_user(65537, &m);
    CHECK_MAP(&m, "0 1 65536,");
    CHECK_INT(idmap_foreign(m.r, m.n), 0);
}

static void test_insert(void) {
    struct id_ranges m = {.r = {{0, 0, 100}}, .n = 1};
    CHECK_OK(idmap_insert(&m, (struct id_range){10, 50, 5}));
    CHECK_OK(idmap_settle(&m, 100));
    CHECK_MAP(&m, "0 0 10,10 50 5,15 15 35,55 55 45,");
    CHECK_OK(idmap_insert(&m, (struct id_range){0, 0, 100})); /* replaces all */
    CHECK_OK(idmap_settle(&m, 100));
    CHECK_MAP(&m, "0 0 100,");
    for (uint32_t i = 0; i < 3; i++)
        CHECK_OK(idmap_insert(&m, (struct id_range){10 + 4 * i, 60 + 2 * i, 1}));
    struct err *full = NULL;
    for (uint32_t i = 3; i < 12 && !full; i++)
        full = idmap_insert(&m, (struct id_range){10 + 4 * i, 60 + 2 * i, 1});
    CHECK_ERR(full, ERR_USAGE); /* too many ranges, and nothing is written past the end */
    CHECK(m.n <= ID_RANGES_MAX);
}

static void test_settle(void) {
    struct id_ranges joined = {.r = {{10, 20, 5}, {0, 10, 10}}, .n = 2};
    CHECK_OK(idmap_settle(&joined, 100));
    CHECK_MAP(&joined, "0 10 15,");
    struct id_ranges twice = {.r = {{0, 0, 10}, {9, 50, 2}}, .n = 2}, above = {.r = {{0, 0, 10}, {50, 9, 2}}, .n = 2};
    CHECK_ERR(idmap_settle(&twice, 100), ERR_USAGE);
    CHECK_ERR(idmap_settle(&above, 100), ERR_USAGE);
    struct id_ranges beyond = {.r = {{0, 99, 2}}, .n = 1}, wrap = {.r = {{UINT32_MAX - 1, 0, 5}}, .n = 1};
    CHECK_ERR(idmap_settle(&beyond, 100), ERR_USAGE);
    CHECK_ERR(idmap_settle(&wrap, 100), ERR_USAGE);
    struct id_ranges none = {.n = 0};
    CHECK_ERR(idmap_settle(&none, 100), ERR_USAGE);
}

static void test_free(void) {
    const struct id_range used[] = {{0, 3000, 1000}, {0, 1, 1024}, {0, 1025, 500}};
    uint32_t at;
    CHECK(idmap_find_free(used, 3, 1, 65537, 1024, &at) && at == 1525);
    CHECK(idmap_find_free(used, 3, 1, 65537, 1476, &at) && at == 4000);
    CHECK(idmap_find_free(used, 3, 1, 65537, 61537, &at) && at == 4000);
    CHECK(!idmap_find_free(used, 3, 1, 65537, 61538, &at));
    CHECK(idmap_find_free(NULL, 0, 1, 65537, 65536, &at) && at == 1);
    CHECK(!idmap_find_free(NULL, 0, 1, 65537, 65537, &at));
}

/* The kernel wants each range in one of those above. */
static void test_within(void) {
    struct id_ranges above, m = {.r = {{0, 0, 5}, {5, 500, 1}, {6, 6, 200}}, .n = 3};
    autostr struct str text = STR_INIT;
    idmap_parse(
        "         0       2000          1\n         1     100000        100\n       101     300000 1000\nnonsense\n",
        &above);
    CHECK_INT(above.n, 3);
    CHECK_INT(above.r[2].outside, 300000);
    idmap_text_within(&m, &above, &text);
    CHECK_STR(str_c(&text), "0 0 1\n1 1 4\n5 500 1\n6 6 95\n101 101 105\n");
}

static void test_json(void) {
    struct id_map m = {.uid = {{0, 1, 2000}, {2000, 0, 1}}, .gid = {{0, 5, 7}}, .n_uid = 2, .n_gid = 1}, back;
    autojson j = json_object();
    autojson bare = json_object();
    bool mapped;
    char a[65], b[65];
    idmap_to_json(&m, j);
    CHECK_OK(idmap_from_json(j, &back, &mapped));
    CHECK(mapped && back.n_uid == 2 && back.n_gid == 1 && back.uid[1].inside == 2000 && back.gid[0].count == 7);
    CHECK_OK(idmap_name(&m, a));
    CHECK_OK(idmap_name(&back, b));
    CHECK_STR(a, b);
    back.gid[0].count = 8;
    CHECK_OK(idmap_name(&back, b));
    CHECK(strcmp(a, b) != 0);
    CHECK_OK(idmap_from_json(bare, &back, &mapped));
    CHECK(!mapped);
}

UNIT_MAIN({"keep-id", test_keep}, {"translation", test_translation}, {"insert", test_insert}, {"settle", test_settle},
          {"free", test_free}, {"within", test_within}, {"json", test_json})
