/* Dockerfiles as data: every instruction, the rules of lines, and what is said about errors. */
#include "unit.h"

#include "base/mem.h"
#include "build/dockerfile_int.h"

/* One line an instruction: "NAME {flag=value} [json] <word> <word> «heredoc:data»". */
static void show(const struct dockerfile *d, struct str *out) {
    for (size_t i = 0; i < d->n; i++) {
        const struct df_instruction *in = &d->v[i];
        str_append(out, df_kind_name(in->kind));
        for (size_t f = 0; f < in->n_flags; f++)
            str_appendf(out, " {%s=%s}", in->flags[f].name, in->flags[f].value);
        if (in->json)
            str_append(out, " json");
        for (size_t a = 0; a < in->args.n; a++)
            str_appendf(out, " <%s>", in->args.v[a]);
        for (size_t h = 0; h < in->n_heredocs; h++)
            str_appendf(out, " %s%s:%s", in->heredocs[h].expand ? "" : "'", in->heredocs[h].name, in->heredocs[h].data);
        str_append_c(out, '\n');
    }
}

static const struct {
    const char *text, *shown; /* without the first line, which is FROM x */
} accepted[] = {
    {"RUN echo  a   b ", "RUN <echo  a   b>"},
    {"run [\"a\", \"b c\"]", "RUN json <a> <b c>"},
    {"RUN [\"a\"] ignored", "RUN json <a>"},
    {"RUN [ not json", "RUN <[ not json>"},
    {"RUN ['a']", "RUN <['a']>"},
    {"RUN [\"]\", \"\\\"]\"]", "RUN json <]> <\"]>"},
    {"RUN a \\\n  b", "RUN <a   b>"},
    {"RUN a \\\n# comment\n  # another\n\n  b", "RUN <a   b>"},
    {"RUN a \\  \t\nb", "RUN <a b>"},
    {"RUN a \\\\\nRUN b", "RUN <a \\\\>\nRUN <b>"},
    {"   # comment\n\tRUN # not one", "RUN <# not one>"},
    {"RUN a\\\nRUN", "RUN <aRUN>"},
    {"RUN a \\", "RUN <a>"},
    {"RUN --network=none --mount=type=cache,target=/x --mount=type=tmpfs,target=/y make",
     "RUN {network=none} {mount=type=cache,target=/x} {mount=type=tmpfs,target=/y} <make>"},
    {"RUN --mount=\"type=cache,target=/a b\" x", "RUN {mount=type=cache,target=/a b} <x>"},
    {"RUN -- --x", "RUN <--x>"},
    {"RUN --security=insecure x", "RUN {security=insecure} <x>"},
    {"COPY a b", "COPY <a> <b>"},
    {"COPY a b c/", "COPY <a> <b> <c/>"},
    {"COPY [\"a b\", \"c\"]", "COPY json <a b> <c>"},
    {"COPY --from=build --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude=x /a /b",
     "COPY {from=build} {chown=1:2} {chmod=755} {link=true} {parents=true} {exclude=*.o} {exclude=x} </a> </b>"},
    {"COPY --link=false a b", "COPY {link=false} <a> <b>"},
    {"ADD --checksum=sha256:ab --keep-git-dir=TRUE --unpack http://x/y /z",
     "ADD {checksum=sha256:ab} {keep-git-dir=true} {unpack=true} <http://x/y> </z>"},
    {"COPY <<EOF /x\n  a $B\nEOF", "COPY <<<EOF> </x> EOF:  a $B\n"},
    {"COPY <<'EOF' /x\na\nEOF\nRUN b", "COPY <<<'EOF'> </x> 'EOF:a\n\nRUN <b>"},
    {"COPY <<-EOF /x\n\t\ta\n\tEOF\nRUN b", "COPY <<<-EOF> </x> EOF:a\n\nRUN <b>"},
    {"COPY <<a <<\"b\" /x/\n1\na\n2\n# 3\nb", "COPY <<<a> <<<\"b\"> </x/> a:1\n 'b:2\n# 3\n"},
    {"RUN <<EOF\necho \\\n# kept\nEOF", "RUN <<<EOF> EOF:echo \\\n# kept\n"},
    {"RUN cat <<1 3<<EOF >x\n1\nEOF", "RUN <cat <<1 3<<EOF >x> 1: EOF:"},
    {"RUN a << b", "RUN <a << b>"},
    {"RUN cat <<<word", "RUN <cat <<<word>"},
    {"RUN [\"a\", \"<<EOF\"]", "RUN json <a> <<<EOF>"},
    {"ENV A=1 B=\"x y\" C=a\\ b D='q r'", "ENV <A=1> <B=\"x y\"> <C=a\\ b> <D='q r'>"},
    {"ENV A the  rest = of it", "ENV <A=the  rest = of it>"},
    {"ENV A=b=c", "ENV <A=b=c>"},
    {"ENV A=", "ENV <A=>"},
    {"LABEL a.b=\"c\" \\\n  d=e", "LABEL <a.b=\"c\"> <d=e>"},
    {"LABEL \"a b\"=c", "LABEL <\"a b\"=c>"},
    {"ARG A", "ARG <A>"},
    {"ARG A=\"x y\" B", "ARG <A=\"x y\"> <B>"},
    {"EXPOSE 80 443/udp 1-3", "EXPOSE <80> <443/udp> <1-3>"},
    {"WORKDIR /a b", "WORKDIR </a b>"},
    {"USER  a:b ", "USER <a:b>"},
    {"VOLUME /a /b", "VOLUME </a> </b>"},
    {"VOLUME [\"/a b\"]", "VOLUME json </a b>"},
    {"CMD", "CMD"},
    {"CMD []", "CMD json"},
    {"CMD a b", "CMD <a b>"},
    {"ENTRYPOINT [\"a\"]", "ENTRYPOINT json <a>"},
    {"SHELL [\"/bin/bash\", \"-c\"]", "SHELL json </bin/bash> <-c>"},
    {"STOPSIGNAL SIGKILL", "STOPSIGNAL <SIGKILL>"},
    {"MAINTAINER A B <c@d>", "MAINTAINER <A B <c@d>>"},
    {"ONBUILD RUN --network=none x", "ONBUILD <RUN --network=none x>"},
    {"onbuild copy a b", "ONBUILD <copy a b>"},
    {"HEALTHCHECK NONE", "HEALTHCHECK <NONE>"},
    {"HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --start-interval=1s --retries=3 CMD a  b",
     "HEALTHCHECK {interval=5s} {timeout=1m} {start-period=2s} {start-interval=1s} {retries=3} <CMD> <a  b>"},
    {"HEALTHCHECK cmd [\"a\", \"b\"]", "HEALTHCHECK json <CMD> <a> <b>"},
    {"FROM --platform=$BUILDPLATFORM y AS z1.a-b_c", "FROM {platform=$BUILDPLATFORM} <y> <AS> <z1.a-b_c>"},
    {"FROM scratch as B", "FROM <scratch> <as> <B>"},
};

