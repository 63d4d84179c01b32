/*
 * parse: pflag's rules over a command's flag table. Long flags are never abbreviated; a cluster of letters is booleans
 * followed by at most one flag with a value; `--bool=false` turns off; "--" ends flags.
 */
#include "cli/cli_int.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static void *target_of(const struct cli_parse *p, const struct cli_flag *f) { return (char *)p->opts + f->offset; }

bool cli_flag_applies(const struct cli_flag *f, const char *command) { return !f->only || str_eq(f->only, command); }

static const struct cli_flag *find_long(const struct cli_parse *p, const char *name, size_t n) {
    for (const struct cli_flag *f = p->flags; f && f->name; f++) {
        if (!cli_flag_applies(f, p->command))
            continue;
        if (strlen(f->name) == n && !memcmp(f->name, name, n))
            return f;
        if (f->alias && strlen(f->alias) == n && !memcmp(f->alias, name, n))
            return f;
    }
    return NULL;
}

static const struct cli_flag *find_letter(const struct cli_parse *p, char letter) {
    for (const struct cli_flag *f = p->flags; f && f->name; f++)
        if (f->letter == letter && cli_flag_applies(f, p->command))
            return f;
    return NULL;
}

const char *cli_flag_type_word(const struct cli_flag *f) {
    if (f->metavar)
        return f->metavar;
    switch (f->type) {
    case CLI_BOOL:
        return "";
    case CLI_FILTER:
        return "filter";
    case CLI_LIST:
    case CLI_ENV:
    case CLI_LABEL:
        return "list";
    case CLI_INT:
        return "int";
    case CLI_BYTES:
    case CLI_SWAP:
        return "bytes";
    case CLI_DECIMAL:
        return "decimal";
    case CLI_UINT16:
        return "uint16";
    case CLI_DURATION:
        return "duration";
    case CLI_STRING:
    case CLI_STRING_OPT:
        break;
    }
    return "string";
}

static struct err *invalid(const struct cli_flag *f, const char *value, const char *why) {
    if (f->letter)
        return err_new(ERR_USAGE, "invalid argument \"%s\" for \"-%c, --%s\" flag: %s", value, f->letter, f->name, why);
    return err_new(ERR_USAGE, "invalid argument \"%s\" for \"--%s\" flag: %s", value, f->name, why);
}

static struct err *invalid_because(const struct cli_flag *f, const char *value, struct err *take_cause) {
    autostr struct str text = STR_INIT;
    err_format(take_cause, &text);
    err_free(take_cause);
    return invalid(f, value, str_c(&text));
}

/* Go's strconv.ParseBool. */
static bool parse_bool(const char *s, bool *ret) {
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"}, *const no[] = {"0",     "f",     "F",
                                                                                             "false", "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(s, yes[i]) != 0 && strcmp(s, no[i]) != 0)
            continue;
        *ret = !strcmp(s, yes[i]);
        return true;
    }
    return false;
}

/* The base that a number's prefix tells, as Go's strconv does with base 0; *s moves behind it. */
static int base_of(const char **s) {
    if (**s != '0')
        return 10;
    char c = (char)tolower((unsigned char)(*s)[1]);
    if (c != 'x' && c != 'b' && c != 'o')
        return 8;
    *s += 2;
    return c == 'x' ? 16 : c == 'b' ? 2 : 8;
}

/* Copies digits without the "_" that may stand between two of them; false for what else there is. */
static bool plain_digits(const char *s, struct str *out) {
    for (; *s; s++) {
        bool between = *s == '_' && out->len && isalnum((unsigned char)s[1]);
        if (!between && !isalnum((unsigned char)*s))
            return false;
        str_append_n(out, s, !between);
    }
    return out->len > 0;
}

/* Go's strconv.ParseInt; NULL, or what is wrong. */
static const char *parse_int(const char *text, int64_t *ret) {
    const char *s = text + (*text == '-' || *text == '+');
    int base = base_of(&s);
    autostr struct str digits = STR_INIT;
    if (!plain_digits(s, &digits))
        return "invalid syntax";
    autofree char *number = mem_printf("%s%s", *text == '-' ? "-" : "", str_c(&digits));
    char *end = NULL;
    errno = 0;
    long long value = strtoll(number, &end, base);
    if (*end || end == number)
        return "invalid syntax";
    if (errno == ERANGE)
        return "value out of range";
    *ret = value;
    return NULL;
}

