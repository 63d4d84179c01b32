/* Rows and objects to text: tables, formats, and what a terminal is spared. */
#include "cli/cli_int.h"
#include "unit.h"

static const char *const headers[][2] = {
    {"ID", "CONTAINER ID"}, {"Names", "NAMES"}, {"Size", "SIZE"}, {"Labels", "LABELS"}, {NULL, NULL}};
static const struct cli_table table = {
    .default_format = "table {{.ID}}\t{{.Names}}", .headers = headers, .quiet_is_id = true};
static const char rows[] =
    "[{\"ID\":\"0123\",\"Names\":\"caf\xc3\xa9-and-more\",\"__labels\":{\"a\":\"b\"},\"Labels\":\"a=b\"},"
    "{\"ID\":\"45\",\"Names\":\"x\\u001b[31m\\nq\",\"__labels\":{},\"Labels\":\"\"}]";

/* What is printed; after an error its text. */
static char *render(const char *data, const char *format, bool quiet, bool objects) {
    char *text = NULL;
    size_t n = 0;
    struct cli_ctx c = {.out = open_memstream(&text, &n)};
    autojson j = NULL;
    CHECK_OK(json_parse(data, strlen(data), "data", 0, &j));
    autoerr e = objects ? cli_render_objects(&c, j, format) : cli_render_rows(&c, &table, j, format, quiet);
    autostr struct str s = STR_INIT;
    if (e) {
        err_format(e, &s);
        fputs(str_c(&s), c.out);
    }
    fclose(c.out);
    return text;
}

struct line {
    const char *format;
    bool quiet;
    const char *want;
};

static void check_rows(const char *data, const struct line *l, size_t n) {
    for (size_t i = 0; i < n; i++) {
        autofree char *got = render(data, l[i].format, l[i].quiet, false);
        CHECK_STR(got, l[i].want);
    }
}

static void test_rows(void) {
    static const struct line lines[] = {
        {NULL, false, "CONTAINER ID   NAMES\n0123           caf\xc3\xa9-and-more\n45             x\\x1b[31m\\x0aq\n"},
        {"table", false,
         "CONTAINER ID   NAMES\n0123           caf\xc3\xa9-and-more\n45             x\\x1b[31m\\x0aq\n"},
        {"table {{.Names}}\\t{{.ID}}", false,
         "NAMES            CONTAINER ID\ncaf\xc3\xa9-and-more    0123\nx\\x1b[31m\\x0aq   45\n"},
        {"table {{.Label \"a\"}}\\t{{json .ID}}", false,
         "a         CONTAINER ID\nb         \"0123\"\n          \"45\"\n"},
        {NULL, true, "0123\n45\n"},
        {"{{.ID}}\\t{{.Names}}", false, "0123\tcaf\xc3\xa9-and-more\n45\tx\\x1b[31m\\x0aq\n"},
        {"{{.ID}}:{{.Size}}", true, "0123:\n45:\n"},
        {"json", false,
         "{\"ID\":\"0123\",\"Labels\":\"a=b\",\"Names\":\"caf\xc3\xa9-and-more\"}\n"
         "{\"ID\":\"45\",\"Labels\":\"\",\"Names\":\"x\\u001b[31m\\nq\"}\n"},
        {"{{.Nope}}", false,
         "failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field "
         "Nope in a row"},
        {"plain", false, "plain\nplain\n"},
    };
    check_rows(rows, lines, ARRAY_LEN(lines));
}

static void test_no_rows(void) {
    static const struct line lines[] = {
        {NULL, false, "CONTAINER ID   NAMES\n"}, {NULL, true, ""}, {"{{.Nope}}", false, ""}, {"json", false, ""}};
    check_rows("[]", lines, ARRAY_LEN(lines));
}

static void test_objects(void) {
    static const struct {
        const char *format, *want;
    } lines[] = {
        {NULL,
         "[\n    {\n        \"Id\": \"1\",\n        \"Args\": []\n    },\n    {\n        \"Id\": \"2\"\n    }\n]\n"},
        {"json", "[{\"Id\":\"1\",\"Args\":[]},{\"Id\":\"2\"}]\n"},
        {"{{.Id}}", "1\n2\n"},
        {"{{.Args}}", "[]\n[]\n"},
        {"{{json .}}", "{\"Id\":\"1\",\"Args\":[]}\n{\"Id\":\"2\"}\n"},
        {"{{.Nope}}",
         "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        autofree char *got = render("[{\"Id\":\"1\",\"Args\":[]},{\"Id\":\"2\"}]", lines[i].format, false, true);
        CHECK_STR(got, lines[i].want);
    }
}

static void test_ellipsis(void) {
    static const struct {
        const char *text;
        size_t max;
        const char *want;
    } lines[] = {{"abc", 3, "abc"},
                 {"abcd", 3, "ab\xe2\x80\xa6"},
                 {"\xc3\xa9\xc3\xa9\xc3\xa9", 3, "\xc3\xa9\xc3\xa9\xc3\xa9"},
                 {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 3, "\xc3\xa9\xc3\xa9\xe2\x80\xa6"},
                 {"", 3, ""},
                 {"abc", SIZE_MAX, "abc"}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        autostr struct str s = STR_INIT;
        cli_ellipsis(lines[i].text, lines[i].max, &s);
        CHECK_STR(str_c(&s), lines[i].want);
    }
}

static void test_sizes(void) {
    static const struct {
        int64_t bytes;
        int precision;
        const char *want;
    } lines[] = {{0, 3, "0B"},
                 {999, 3, "999B"},
                 {1000, 3, "1kB"},
                 {1234, 3, "1.23kB"},
                 {4500000, 3, "4.5MB"},
                 {1234567890, 4, "1.235GB"},
                 {1000000000000000, 3, "1PB"}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        autostr struct str s = STR_INIT;
        cli_human_size(lines[i].bytes, lines[i].precision, &s);
        CHECK_STR(str_c(&s), lines[i].want);
    }
}

/* Two columns for a letter of East Asia, none for a mark on the letter before; columns stay in line. */
static void test_columns(void) {
    static const struct {
        const char *text;
        size_t want;
    } lines[] = {{"", 0},           {"abc", 3},  {"caf\xc3\xa9", 4}, {"\xe6\xbc\xa2\xe5\xad\x97", 4},
                 {"e\xcc\x81x", 2}, {"a\xff", 2}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        CHECK_INT(cli_columns(lines[i].text, strlen(lines[i].text)), lines[i].want);
    autofree char *got = render("[{\"ID\":\"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97"
                                "\xe6\xbc\xa2\",\"Names\":\"x\"},{\"ID\":\"a\",\"Names\":\"y\"}]",
                                "table {{.ID}}\t{{.Names}}", false, false);
    CHECK_STR(got, "CONTAINER ID     NAMES\n\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97"
                   "\xe6\xbc\xa2   x\na                y\n");
}

UNIT_MAIN({"rows", test_rows}, {"no rows", test_no_rows}, {"objects", test_objects}, {"ellipsis", test_ellipsis},
          {"sizes", test_sizes}, {"columns", test_columns})
