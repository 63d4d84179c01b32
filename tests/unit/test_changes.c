/* --change: Dockerfile instructions on an image config. */
#include "unit.h"

#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"

static struct err *apply(const char *before, const char *changes, struct str *out) {
    autojson j = NULL;
    autostrv struct strv list = {0};
    CHECK_OK(json_parse(before, strlen(before), "config", 0, &j));
    strv_split(&list, changes, '\n');
    struct err *e = image_changes_apply(j, &list);
    json_render(j, JSON_COMPACT, out);
    return e;
}

static void test_good(void) {
    static const struct {
        const char *before, *changes, *after;
    } cases[] = {
        {"{}", "CMD [\"a\", \"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
        {"{}", "cmd echo \"x  y\"", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo \\\"x  y\\\"\"]}"},
        {"{}", "CMD [not json", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[not json\"]}"},
        {"{}", "CMD []", "{\"Cmd\":[]}"},
        {"{}", "  ENTRYPOINT [\"/x\"]  ", "{\"Entrypoint\":[\"/x\"]}"},
        {"{\"Cmd\":[\"old\"]}", "ENTRYPOINT [\"/x\"]", "{\"Entrypoint\":[\"/x\"]}"},
        {"{\"Cmd\":[\"old\"]}", "CMD [\"new\"]\nENTRYPOINT [\"/x\"]", "{\"Cmd\":[\"new\"],\"Entrypoint\":[\"/x\"]}"},
        {"{\"Env\":[\"A=1\",\"B=2\"]}", "ENV A=3 C=\"x y\" D='$A' E=a\\ b",
         "{\"Env\":[\"A=3\",\"B=2\",\"C=x y\",\"D=$A\",\"E=a b\"]}"},
        {"{}", "ENV NAME the  rest of it", "{\"Env\":[\"NAME=the rest of it\"]}"},
        {"{\"Env\":[\"P=/bin\"]}", "ENV P=$P:/x Q=${P} R=$ S=${ T=$1 U=\\$P",
         "{\"Env\":[\"P=/bin:/x\",\"Q=/bin\",\"R=$\",\"S=${\",\"T=$1\",\"U=$P\"]}"},
        {"{}", "ENV A=b=c", "{\"Env\":[\"A=b=c\"]}"},
        {"{}", "ENV A=", "{\"Env\":[\"A=\"]}"},
        {"{}", "LABEL a=1 \"b c\"=\"2 3\"", "{\"Labels\":{\"a\":\"1\",\"b c\":\"2 3\"}}"},
        {"{\"Labels\":{\"a\":\"0\"}}", "LABEL a=1", "{\"Labels\":{\"a\":\"1\"}}"},
        {"{}", "EXPOSE 80 443/tcp 53/UDP", "{\"ExposedPorts\":{\"80/tcp\":{},\"443/tcp\":{},\"53/udp\":{}}}"},
        {"{}", "EXPOSE 8000-8002", "{\"ExposedPorts\":{\"8000/tcp\":{},\"8001/tcp\":{},\"8002/tcp\":{}}}"},
        {"{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}"},
        {"{}", "VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}"},
        {"{}", "USER 1000:1000", "{\"User\":\"1000:1000\"}"},
        {"{}", "WORKDIR /a/b/../c/", "{\"WorkingDir\":\"/a/c\"}"},
        {"{\"WorkingDir\":\"/a\"}", "WORKDIR b", "{\"WorkingDir\":\"/a/b\"}"},
        {"{}", "WORKDIR b", "{\"WorkingDir\":\"/b\"}"},
        {"{}", "STOPSIGNAL SIGQUIT", "{\"StopSignal\":\"SIGQUIT\"}"},
        {"{}", "ONBUILD RUN make", "{\"OnBuild\":[\"RUN make\"]}"},
        {"{}", "HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
        {"{}", "HEALTHCHECK --interval=5s --retries=3 CMD curl -f x",
         "{\"Healthcheck\":{\"Interval\":5000000000,\"Retries\":3,\"Test\":[\"CMD-SHELL\",\"curl -f x\"]}}"},
        {"{}", "HEALTHCHECK CMD [\"a\",\"b\"]", "{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\",\"b\"]}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str out = STR_INIT;
        CHECK_OK(apply(cases[i].before, cases[i].changes, &out));
        CHECK_STR(str_c(&out), cases[i].after);
    }
}

static void test_bad(void) {
    static const char *const bad[] = {
        "",
        "   ",
        "RUN x",
        "FROM x",
        "COPY a b",
        "CMD",
        "ENV",
        "ENV A",
        "ENV =x",
        "ENV A=1 B",
        "ENV A=\"open",
        "LABEL x",
        "EXPOSE",
        "EXPOSE 0",
        "EXPOSE 65536",
        "EXPOSE x",
        "EXPOSE 80/icmp",
        "EXPOSE 90-80",
        "EXPOSE 80-",
        "VOLUME []",
        "VOLUME \"\"",
        "USER",
        "USER a b",
        "WORKDIR",
        "STOPSIGNAL NOSUCH",
        "ONBUILD FROM x",
        "ONBUILD ONBUILD RUN x",
        "ONBUILD maintainer x",
        "HEALTHCHECK",
        "HEALTHCHECK x",
        "HEALTHCHECK --foo=1 CMD x",
        "HEALTHCHECK --interval=x CMD x",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        autostr struct str out = STR_INIT;
        struct err *e = apply("{}", bad[i], &out);
        if (!e)
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK_ERR(e, ERR_USAGE);
    }
}

UNIT_MAIN({"good", test_good}, {"bad", test_bad})