static void test_good(void) {
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        autodockerfile d = {.n = 0};
        struct df_fault fault;
        autostr struct str text = STR_INIT;
        autostr struct str shown = STR_INIT;
        autofree char *want = mem_printf("FROM <x>\n%s\n", accepted[i].shown);
        str_appendf(&text, "FROM x\n%s", accepted[i].text);
        CHECK_OK(dockerfile_parse(str_c(&text), text.len, &d, &fault));
        show(&d, &shown);
        CHECK_STR(str_c(&shown), want);
    }
}

static const struct {
    const char *text, *message;
    unsigned first, last;
} refused[] = {
    {"", "file with no instructions", 0, 0},
    {"# only a comment\n\n", "file with no instructions", 0, 0},
    {"ARG A=1", "dockerfile contains no stages to build", 0, 0},
    {"RUN x", "dockerfile parse error on line 1: no build stage in current context", 1, 1},
    {"FROM", "dockerfile parse error on line 1: FROM requires either one or three arguments", 1, 1},
    {"FROM a b", "dockerfile parse error on line 1: FROM requires either one or three arguments", 1, 1},
    {"FROM a is b", "dockerfile parse error on line 1: FROM requires either one or three arguments", 1, 1},
    {"FROM a AS 1b",
     "dockerfile parse error on line 1: invalid name for build stage: \"1b\", name can't start with a number or "
     "contain "
     "symbols",
     1, 1},
    {"FROM x\n\nFORM y", "dockerfile parse error on line 3: unknown instruction: FORM (did you mean FROM?)", 3, 3},
    {"FROM x\nblah y", "dockerfile parse error on line 2: unknown instruction: blah", 2, 2},
    {"FROM x\nRUN \\\n \\\n", "dockerfile parse error on line 2: RUN requires at least one argument", 2, 3},
    {"FROM x\nRUN []", "dockerfile parse error on line 2: RUN requires at least one argument", 2, 2},
    {"FROM x\nRUN [1]",
     "dockerfile parse error on line 2: when using JSON array syntax, arrays must be comprised of strings only", 2, 2},
    {"FROM x\nRUN --foo x", "dockerfile parse error on line 2: unknown flag: --foo", 2, 2},
    {"FROM x\nRUN --network=bridge x", "dockerfile parse error on line 2: invalid network mode: bridge", 2, 2},
    {"FROM x\nRUN --network x", "dockerfile parse error on line 2: missing a value on flag: --network", 2, 2},
    {"FROM x\nRUN --security=x y", "dockerfile parse error on line 2: security x is not valid", 2, 2},
    {"FROM x\nCOPY --link=maybe a b",
     "dockerfile parse error on line 2: expecting boolean value for flag --link, not: maybe", 2, 2},
    {"FROM x\nCOPY --link= a b", "dockerfile parse error on line 2: missing a value on flag: --link", 2, 2},
    {"FROM x\nCOPY --from=a --from=b c d", "dockerfile parse error on line 2: duplicate flag specified: --from", 2, 2},
    {"FROM x\nADD --from=a c d", "dockerfile parse error on line 2: unknown flag: --from", 2, 2},
    {"FROM x\nCOPY", "dockerfile parse error on line 2: COPY requires at least one argument", 2, 2},
    {"FROM x\nCOPY a",
     "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination "
     "could not be determined",
     2, 2},
    {"FROM x\nCOPY a <<EOF\nEOF", "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination", 2,
     2},
    {"FROM x\nRUN <<EOF\na\nb\n", "dockerfile parse error on line 2: unterminated heredoc", 2, 4},
    {"FROM x\nONBUILD RUN <<EOF\nEOF",
     "dockerfile parse error on line 2: ONBUILD cannot accept a heredoc: a trigger is one line", 2, 2},
    {"FROM x\nENV A", "dockerfile parse error on line 2: ENV must have two arguments", 2, 2},
    {"FROM x\nENV A=1 B",
     "dockerfile parse error on line 2: Syntax error - can't find = in \"B\". Must be of the form: name=value", 2, 2},
    {"FROM x\nENV =1", "dockerfile parse error on line 2: ENV names can not be blank", 2, 2},
    {"FROM x\nLABEL", "dockerfile parse error on line 2: LABEL requires at least one argument", 2, 2},
    {"FROM x\nARG =1", "dockerfile parse error on line 2: ARG names can not be blank", 2, 2},
    {"FROM x\nWORKDIR", "dockerfile parse error on line 2: WORKDIR requires exactly one argument", 2, 2},
    {"FROM x\nVOLUME [\" \"]", "dockerfile parse error on line 2: VOLUME specified can not be an empty string", 2, 2},
    {"FROM x\nSHELL bash -c", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form", 2,
     2},
    {"FROM x\nSHELL []", "dockerfile parse error on line 2: SHELL requires at least one argument", 2, 2},
    {"FROM x\nONBUILD ONBUILD RUN x",
     "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", 2, 2},
    {"FROM x\nONBUILD FROM y", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger", 2, 2},
    {"FROM x\nONBUILD nonsense", "dockerfile parse error on line 2: unknown instruction: nonsense", 2, 2},
    {"FROM x\nONBUILD", "dockerfile parse error on line 2: ONBUILD requires at least one argument", 2, 2},
    {"FROM x\nHEALTHCHECK", "dockerfile parse error on line 2: HEALTHCHECK requires at least one argument", 2, 2},
    {"FROM x\nHEALTHCHECK NONE x", "dockerfile parse error on line 2: HEALTHCHECK NONE takes no arguments", 2, 2},
    {"FROM x\nHEALTHCHECK CMD", "dockerfile parse error on line 2: missing command after HEALTHCHECK CMD", 2, 2},
    {"FROM x\nHEALTHCHECK TEST a", "dockerfile parse error on line 2: unknown type \"TEST\" in HEALTHCHECK (try CMD)",
     2, 2},
    {"FROM x\nHEALTHCHECK --interval=1us CMD a",
     "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms", 2, 2},
    {"FROM x\nHEALTHCHECK --retries=-1 CMD a", "dockerfile parse error on line 2: --retries cannot be negative (-1)", 2,
     2},
    {"# escape=x\nFROM x", "invalid escape token 'x' does not match ` or \\", 1, 1},
    {"# syntax=a\n# Syntax=b\nFROM x", "only one Syntax parser directive can be used", 2, 2},
};

static void test_bad(void) {
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        autodockerfile d = {.n = 0};
        struct df_fault fault;
        autostr struct str said = STR_INIT;
        autoerr e = dockerfile_parse(refused[i].text, strlen(refused[i].text), &d, &fault);
        CHECK(e && err_kind(e) == ERR_USAGE);
        if (e)
            err_format(e, &said);
        CHECK_STR(str_c(&said), refused[i].message);
        CHECK_INT(fault.first, refused[i].first);
        CHECK_INT(fault.last, refused[i].last);
    }
}

