/* Build checks: each with what it warns of and what it lets pass, and which of them are made. */
#include "unit.h"

#include "base/json.h"
#include "base/mem.h"
#include "build/check_int.h"
#include "build/dockerfile_int.h"
#include "build/ignore_int.h"
#include "build/plan_int.h"

/* "image" is here, and has V and a shell of its own where "shell" is in its name; no other is. */
static const struct json *image(void *ctx, const char *reference) {
    return str_starts(reference, "image") ? json_get(ctx, strstr(reference, "shell") ? "shell" : "plain") : NULL;
}

/* The fourth stage has got an image for another machine. */
static const char *platform(void *ctx, size_t stage) {
    (void)ctx;
    return stage == 3 ? "linux/arm64/v8" : "linux/amd64";
}

struct setting {
    const char *given, *ignored;
    const struct plan *plan;
};

/* "Rule line: detail" for each warning. */
static void check(const char *text, const struct setting *with, struct str *out) {
    static const char images[] = "{\"plain\":{\"Env\":[\"V=1\",\"PATH=/bin\"]},\"shell\":{\"Shell\":[\"/x\"]}}";
    autodockerfile d = {.n = 0};
    autojson j = NULL;
    autoignore ignore = NULL;
    autocheckconfig config = {.error = false};
    autocheckwarnings w = {.n = 0};
    autostrv struct strv predefined = {.n = 0}, given = {.n = 0};
    struct df_fault fault;
    strv_push(&predefined, "TARGETPLATFORM=linux/amd64");
    strv_push(&predefined, "BUILDPLATFORM=linux/amd64");
    if (with && with->given)
        strv_push(&given, with->given);
    if (with && with->ignored)
        CHECK_OK(ignore_parse(with->ignored, &ignore));
    CHECK_OK(json_parse(images, strlen(images), "images", 0, &j));
    CHECK_OK(dockerfile_parse(text, strlen(text), &d, &fault));
    CHECK_OK(check_config_parse(d.check, &config));
    const struct check_input in = {.d = &d,
                                   .predefined = &predefined,
                                   .given = &given,
                                   .ignore = ignore,
                                   .plan = with ? with->plan : NULL,
                                   .image = image,
                                   .platform = platform,
                                   .ctx = j};
    check_dockerfile(&in, &config, &w);
    for (size_t i = 0; i < w.n; i++)
        str_appendf(out, "%s %u: %s\n", w.v[i].name, w.v[i].first, w.v[i].detail);
    struct err *e = check_error(&config, &w);
    if (e) {
        err_format(e, out);
        str_append_c(out, '\n');
    }
    err_free(e);
}

#define S "FROM scratch\n"