/* Go's strconv.ParseUint of 16 bits, which takes no sign. */
static struct err *set_uint16(const struct cli_flag *f, const char *value, int64_t *target) {
    const char *problem = *value == '-' || *value == '+' ? "invalid syntax" : parse_int(value, target);
    if (!problem && *target > UINT16_MAX)
        problem = "value out of range";
    autofree char *why = mem_printf("strconv.ParseUint: parsing \"%s\": %s", value, problem ? problem : "");
    return problem ? invalid(f, value, why) : NULL;
}

static struct err *set_number(const struct cli_flag *f, const char *value, int64_t *target) {
    if (f->type == CLI_INT) {
        const char *problem = parse_int(value, target);
        autofree char *why = mem_printf("strconv.ParseInt: parsing \"%s\": %s", value, problem ? problem : "");
        return problem ? invalid(f, value, why) : NULL;
    }
    if (f->type == CLI_UINT16)
        return set_uint16(f, value, target);
    struct err *e = f->type == CLI_BYTES     ? engine_parse_bytes(value, target)
                    : f->type == CLI_SWAP    ? engine_parse_swap(value, target)
                    : f->type == CLI_DECIMAL ? engine_parse_cpus(value, target)
                                             : clock_parse_duration(value, target);
    return e ? invalid_because(f, value, e) : NULL;
}

/* One value of a list. */
static struct err *check_item(const struct cli_flag *f, const char *value) {
    bool nameless = !*value || *value == '=';
    if (f->type == CLI_FILTER && *value && !strchr(value, '='))
        return invalid(f, value, "bad format of filter (expected name=value)");
    if (f->type == CLI_ENV && nameless) {
        autofree char *why = mem_printf("invalid environment variable: %s", value);
        return invalid(f, value, why);
    }
    if (f->type == CLI_LABEL && nameless) {
        autofree char *why = mem_printf("invalid label '%s': empty name", value);
        return invalid(f, value, why);
    }
    return NULL;
}

static bool is_list(const struct cli_flag *f) {
    return f->type == CLI_LIST || f->type == CLI_FILTER || f->type == CLI_ENV || f->type == CLI_LABEL;
}

static struct err *set_value(const struct cli_flag *f, void *target, const char *value) {
    switch (f->type) {
    case CLI_BOOL:
        if (!parse_bool(value, target)) {
            autofree char *why = mem_printf("strconv.ParseBool: parsing \"%s\": invalid syntax", value);
            return invalid(f, value, why);
        }
        break;
    case CLI_STRING:
    case CLI_STRING_OPT:
        mem_set(target, value);
        break;
    case CLI_LIST:
    case CLI_FILTER:
    case CLI_ENV:
    case CLI_LABEL:
        TRY(check_item(f, value));
        strv_push(target, value);
        break;
    case CLI_INT:
    case CLI_BYTES:
    case CLI_SWAP:
    case CLI_DECIMAL:
    case CLI_UINT16:
    case CLI_DURATION:
        return set_number(f, value, target);
    }
    return NULL;
}

/* Whether docker would take the value, of a flag that has no target here. */
static struct err *check_value(const struct cli_flag *f, const char *value) {
    union {
        bool yes;
        int64_t number;
    } unused;
    bool text = f->type == CLI_STRING || f->type == CLI_STRING_OPT || is_list(f);
    return text ? NULL : set_value(f, &unused, value);
}

static struct err *apply(struct cli_parse *p, const struct cli_flag *f, const char *value) {
    if (f->standing != CLI_SUPPORTED)
        TRY(check_value(f, value));
    if (f->standing == CLI_REFUSED)
        return err_hint(err_new(ERR_UNSUPPORTED, "--%s is not supported: %s", f->name, f->reason),
                        "docs/compat.md lists what works");
    if (f->standing == CLI_IGNORED) {
        if (p->warnings)
            strv_pushf(p->warnings, "--%s has no effect: %s", f->name, f->reason);
        return NULL;
    }
    TRY(set_value(f, target_of(p, f), value));
    if (f->set_offset)
        *(bool *)((char *)p->opts + f->set_offset) = true;
    return NULL;
}

