/* The words of an image's history: BuildKit's form of each instruction. */
#include "unit.h"

#include "base/json.h"
#include "base/mem.h"
#include "build/history_int.h"

static const struct {
    enum df_kind kind;
    const char *words, *want; /* words: parted by '|' */
} entries[] = {
    {DF_CMD, "/bin/sh|-c|x \"y\" \\z", "CMD [\"/bin/sh\" \"-c\" \"x \\\"y\\\" \\\\z\"]"},
    {DF_CMD, NULL, "CMD []"},
    {DF_CMD, "\a\b\f\n\r\t\v|\x01\x7f|\xc3\xa4|\xff\xc3\xa4",
     "CMD [\"\\a\\b\\f\\n\\r\\t\\v\" \"\\x01\\x7f\" \"\xc3\xa4\" \"\\xff\\xc3\\xa4\"]"},
    {DF_CMD, "it's", "CMD [\"it's\"]"},
    {DF_ENTRYPOINT, "/e", "ENTRYPOINT [\"/e\"]"},
    {DF_ENV, "A=b c|D=", "ENV A=b c D="},
    {DF_LABEL, "a.b=c \"d\"", "LABEL a.b=c \"d\""},
    {DF_ARG, "A|B=c", "ARG A B=c"},
    {DF_EXPOSE, "80/tcp|53/udp", "EXPOSE [80/tcp 53/udp]"},
    {DF_VOLUME, "/a b|/c", "VOLUME [/a b /c]"},
    {DF_SHELL, "/bin/bash|-o|pipefail|-c", "SHELL [/bin/bash -o pipefail -c]"},
    {DF_USER, "a:b", "USER a:b"},
    {DF_STOPSIGNAL, "SIGINT", "STOPSIGNAL SIGINT"},
    {DF_MAINTAINER, "John <j@e.org>", "MAINTAINER John <j@e.org>"},
    {DF_RUN, "/bin/sh|-c|x", "RUN /bin/sh -c x # buildkit"},
    {DF_RUN, "|1|A=b c|/bin/sh|-c|x", "RUN |1 A=b c /bin/sh -c x # buildkit"},
    {DF_COPY, "--chown=1:2|a|<<EOF|/d/", "COPY --chown=1:2 a <<EOF /d/ # buildkit"},
    {DF_ADD, "https://h/f|.", "ADD https://h/f . # buildkit"},
};

static void test_instructions(void) {
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        autostrv struct strv words = {.n = 0};
        autostr struct str got = STR_INIT;
        const char *text = entries[i].words;
        if (text && entries[i].kind == DF_RUN && *text == '|') { /* its first word is one */
            strv_push(&words, "|1");
            text += strlen("|1|");
        }
        if (text)
            strv_split(&words, text, '|');
        history_entry(entries[i].kind, &words, &got);
        CHECK_STR(str_c(&got), entries[i].want);
    }
}

static void test_health(void) {
    static const struct {
        const char *health, *want;
    } v[] = {
        {"{\"Test\":[\"CMD-SHELL\",\"curl -f x\"],\"Interval\":300000000000,\"Timeout\":3500000000,\"Retries\":3}",
         "HEALTHCHECK {Test:[CMD-SHELL curl -f x] Interval:5m0s Timeout:3.5s StartPeriod:0s StartInterval:0s "
         "Retries:3}"},
        {"{\"Test\":[\"NONE\"]}",
         "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        autojson health = NULL;
        autostr struct str got = STR_INIT;
        CHECK_OK(json_parse(v[i].health, strlen(v[i].health), "health", 0, &health));
        history_health(health, &got);
        CHECK_STR(str_c(&got), v[i].want);
    }
}

UNIT_MAIN({"instructions", test_instructions}, {"health", test_health})