static const struct {
    const char *bad, *good, *warning; /* of `bad`; several lines are several warnings */
} cases[] = {
    {"FROM scratch AS Bad", "FROM scratch AS good", "StageNameCasing 1: Stage name 'Bad' should be lowercase"},
    {"FROM scratch as b", "FROM scratch AS b", "FromAsCasing 1: 'as' and 'FROM' keywords' casing do not match"},
    {"from scratch AS b", "from scratch as b", "FromAsCasing 1: 'AS' and 'from' keywords' casing do not match"},
    {S "COPY a \\\n\n  b", S "COPY a \\\n# comment\n  b", "NoEmptyContinuation 4: Empty continuation line"},
    {S "copy a /a\nCOPY a /b", S "COPY a /a\nCOPY a /b",
     "ConsistentInstructionCasing 2: Command 'copy' should match the case of the command majority (uppercase)"},
    {"from scratch\nCOPY a /a\ncopy a /b", "from scratch\ncopy a /a",
     "ConsistentInstructionCasing 2: Command 'COPY' should match the case of the command majority (lowercase)"},
    {"From scratch AS a\n" S, "# arg is not counted\narg X\n" S,
     "ConsistentInstructionCasing 1: Command 'From' should match the case of the command majority (uppercase)"},
    {"FROM scratch AS b\nFROM scratch AS b", "FROM scratch AS a\nFROM scratch AS b",
     "DuplicateStageName 2: Duplicate stage name \"b\", stage names should be unique"},
    {"FROM scratch AS context", "FROM scratch AS contexts",
     "ReservedStageName 1: Stage name should not use the same name as reserved stage \"context\""},
    {S "CMD mine", S "CMD [\"mine\"]",
     "JSONArgsRecommended 2: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"},
    {S "ENTRYPOINT mine", S "SHELL [\"x\"]\nENTRYPOINT mine",
     "JSONArgsRecommended 2: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS "
     "signals"},
    {"FROM image\nCMD mine", "FROM image-shell\nCMD mine",
     "JSONArgsRecommended 2: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"},
    {"FROM scratch AS a\nFROM a\nCMD x", "FROM scratch AS a\nSHELL [\"x\"]\nFROM a\nCMD x",
     "JSONArgsRecommended 3: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"},
    {S "MAINTAINER me", S "LABEL org.opencontainers.image.authors=me",
     "MaintainerDeprecated 2: Maintainer instruction is deprecated in favor of using label"},
    {"ARG TAG=1\nFROM image:$TAGS-x", "ARG TAG=1\nFROM image:$TAG",
     "UndefinedArgInFrom 2: FROM argument 'TAGS' is not declared (did you mean TAG?)\n"
     "InvalidDefaultArgInFrom 2: Default value for ARG image:$TAGS-x results in empty or invalid base image name"},
    {"FROM --platform=$BULIDPLATFORM scratch", "FROM --platform=$BUILDPLATFORM scratch",
     "UndefinedArgInFrom 1: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"},
    {"FROM scratch${x}", "ARG x\nFROM scratch${x}", "UndefinedArgInFrom 1: FROM argument 'x' is not declared"},
    {S "WORKDIR app/", S "WORKDIR /app\nWORKDIR sub",
     "WorkdirRelativePath 2: Relative workdir \"app/\" can have unexpected results if the base image changes"},
    {"FROM scratch AS a\nFROM a\nWORKDIR b", "FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR b",
     "WorkdirRelativePath 3: Relative workdir \"b\" can have unexpected results if the base image changes"},
    {S "COPY $foo .", S "ARG foo\nCOPY $foo .", "UndefinedVar 2: Usage of undefined variable '$foo'"},
    {S "ARG DIR_ASSETS=a\nCOPY $DIR_ASSET .", "FROM elsewhere\nCOPY $anything .",
     "UndefinedVar 3: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"},
    {S "ENV PATH=$PAHT:/x", S "ENV PATH=$PATH:/x",
     "UndefinedVar 2: Usage of undefined variable '$PAHT' (did you mean $PATH?)"},
    {"FROM image\nLABEL l=$W$W", "FROM image\nLABEL l=$V",
     "UndefinedVar 2: Usage of undefined variable '$W' (did you mean $V?)"},
    {S "ENV A=1 B=$A", S "ENV A=1\nENV B=$A", "UndefinedVar 2: Usage of undefined variable '$A'"},
    {S "ARG a=$longer", S "RUN echo $longer ${x}", "UndefinedVar 2: Usage of undefined variable '$longer'"},
    {S "COPY <<E /x\n$longer\nE", S "COPY <<'E' /x\n$longer\nE",
     "UndefinedVar 2: Usage of undefined variable '$longer'"},
    {S "COPY --chown=$longer a b", S "COPY --chown=longer a b",
     "UndefinedVar 2: Usage of undefined variable '$longer'"},
    {"ARG longer=1\n" S "COPY $longer b", "ARG longer=1\n" S "ARG longer\nCOPY $longer b",
     "UndefinedVar 3: Usage of undefined variable '$longer'"},
    {S "CMD [\"a\"]\nEXPOSE 1\nCMD [\"b\"]", "FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]",
     "MultipleInstructionsDisallowed 2: Multiple CMD instructions should not be used in the same stage because only "
     "the "
     "last one will be used"},
    {S "ENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]", S "ENTRYPOINT [\"a\"]\nCMD [\"b\"]",
     "MultipleInstructionsDisallowed 2: Multiple ENTRYPOINT instructions should not be used in the same stage because "
     "only the last one will be used"},
    {S "HEALTHCHECK NONE\nHEALTHCHECK CMD x", S "HEALTHCHECK CMD x",
     "MultipleInstructionsDisallowed 2: Multiple HEALTHCHECK instructions should not be used in the same stage because "
     "only the last one will be used"},
    {S "ENV a b", S "ENV a=b",
     "LegacyKeyValueFormat 2: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format"},
    {S "LABEL a b=c", S "LABEL \"a b\"=c",
     "LegacyKeyValueFormat 2: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format"},
    {"FROM --platform=${TARGETPLATFORM} scratch", "FROM --platform=$BUILDPLATFORM scratch",
     "RedundantTargetPlatform 1: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the "
     "default behavior"},
    {S "ARG SECRET_PHRASE\nENV git_Key=1", "ARG TOKEN\n" S "ENV PUBLIC_KEY=1 keys=2 TOKEN_FILE=x monkey=1",
     "SecretsUsedInArgOrEnv 2: Do not use ARG or ENV instructions for sensitive data (ARG \"SECRET_PHRASE\")\n"
     "SecretsUsedInArgOrEnv 3: Do not use ARG or ENV instructions for sensitive data (ENV \"git_Key\")"},
    {"ARG VERSION\nFROM image:$VERSION", "ARG VERSION=1\nFROM image:$VERSION",
     "InvalidDefaultArgInFrom 2: Default value for ARG image:$VERSION results in empty or invalid base image name"},
    {"FROM --platform=linux/amd64 scratch", "FROM --platform=linux/amd64 scratch AS my-amd64",
     "FromPlatformFlagConstDisallowed 1: FROM --platform flag should not use constant value \"linux/amd64\""},
    {"# check=experimental=InvalidDefinitionDescription\n\n# bar it is\nARG foo=1\n# no\nFROM scratch AS base\n"
     "# no\nARG a b",
     "# check=experimental=InvalidDefinitionDescription\n# other\n\nARG foo=1\n# base it is\nFROM scratch AS base\n"
     "# no\n#\nARG a b\n# b it is\nARG a b\n# no\n" S,
     "InvalidDefinitionDescription 4: Comment for ARG should follow the format: `# foo <description>`\n"
     "InvalidDefinitionDescription 6: Comment for FROM should follow the format: `# base <description>`\n"
     "InvalidDefinitionDescription 8: Comment for ARG should follow the format: `# <arg_key> <description>`"},
    {S "EXPOSE 80/TCP 81", S "EXPOSE 80/tcp 81/udp",
     "ExposeProtoCasing 2: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"},
    {S "EXPOSE 127.0.0.1:80:80", S "EXPOSE 80-90",
     "ExposeInvalidFormat 2: EXPOSE instruction should not define an IP address or host-port mapping, found "
     "'127.0.0.1:80:80'"},
};

