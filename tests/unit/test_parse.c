/* Flags, as docker's client (pflag) reads them: errors were checked beside docker 28's `run`. */
#include "cli/cmd/container_flags_int.h"
#include "unit.h"

struct parsed {
    struct container_flags f;
    struct strv positionals, warnings;
    bool help;
    char *error; /* owned; NULL: none */
};

/* Parses words separated by spaces; "''" is an empty one. */
static struct parsed parse(const char *command, const char *line) {
    struct parsed r = {.help = false};
    autostrv struct strv words = {0};
    if (*line)
        strv_split(&words, line, ' ');
    for (size_t i = 0; i < words.n; i++)
        if (!strcmp(words.v[i], "''"))
            *words.v[i] = '\0';
    struct cli_parse p = {.command = command,
                          .flags = cli_container_flags,
                          .opts = &r.f,
                          .stop_at_positional = true,
                          .positionals = &r.positionals,
                          .warnings = &r.warnings};
    cli_flags_init(cli_container_flags, &r.f);
    autoerr e = cli_flags_parse(&p, (int)words.n, words.v);
    if (e) {
        autostr struct str s = STR_INIT;
        err_format(e, &s);
        r.error = str_take(&s);
    }
    r.help = p.help;
    return r;
}

static void done(struct parsed *r) {
    cli_flags_done(cli_container_flags, &r->f);
    container_flags_done(&r->f);
    strv_done(&r->positionals);
    strv_done(&r->warnings);
    free(r->error);
}

static const struct {
    const char *line, *error;
} errors[] = {
    {"--x=false i", "unknown flag: --x"},
    {"--nope i", "unknown flag: --nope"},
    {"--na x i", "unknown flag: --na"}, /* no abbreviations */
    {"-Z i", "unknown shorthand flag: 'Z' in -Z"},
    {"-itZ i", "unknown shorthand flag: 'Z' in -Z"},
    {"-Zit i", "unknown shorthand flag: 'Z' in -Zit"},
    {"-it- i", "unknown shorthand flag: '-' in --"},
    {"-=x i", "unknown shorthand flag: '=' in -=x"},
    {"-i= i", "unknown shorthand flag: '=' in -="},
    {"-\xc3\xa9p", "unknown shorthand flag: '\xc3\x83' in -\xc3\xa9p"},
    {"--rm=maybe i",
     "invalid argument \"maybe\" for \"--rm\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"},
    {"-t=maybe i",
     "invalid argument \"maybe\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"},
    {"--stop-timeout x i",
     "invalid argument \"x\" for \"--stop-timeout\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"},
    {"--stop-timeout= i",
     "invalid argument \"\" for \"--stop-timeout\" flag: strconv.ParseInt: parsing \"\": invalid syntax"},
    {"--stop-timeout 08 i",
     "invalid argument \"08\" for \"--stop-timeout\" flag: strconv.ParseInt: parsing \"08\": invalid syntax"},
    {"--stop-timeout 99999999999999999999 i", "invalid argument \"99999999999999999999\" for \"--stop-timeout\" flag: "
                                              "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"},
    {"--oom-score-adj 1.5 i",
     "invalid argument \"1.5\" for \"--oom-score-adj\" flag: strconv.ParseInt: parsing \"1.5\": invalid syntax"},
    {"--memory abc i", "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"},
    {"--shm-size 5x i", "invalid argument \"5x\" for \"--shm-size\" flag: invalid suffix: 'x'"},
    {"--shm-size abc i", "invalid argument \"abc\" for \"--shm-size\" flag: invalid size: 'abc'"},
    {"--memory", "flag needs an argument: --memory"},
    {"--name", "flag needs an argument: --name"},
    {"-v", "flag needs an argument: 'v' in -v"},
    {"-itv", "flag needs an argument: 'v' in -v"},
    {"---x i", "bad flag syntax: ---x"},
    {"--=x i", "bad flag syntax: --=x"},
    {"--help=false --nope", "unknown flag: --nope"},
    {"--help=x", "invalid argument \"x\" for \"--help\" flag: strconv.ParseBool: parsing \"x\": invalid syntax"},
    {"--oom-score-adj=-1 --nope", "unknown flag: --nope"},
};

static void test_errors(void) {
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct parsed r = parse("run", errors[i].line);
        if (!r.error || strcmp(r.error, errors[i].error) != 0)
            fprintf(stderr, "arguments: %s\n", errors[i].line);
        CHECK_STR(r.error, errors[i].error);
        done(&r);
    }
}