static void test_directives(void) {
    static const struct {
        const char *text, *syntax, *check;
        char escape;
    } cases[] = {
        {"FROM x", NULL, NULL, '\\'},
        {"# syntax=docker/dockerfile:1\n#check=skip=all;error=true\nFROM x", "docker/dockerfile:1",
         "skip=all;error=true", '\\'},
        {"#  ESCAPE  =  `\nFROM x", NULL, NULL, '`'},
        {"\n# escape=`\nFROM x", NULL, NULL, '\\'},
        {"# a comment\n# escape=`\nFROM x", NULL, NULL, '\\'},
        {"# other=1\n# escape=`\nFROM x", NULL, NULL, '\\'},
        {"FROM x\n# escape=`", NULL, NULL, '\\'},
        {"\xef\xbb\xbf# escape=`\r\nFROM x\r\n", NULL, NULL, '`'},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autodockerfile d = {.n = 0};
        struct df_fault fault;
        CHECK_OK(dockerfile_parse(cases[i].text, strlen(cases[i].text), &d, &fault));
        CHECK(str_eq(d.syntax, cases[i].syntax));
        CHECK(str_eq(d.check, cases[i].check));
        CHECK_INT(d.escape, cases[i].escape);
        CHECK_INT(d.n, 1);
        CHECK_STR(d.v[0].args.v[0], "x");
    }
}