static void test_each(void) {
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str bad = STR_INIT, good = STR_INIT;
        autofree char *wanted = mem_printf("%s\n", cases[i].warning);
        check(cases[i].bad, NULL, &bad);
        check(cases[i].good, NULL, &good);
        CHECK_STR(str_c(&bad), wanted);
        CHECK_STR(str_c(&good), "");
    }
}

static void test_ignored(void) {
    static const struct setting with = {.ignored = "a\n/sub\n"}, without = {.ignored = "*\n!b"};
    autostr struct str out = STR_INIT, none = STR_INIT;
    check(S "COPY a b /\nADD ./sub/x http://h/a /\nCOPY . /\nCOPY --from=x a /\nCOPY <<a /x\na", &with, &out);
    CHECK_STR(str_c(&out), "CopyIgnoredFile 2: Attempting to Copy file \"a\" that is excluded by .dockerignore\n"
                           "CopyIgnoredFile 3: Attempting to Add file \"sub/x\" that is excluded by .dockerignore\n");
    check(S "COPY a /", &without, &none);
    CHECK_STR(str_c(&none), "");
}

static void test_given(void) {
    static const struct setting with = {.given = "VERSION=1"};
    autostr struct str out = STR_INIT;
    check("ARG VERSION\nFROM image:$VERSION\nARG VERSION=$longer", &with, &out);
    CHECK_STR(str_c(&out),
              "InvalidDefaultArgInFrom 2: Default value for ARG image:$VERSION results in empty or invalid "
              "base image name\n");
}

/* What is right or wrong only where it is built does not matter in a stage that is not. */
static void test_needed(void) {
    struct plan_stage stages[] = {{.needed = false}, {.needed = true}};
    const struct plan plan = {.stage = stages, .n = 2};
    const struct setting with = {.plan = &plan};
    static const char text[] = "FROM scratch AS A\nENV a b\nFROM scratch\nENV c d";
    autostr struct str some = STR_INIT, all = STR_INIT;
    check(text, &with, &some);
    CHECK_STR(str_c(&some),
              "StageNameCasing 1: Stage name 'A' should be lowercase\n"
              "LegacyKeyValueFormat 4: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format\n");
    check(text, NULL, &all);
    CHECK(strstr(str_c(&all), "LegacyKeyValueFormat 2:"));
}

