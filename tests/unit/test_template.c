/* Templates, as docker's client (Go's text/template) executes them: every line was checked beside docker 28. */
#include "cli/template_int.h"
#include "unit.h"

static const char container[] =
    "{\"Id\":\"0123\",\"Name\":\"/n\",\"RestartCount\":3,"
    "\"State\":{\"Status\":\"running\",\"Running\":true,\"Pid\":42},"
    "\"Config\":{\"Hostname\":\"h\",\"Env\":[\"A=1\",\"B=2\"],\"Cmd\":[\"sh\",\"-c\",\"x\"],\"Entrypoint\":null,"
    "\"Labels\":{\"z\":\"1\",\"a\":\"2\",\"uni\":\"caf\xc3\xa9\"},\"Volumes\":null},"
    "\"HostConfig\":{\"Binds\":null,\"Memory\":1048576,\"PidsLimit\":null},"
    "\"NetworkSettings\":{\"Ports\":{\"81/tcp\":null,\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}},"
    "\"Mounts\":[{\"Source\":\"/a\",\"Destination\":\"/b\"}]}";

static const char row[] =
    "{\"ID\":\"0123456789ab\",\"Names\":\"n\",\"Image\":\"i\",\"Labels\":\"a=b\",\"__labels\":{\"a\":\"b\"}}";

/* The output, or the error's text. */
static char *run(const char *text, const char *data, int flags) {
    autojson j = NULL;
    autostr struct str out = STR_INIT;
    struct template *t = NULL;
    autoerr bad = json_parse(data, strlen(data), "data", 0, &j);
    autoerr e = bad ? NULL : template_parse(text, &t);
    autoerr e2 = bad || e ? NULL : template_execute_with(t, j, flags, &out);
    if (bad || e || e2) {
        str_clear(&out);
        err_format(bad ? bad : e ? e : e2, &out);
    }
    template_free(t);
    return str_take(&out);
}

struct line {
    const char *text, *want;
};

static void check_lines(const struct line *l, size_t n, const char *data, int flags) {
    for (size_t i = 0; i < n; i++) {
        autofree char *got = run(l[i].text, data, flags);
        if (strcmp(got, l[i].want) != 0)
            fprintf(stderr, "template: %s\n", l[i].text);
        CHECK_STR(got, l[i].want);
    }
}