static void test_escape_backtick(void) {
    static const char text[] = "# escape=`\nFROM x\nCOPY a c:\\\nRUN a `\n b\nENV A=a` b";
    autodockerfile d = {.n = 0};
    struct df_fault fault;
    autostr struct str shown = STR_INIT;
    CHECK_OK(dockerfile_parse(text, strlen(text), &d, &fault));
    show(&d, &shown);
    CHECK_STR(str_c(&shown), "FROM <x>\nCOPY <a> <c:\\>\nRUN <a  b>\nENV <A=a` b>\n");
    CHECK_INT(d.v[2].first, 4);
    CHECK_INT(d.v[2].last, 5);
    CHECK_STR(d.v[2].text, "RUN a  b");
}

static void test_excerpt(void) {
    static const char text[] = "1\n2\n3\n4\nbad\x1b[m \\\n6\n7\n8\n9\n10\n11\n12";
    autostr struct str out = STR_INIT;
    df_excerpt(text, "Dockerfile", &(struct df_fault){5, 6}, &out);
    CHECK_STR(str_c(&out), "Dockerfile:5\n--------------------\n   4 |     4\n   5 | >>> bad\\x1b[m \\\n   6 | >>> 6\n"
                           "   7 |     7\n--------------------\n");
    str_clear(&out);
    df_excerpt("1\n2\n3\n4", "x", &(struct df_fault){4, 4}, &out);
    CHECK_STR(str_c(&out),
              "x:4\n--------------------\n   2 |     2\n   3 |     3\n   4 | >>> 4\n--------------------\n");
}

static void test_trigger(void) {
    autodockerfile d = {.n = 0}, none = {.n = 0};
    CHECK_OK(dockerfile_parse_trigger("COPY --chown=1 a b", &d));
    CHECK_INT(d.v[0].kind, DF_COPY);
    CHECK_STR(df_flag(&d.v[0], "chown"), "1");
    CHECK_ERR(dockerfile_parse_trigger("NONSENSE x", &none), ERR_USAGE);
    CHECK_ERR(dockerfile_parse_trigger("", &none), ERR_USAGE);
}

UNIT_MAIN({"good", test_good}, {"bad", test_bad}, {"directives", test_directives}, {"escape", test_escape_backtick},
          {"excerpt", test_excerpt}, {"trigger", test_trigger})