static void test_config(void) {
    static const struct {
        const char *line, *warnings;
    } lines[] = {
        {"skip=all", ""},
        {"skip=FromAsCasing,ConsistentInstructionCasing", ""},
        {"skip=FromAsCasing, StageNameCasing",
         "ConsistentInstructionCasing 3: Command 'copy' should match the case of the command majority (uppercase)\n"},
        {"skip=ConsistentInstructionCasing;error=true",
         "FromAsCasing 2: 'as' and 'FROM' keywords' casing do not match\n"
         "lint violation found for rules: FromAsCasing\n"},
        {"error=TRUE",
         "FromAsCasing 2: 'as' and 'FROM' keywords' casing do not match\n"
         "ConsistentInstructionCasing 3: Command 'copy' should match the case of the command majority (uppercase)\n"
         "lint violation found for rules: ConsistentInstructionCasing, FromAsCasing\n"},
        {"skip=all;error=true", ""},
        {" skip = all ; error = 1", ""},
        {"error=false;skip=ConsistentInstructionCasing",
         "FromAsCasing 2: 'as' and 'FROM' keywords' casing do not match\n"},
        {"error=t;skip=FromAsCasing ,ConsistentInstructionCasing", ""},
        {"skip=all;experimental=all", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        autostr struct str out = STR_INIT;
        autofree char *text = mem_printf("#check=%s\nFROM scratch as base\ncopy Dockerfile .\n", lines[i].line);
        check(text, NULL, &out);
        CHECK_STR(str_c(&out), lines[i].warnings);
    }
    static const char *const bad[] = {"skip", "what=1", "error=maybe", "skip=a;"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        autocheckconfig config = {.error = false};
        CHECK_ERR(check_config_parse(bad[i], &config), ERR_USAGE);
    }
}

static void test_platform(void) {
#define THREE "FROM image\nFROM image\nFROM image AS other\n"
    static const struct {
        const char *text, *warnings;
    } v[] = {
        {THREE "FROM image:arm\nFROM other",
         "InvalidBaseImagePlatform 4: Base image image:arm was pulled with platform \"linux/arm64\", expected "
         "\"linux/amd64\" for current build\n"},
        {THREE "FROM --platform=$BUILDPLATFORM image:arm",
         "InvalidBaseImagePlatform 4: Base image image:arm was pulled with platform \"linux/arm64\", expected "
         "\"linux/amd64\" for current build\n"},
        {"ARG P=linux/arm64\n" THREE "FROM --platform=$P image:arm", ""},
        {THREE "FROM other", ""},
        {THREE "FROM scratch", ""},
    };
#undef THREE
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        autostr struct str out = STR_INIT;
        check(v[i].text, NULL, &out);
        CHECK_STR(str_c(&out), v[i].warnings);
    }
}

/* "# check=" above an instruction is about that one alone. */
static void test_comments(void) {
#define WARNS "MaintainerDeprecated 3: Maintainer instruction is deprecated in favor of using label\n"
    static const struct {
        const char *comments, *warnings;
    } v[] = {
        {"# check=skip=MaintainerDeprecated", ""},
        {"#check = skip=FromAsCasing,MaintainerDeprecated because it says who", ""},
        {"# CHECK=skip=all", ""},
        {"# check=skip=FromAsCasing", WARNS},
        {"# check=skip", WARNS},
        {"# check skip=MaintainerDeprecated", WARNS},
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        autostr struct str out = STR_INIT;
        autofree char *text = mem_printf(S "%s\nMAINTAINER me\n", v[i].comments);
        check(text, NULL, &out);
        CHECK_STR(str_c(&out), v[i].warnings);
    }
#undef WARNS
    static const struct {
        const char *text, *warnings;
    } more[] = {
        /* the first one counts; an empty line parts it from what follows; the next instruction has none */
        {S "# why\n# check=skip=all\n# check=error=1\nMAINTAINER a\nMAINTAINER b",
         "MaintainerDeprecated 6: Maintainer instruction is deprecated in favor of using label\n"},
        {S "# check=skip=all\n\nMAINTAINER a",
         "MaintainerDeprecated 4: Maintainer instruction is deprecated in favor of using label\n"},
        {S "# check=experimental=all\n# other\nARG a",
         "InvalidDefinitionDescription 4: Comment for ARG should follow the format: `# a <description>`\n"},
        {S "# a what it is\n# check=experimental=all\nARG a", ""},
        {"# check=error=true\n" S "# check=skip=all\nMAINTAINER a", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        autostr struct str out = STR_INIT;
        check(more[i].text, NULL, &out);
        CHECK_STR(str_c(&out), more[i].warnings);
    }
}

UNIT_MAIN({"platform", test_platform}, {"comments", test_comments}, {"each", test_each}, {"ignored", test_ignored},
          {"given", test_given}, {"needed", test_needed}, {"config", test_config})