static const struct line inspect_lines[] = {
    {"{{.Nope}}",
     "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
    {"{{.State.Nope}}",
     "template parsing error: template: :1:8: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\""},
    {"{{.State.Health.Status}}", "template parsing error: template: :1:8: executing \"\" at "
                                 "<.State.Health.Status>: map has no entry for key \"Health\""},
    {"{{if .State.Health}}y{{else}}n{{end}}", "n"},
    {"{{.Config.Labels.foo}}", "<no value>"},
    {"{{.Config.Entrypoint}}", "[]"},
    {"{{.Config.Volumes}}", "map[]"},
    {"{{.HostConfig.Binds}}", "[]"},
    {"{{.HostConfig.PidsLimit}}", "<nil>"},
    {"{{.HostConfig.Init}}", "<nil>"},
    {"{{.State.Health}}", "<nil>"},
    {"{{.Config.Labels}}", "map[a:2 uni:caf\303\251 z:1]"},
    {"{{.Config.StopSignal}}|{{.Config.StopTimeout}}|{{.Config.ExposedPorts}}", "|<nil>|map[]"},
    {"{{range $k,$v := .Config.Labels}}{{$k}}={{$v}},{{end}}", "a=2,uni=caf\303\251,z=1,"},
    {"{{range $k, $v := .Config.Env}}{{$k}}={{$v}},{{end}}", "0=A=1,1=B=2,"},
    {"{{index .Config.Env 0}}", "A=1"},
    {"{{index .Config.Env 9}}", "template parsing error: template: :1:2: executing \"\" at <index .Config.Env 9>: "
                                "error calling index: index out of range: 9"},
    {"{{index .Config.Labels \"a\"}}", "2"},
    {"{{index .Nope \"q\"}}",
     "template parsing error: template: :1:8: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
    {"{{eq .State.Status \"exited\" \"running\"}}", "true"},
    {"{{eq .State.Pid 42}}", "true"},
    {"{{eq \"a\" 1}}", "template parsing error: template: :1:2: executing \"\" at <eq \"a\" 1>: error calling eq: "
                       "incompatible types for comparison"},
    {"{{eq .Config.Env \"x\"}}", "template parsing error: template: :1:2: executing \"\" at <eq .Config.Env "
                                 "\"x\">: error calling eq: incompatible types for comparison"},
    {"{{eq 1}}", "template parsing error: template: :1:2: executing \"\" at <eq 1>: error calling eq: missing "
                 "argument for comparison"},
    {"{{lt 1 2}} {{gt \"b\" \"a\"}} {{ne 1 2}} {{le 1 1}} {{ge 2 3}}", "true true true true false"},
    {"{{len .Config.Env}} {{len \"abc\"}} {{len .Config.Labels}}", "2 3 3"},
    {"{{len 3}}",
     "template parsing error: template: :1:2: executing \"\" at <len 3>: error calling len: len of type int"},
    {"{{slice \"abcdef\" 1 3}} {{slice .Config.Env 1}}", "bc [B=2]"},
    {"{{slice \"abc\" 2 9}}", "template parsing error: template: :1:2: executing \"\" at <slice \"abc\" 2 9>: "
                              "error calling slice: index out of range: 9"},
    {"{{slice \"abc\" 2 1}}", "template parsing error: template: :1:2: executing \"\" at <slice \"abc\" 2 1>: "
                              "error calling slice: invalid slice index: 2 > 1"},
    {"{{and 1 0 2}} {{or 0 \"\" \"x\"}} {{not 0}}", "0 x true"},
    {"{{and}}", "template parsing error: template: :1:2: executing \"\" at <and>: wrong number of args for and: "
                "want at least 1 got 0"},
    {"{{not}}",
     "template parsing error: template: :1:2: executing \"\" at <not>: wrong number of args for not: want 1 got 0"},
    {"{{not 1 2}}",
     "template parsing error: template: :1:2: executing \"\" at <not>: wrong number of args for not: want 1 got 2"},
    {"{{json .Config.Env}}", "[\"A=1\",\"B=2\"]"},
    {"{{.Config.Env | json}}", "[\"A=1\",\"B=2\"]"},
    {"{{join .Config.Env \",\"}} {{split \"a,b,c\" \",\"}} {{title \"ab cd\"}} {{lower \"AB\"}} {{pad \"x\" 1 2}} "
     "{{truncate \"abcdef\" 3}}",
     "A=1,B=2 [a b c] Ab Cd ab  x   abc"},
    {"{{with .Config.Hostname}}{{.}}{{else}}none{{end}}", "h"},
    {"{{with .Config.Volumes}}{{.}}{{else}}none{{end}}", "none"},
    {"{{range .Config.Env}}{{if eq . \"A=1\"}}{{continue}}{{end}}{{.}}{{end}}", "B=2"},
    {"{{range .Config.Env}}{{break}}{{end}}ok", "ok"},
    {"{{range $i, $e := .Mounts}}{{$i}}{{$e.Source}}{{end}}", "0/a"},
    {"{{range .Config.Volumes}}x{{else}}empty{{end}}", "empty"},
    {"{{.Config.Hostname.Foo}}", "template parsing error: template: :1:9: executing \"\" at "
                                 "<.Config.Hostname.Foo>: can't evaluate field Foo in type interface {}"},
    {"{{(index .Mounts 0).Source}}", "/a"},
    {"{{(.Config).Hostname}}", "h"},
    {"{{.RestartCount}} {{.HostConfig.Memory}}", "3 1048576"},
    {"{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"},
    {"{{with index .Mounts 0}}{{$.Name}} {{.Source}}{{end}}", "/n /a"},
    {"{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{with $conf}}{{(index . 0).HostPort}}{{end}};{{end}}",
     "80/tcp -> 8080;81/tcp -> ;"},
    {"{{.State.Pid | printf \"%05d\"}}", "00042"},
    {"{{ .Name | printf \"%s-%s\" \"a\" }}", "a-/n"},
    {"{{.Name \"x\"}}",
     "template parsing error: template: :1:2: executing \"\" at <.Name>: Name is not a method but has arguments"},
    {"{{\"x\" | .Name}}",
     "template parsing error: template: :1:8: executing \"\" at <.Name>: Name is not a method but has arguments"},
    {"{{nil}}", "template parsing error: template: :1:2: executing \"\" at <nil>: nil is not a command"},
    {"{{printf \"%v\" .Config.Env}} {{printf \"%q\" .Config.Env}} {{printf \"%s\" .Config.Labels}}",
     "[A=1 B=2] [\"A=1\" \"B=2\"] map[a:2 uni:caf\303\251 z:1]"},
    {"{{if and .State.Running (eq .State.Status \"running\")}}up{{end}}", "up"},
    {"{{if not .State.Running}}down{{else if .Name}}named{{end}}", "named"},
    {"{{index .Config.Env 0 1}}", "61"},
};
static void test_inspect(void) { check_lines(inspect_lines, ARRAY_LEN(inspect_lines), container, TEMPLATE_INSPECT); }

static const struct line syntax_lines[] = {
    {"{{printf \"%d|%5d|%-5d|%05d|%+d|%x|%X|%o|%b|%c|%q|%U\" 42 42 42 42 42 255 255 8 5 65 65 65}}",
     "42|   42|42   |00042|+42|ff|FF|10|101|A|'A'|U+0041"},
    {"{{printf \"%s|%10s|%-10s|%q|%v|%.2s|%x|% x|%T\" \"abc\" \"abc\" \"abc\" \"a\\\"b\" \"abc\" \"abc\" \"abc\" "
     "\"abc\" \"abc\"}}",
     "abc|       abc|abc       |\"a\\\"b\"|abc|ab|616263|61 62 63|string"},
    {"{{printf \"%v %d %s %t\" true true true true}}", "true %!d(bool=true) %!s(bool=true) true"},
    {"{{printf \"%d\" \"x\"}}", "%!d(string=x)"},
    {"{{printf \"%s\" 5}}", "%!s(int=5)"},
    {"{{printf \"%z\" 5}}", "%!z(int=5)"},
    {"{{printf \"%d\"}}", "%!d(MISSING)"},
    {"{{printf \"x\" 1 \"a\"}}", "x%!(EXTRA int=1, string=a)"},
    {"{{printf \"%\"}}", "%!(NOVERB)"},
    {"{{printf \"%%|%5%|%c\" 233}}", "%|%|\303\251"},
    {"{{printf \"%.2f|%f|%e|%g|%v|%6.1f|%+.1f|%08.2f\" 1.5 1.5 1.5 1.5 1.5 1.5 1.5 -1.5}}",
     "1.50|1.500000|1.500000e+00|1.5|1.5|   1.5|+1.5|-0001.50"},
    {"{{printf \"%*d|%-*d|%.*f\" 5 42 4 7 2 1.25}}", "   42|7   |1.25"},
    {"{{printf \"%[2]d %[1]d\" 1 2}}", "2 1"},
    {"{{printf \"%[3]d\" 1 2}}", "%!d(BADINDEX)"},
    {"{{printf \"%#v %+v %#x %#o\" \"a\" \"b\" 255 8}}", "\"a\" b 0xff 010"},
    {"{{printf \"%v\" nil}}", "<nil>"},
    {"{{printf \"%x %X\" \"hi\" -255}}", "6869 -FF"},
    {"{{printf \"%6.2f%%\" 12.345}}", " 12.35%"},
    {"{{\"%d\" | printf}}", "%!d(MISSING)"},
    {"{{println \"a\" 1 2 \"b\"}}", "a 1 2 b\n"},
    {"{{print \"a\" 1 2 \"b\" \"c\" 3}}", "a1 2bc3"},
    {"a {{- \" b \" -}} c", "a b c"},
    {"{{/* c */}}x{{- /* d */ -}} y", "xy"},
    {"{{if eq 1 2}}a{{else if eq 2 2}}b{{else}}c{{end}}", "b"},
    {"{{with $x := 5}}{{$x}}{{end}}", "5"},
    {"{{range 3}}{{.}}{{end}}", "012"},
    {"{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"},
    {"{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"},
    {"{{\"a\\tb\\x41\\u00e9\\101\"}}", "a\tbA\303\251A"},
    {"{{`raw\\n`}}", "raw\\n"},
    {"{{'a'}} {{'\303\251'}} {{'\\n'}}", "97 233 10"},
    {"{{0x10}} {{1.5}} {{1_000}} {{-3}} {{0b11}} {{0o17}} {{.5}}", "16 1.5 1000 -3 3 15 0.5"},
    {"{{0.000001}} {{0.0001}}", "1e-06 0.0001"},
    {"{{html \"<a&\\\"'>\"}} {{js \"<'\\\"\\n=>\"}} {{urlquery \"a b&c\"}}",
     "&lt;a&amp;&#34;&#39;&gt; \\u003C\\'\\\"\\u000A\\u003D\\u003E a+b%26c"},
    {"{{true}} {{false}}", "true false"},
    {"{{.Name |}}", "/n"},
    {"{{.Name}}}", "/n}"},
    {"{{.Name", "template: :1: unclosed action"},
    {"{{", "template: :1: unclosed action"},
    {"{{}}", "template: :1: missing value for command"},
    {"{{if}}", "template: :1: missing value for if"},
    {"{{if .Name}}", "template: :1: unexpected EOF"},
    {"{{end}}", "template: :1: unexpected {{end}}"},
    {"{{else}}", "template: :1: unexpected {{else}}"},
    {"{{range .Name}}{{else}}{{else}}{{end}}", "template: :1: expected end; found {{else}}"},
    {"{{nofunc .Name}}", "template: :1: function \"nofunc\" not defined"},
    {"{{.Name | nofunc}}", "template: :1: function \"nofunc\" not defined"},
    {"{{$x}}", "template: :1: undefined variable \"$x\""},
    {"{{\"abc}}", "template: :1: unterminated quoted string"},
    {"{{`abc}}", "template: :1: unterminated raw quoted string"},
    {"{{'ab'}}", "template: :1: malformed character constant: 'ab'"},
    {"{{| .Name}}", "template: :1: unexpected \"|\" in command"},
    {"{{(.Name}}", "template: :1: unclosed left paren"},
    {"{{.Name)}}", "template: :1: unexpected right paren"},
    {"{{1a}}", "template: :1: bad number syntax: \"1a\""},
    {"{{\"x\" \"y\"}}", "template parsing error: template: :1:2: executing \"\" at <\"x\">: can't give argument to "
                        "non-function \"x\""},
    {"{{3 | 4}}", "template: :1: non executable command in pipeline stage 2"},
    {"{{break}}", "template: :1: {{break}} outside {{range}}"},
    {"{{/* x}}", "template: :1: unclosed comment"},
    {"{{/* x */ y}}", "template: :1: comment ends before closing delimiter"},
    {"{{a.b}}", "template: :1: function \"a\" not defined"},
    {"{{.Na-me}}", "template: :1: bad character U+002D '-'"},
    {"{{end .}}", "template: :1: unexpected <.> in end"},
    {"{{if .Name}}{{end}}{{end}}", "template: :1: unexpected {{end}}"},
    {"{{else if true}}", "template: :1: unexpected {{else}}"},
    {"{{@}}", "template: :1: unexpected \"@\" in command"},
    {"{{.Name, .Id}}", "template: :1: unexpected \",\" in operand"},
    {"{{$x := }}", "template: :1: missing value for command"},
    {"{{$x = 1}}", "template parsing error: template: :1:7: executing \"\" at <1>: undefined variable: $x"},
    {"{{$x, $y := 1}}", "template: :1: too many declarations in command"},
    {"{{range $a,$b,$c := .Name}}{{end}}", "template: :1: too many declarations in range"},
    {"{{with .Name}}", "template: :1: unexpected EOF"},
    {"{{\"\\q\"}}", "template: :1: invalid syntax"},
    {"{{.Config..Hostname}}", "template: :1: unexpected <.> in operand"},
    {"{{ true.Foo }}", "template: :1: unexpected . after term \"true\""},
    {"{{\"a\".b}}", "template: :1: unexpected . after term \"\\\"a\\\"\""},
    {"{{nil | print}}", "template parsing error: template: :1:2: executing \"\" at <nil>: nil is not a command"},
    {"{{range}}{{end}}", "template: :1: missing value for range"},
    {"{{range .State.Running}}{{end}}",
     "template parsing error: template: :1:14: executing \"\" at <.State.Running>: range can't iterate over true"},
    {"{{range .Name}}{{end}}",
     "template parsing error: template: :1:8: executing \"\" at <.Name>: range can't iterate over /n"},
};
static void test_syntax(void) { check_lines(syntax_lines, ARRAY_LEN(syntax_lines), container, TEMPLATE_INSPECT); }

static void test_rows(void) {
    static const struct line lines[] = {
        {"{{.ID}}\t{{.Names}}", "0123456789ab\tn"},
        {"{{.Label \"a\"}}", "b"},
        {"{{.Label \"q\"}}", ""},
        {"{{\"a\" | .Label}}", "b"},
        {"{{truncate .ID 4}}", "0123"},
        {"{{json .ID}}", "\"0123456789ab\""},
        {"{{.__labels}}", "failed to execute template: template: :1:2: executing \"\" at <.__labels>: "
                          "can't evaluate field __labels in a row"},
        {"{{.Nope}}", "failed to execute template: template: :1:2: executing \"\" at <.Nope>: "
                      "can't evaluate field Nope in a row"},
        {"{{.ID.X}}", "failed to execute template: template: :1:5: executing \"\" at <.ID.X>: "
                      "can't evaluate field X in type string"},
    };
    check_lines(lines, ARRAY_LEN(lines), row, TEMPLATE_ROW);
}

/* Titles of columns: docker's formatting functions leave them alone, Go's do not. */
static void test_header(void) {
    static const struct line lines[] = {
        {"{{json .ID}}", "CONTAINER ID"}, {"{{lower .ID}} {{truncate .ID 3}}", "CONTAINER ID CONTAINER ID"},
        {"{{.Label \"a\"}}", "a"},        {"{{len .ID}}", "12"},
        {"{{.Nope}}", "<no value>"},
    };
    check_lines(lines, ARRAY_LEN(lines), "{\"ID\":\"CONTAINER ID\"}", TEMPLATE_HEADER);
}

static void test_plain(void) {
    static const struct line lines[] = {
        {"{{.Nope}}", "<no value>"},
        {"{{.Nope.Foo}}", "template parsing error: template: :1:7: executing \"\" at <.Nope.Foo>: "
                          "nil pointer evaluating interface {}.Foo"},
        {"{{.Nil}}", "<no value>"},
        {"a\n{{.Name\n | len}}", "a\n2"},
        {"a\n\n{{len 3}}", "template parsing error: template: :3:2: executing \"\" at <len 3>: "
                           "error calling len: len of type int"},
        {"{{truncate \"caf\xc3\xa9s\" 4}}", "caf"},
        {"{{printf \"%5.2s|\" \"\xc3\xa9\xc3\xa9\xc3\xa9\"}}", "   \xc3\xa9\xc3\xa9|"},
    };
    check_lines(lines, ARRAY_LEN(lines), "{\"Name\":\"ab\",\"Nil\":null}", 0);
}

/* What would never end, or fill the memory, is an error. */
static void test_limits(void) {
    static const char *const texts[] = {
        "{{range 100000}}{{range 100000}}{{.}}{{end}}{{end}}",
        "{{$a := \"x\"}}{{range 200}}{{$a = printf \"%s%s\" $a $a}}{{end}}",
        "{{range 1000000}}{{printf \"%9999d\" .}}{{end}}",
        "{{range 999999}}{{$x := printf \"%9999d\" .}}{{end}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct template *t = NULL;
        autojson j = json_object();
        autostr struct str out = STR_INIT;
        CHECK_OK(template_parse(texts[i], &t));
        CHECK_ERR(template_execute(t, j, &out), ERR_USAGE);
        CHECK(out.len < (size_t)40 << 20);
        template_free(t);
    }
    autostr struct str deep = STR_INIT;
    for (int i = 0; i < 1000; i++)
        str_append(&deep, "{{if 1}}");
    struct template *t = NULL;
    CHECK_ERR(template_parse(str_c(&deep), &t), ERR_USAGE);
    str_clear(&deep);
    str_append(&deep, "{{");
    for (int i = 0; i < 1000; i++)
        str_append_c(&deep, '(');
    CHECK_ERR(template_parse(str_c(&deep), &t), ERR_USAGE);
    CHECK(t == NULL);
}

UNIT_MAIN({"inspect", test_inspect}, {"syntax", test_syntax}, {"rows", test_rows}, {"header", test_header},
          {"plain", test_plain}, {"limits", test_limits})