static bool takes_no_value(const struct cli_flag *f) { return f->type == CLI_BOOL || f->type == CLI_STRING_OPT; }

static const char *bare_value(const struct cli_flag *f) { return f->type == CLI_BOOL ? "true" : f->bare; }

struct cursor {
    int i, argc;
    char **argv;
};

static const struct cli_flag help_flag = {.name = "help", .type = CLI_BOOL};

static struct err *parse_long(struct cli_parse *p, struct cursor *at) {
    const char *text = at->argv[at->i] + 2;
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n == 0 || *text == '-')
        return err_new(ERR_USAGE, "bad flag syntax: %s", at->argv[at->i]);
    const struct cli_flag *f = find_long(p, text, n);
    if (!f && n == 4 && !memcmp(text, "help", 4))
        return set_value(&help_flag, &p->help, equals ? equals + 1 : "true");
    if (!f)
        return err_new(ERR_USAGE, "unknown flag: --%.*s", (int)n, text);
    if (equals)
        return apply(p, f, equals + 1);
    if (takes_no_value(f))
        return apply(p, f, bare_value(f));
    if (at->i + 1 >= at->argc)
        return err_new(ERR_USAGE, "flag needs an argument: --%.*s", (int)n, text);
    return apply(p, f, at->argv[++at->i]);
}

/* pflag's words show the cluster from the flag that is wrong on, and bytes beyond ASCII as if they were code points. */
static struct err *unknown_letter(const char *rest) {
    unsigned char c = (unsigned char)*rest;
    autostr struct str rune = STR_INIT;
    if (c >= 0x80)
        str_append_c(&rune, (char)(0xc0 | c >> 6));
    str_append_c(&rune, (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c));
    return err_new(ERR_USAGE, "unknown shorthand flag: '%s' in -%s", str_c(&rune), rest);
}

static struct err *parse_letters(struct cli_parse *p, struct cursor *at) {
    for (const char *c = at->argv[at->i] + 1; *c; c++) {
        const struct cli_flag *f = find_letter(p, *c);
        if (!f && *c == 'h' && !c[1]) {
            p->help = true;
            return NULL;
        }
        if (!f)
            return unknown_letter(c);
        if (c[1] == '=' && c[2])
            return apply(p, f, c + 2);
        if (takes_no_value(f)) {
            TRY(apply(p, f, bare_value(f)));
            continue;
        }
        if (c[1])
            return apply(p, f, c + 1);
        if (at->i + 1 >= at->argc)
            return err_new(ERR_USAGE, "flag needs an argument: '%c' in -%s", *c, c);
        return apply(p, f, at->argv[++at->i]);
    }
    return NULL;
}

struct err *cli_flags_parse(struct cli_parse *p, int argc, char **argv) {
    struct cursor at = {.argc = argc, .argv = argv};
    for (; at.i < argc && !p->help; at.i++) {
        const char *arg = argv[at.i];
        if (!strcmp(arg, "--")) {
            at.i++;
            break;
        }
        if (arg[0] != '-' || !arg[1]) {
            if (p->stop_at_positional)
                break;
            strv_push(p->positionals, arg);
            continue;
        }
        TRY(arg[1] == '-' ? parse_long(p, &at) : parse_letters(p, &at));
    }
    for (; at.i < argc && !p->help; at.i++)
        strv_push(p->positionals, argv[at.i]);
    return NULL;
}

void cli_flags_init(const struct cli_flag *flags, void *opts) {
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        if (!f->def || f->standing == CLI_REFUSED || f->standing == CLI_IGNORED)
            continue;
        autoerr bad = set_value(f, (char *)opts + f->offset, f->def);
        if (bad)
            log_error("the table's default for --%s is wrong", f->name);
    }
}

void cli_flags_done(const struct cli_flag *flags, void *opts) {
    for (const struct cli_flag *f = flags; f && f->name; f++) {
        void *target = (char *)opts + f->offset;
        if (f->standing == CLI_REFUSED || f->standing == CLI_IGNORED)
            continue;
        if (is_list(f))
            strv_done(target);
        else if (f->type == CLI_STRING || f->type == CLI_STRING_OPT)
            mem_set(target, NULL);
    }
}