static void test_clusters(void) {
    struct parsed r =
        parse("run", "-itp8080:80 -eA=1 -e=B=2 -e C=3 --env D -v/a:/b -u= -w= --name=a=b --rm i -t --nope");
    CHECK(r.error == NULL);
    CHECK(r.f.o.interactive && r.f.o.tty && r.f.o.rm);
    CHECK_INT(r.f.o.publish.n, 1);
    CHECK_STR(r.f.o.publish.v[0], "8080:80");
    CHECK_INT(r.f.o.env.n, 4);
    CHECK_STR(r.f.o.env.v[0], "A=1");
    CHECK_STR(r.f.o.env.v[1], "B=2");
    CHECK_STR(r.f.o.env.v[3], "D");
    CHECK_STR(r.f.o.volumes.v[0], "/a:/b");
    CHECK_STR(r.f.o.name, "a=b");
    CHECK_STR(r.f.o.user, "="); /* "-u=" has no value after the sign, so the sign is the value */
    CHECK_INT(r.positionals.n, 3);
    CHECK_STR(r.positionals.v[2], "--nope");
    done(&r);
}

static void test_booleans(void) {
    static const struct {
        const char *line;
        bool want;
    } lines[] = {{"--rm i", true},    {"--rm=true i", true},           {"--rm=1 i", true},
                 {"--rm=T i", true},  {"--rm --rm=false i", false},    {"--rm=F i", false},
                 {"--rm=0 i", false}, {"--rm=False --rm=TRUE i", true}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct parsed r = parse("run", lines[i].line);
        CHECK(r.error == NULL);
        CHECK_INT(r.f.o.rm, lines[i].want);
        CHECK_INT(r.positionals.n, 1);
        done(&r);
    }
}

static void test_numbers(void) {
    static const struct {
        const char *line;
        int64_t want;
    } lines[] = {{"--oom-score-adj 10 i", 10},     {"--oom-score-adj=-1 i", -1}, {"--oom-score-adj +5 i", 5},
                 {"--oom-score-adj 0x10 i", 16},   {"--oom-score-adj 010 i", 8}, {"--oom-score-adj 0b11 i", 3},
                 {"--oom-score-adj 1_000 i", 1000}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct parsed r = parse("run", lines[i].line);
        CHECK(r.error == NULL);
        CHECK_INT(r.f.o.oom_score_adj, lines[i].want);
        done(&r);
    }
}

static void test_ends(void) {
    struct parsed r = parse("run", "--rm -- --name x");
    CHECK(r.error == NULL);
    CHECK(r.f.o.name == NULL);
    CHECK_INT(r.positionals.n, 2);
    CHECK_STR(r.positionals.v[0], "--name");
    done(&r);
    r = parse("run", "- -t");
    CHECK_INT(r.positionals.n, 2);
    CHECK(!r.f.o.tty);
    done(&r);
    r = parse("run", "'' -t");
    CHECK_INT(r.positionals.n, 2);
    done(&r);
    r = parse("run", "--help --nope");
    CHECK(r.help && !r.error);
    done(&r);
    r = parse("run", "-d i");
    CHECK(!r.error);
    done(&r);
    r = parse("create", "-d i"); /* run's alone */
    CHECK_STR(r.error, "unknown shorthand flag: 'd' in -d");
    done(&r);
}

/* What docker has and coracle does not: named, with the reason. */
static void test_standings(void) {
    bool refused = false, ignored = false;
    for (const struct cli_flag *f = cli_container_flags; f->name; f++) {
        if (f->standing == CLI_SUPPORTED || (f->only && strcmp(f->only, "run") != 0))
            continue;
        autofree char *line = mem_printf("--%s=%s i", f->name, f->type == CLI_DURATION ? "1s" : "1");
        struct parsed r = parse("run", line);
        CHECK(f->reason != NULL);
        if (f->standing == CLI_REFUSED)
            CHECK(r.error && strstr(r.error, "is not supported: ") && strstr(r.error, f->reason));
        else
            CHECK(!r.error && r.warnings.n == 1 && strstr(r.warnings.v[0], "has no effect"));
        *(f->standing == CLI_REFUSED ? &refused : &ignored) = true;
        done(&r);
    }
    CHECK(refused && ignored);
}

UNIT_MAIN({"errors", test_errors}, {"clusters", test_clusters}, {"booleans", test_booleans}, {"numbers", test_numbers},
          {"ends", test_ends}, {"standings", test_standings})
