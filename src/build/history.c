/* history: see history_int.h. */
#include "build/history_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

/* The letter behind the backslash of a byte that has one; 0: it has none. */
static char escape_of(char c) {
    static const char bytes[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
    const char *at = c ? strchr(bytes, c) : NULL;
    return at ? letters[at - bytes] : 0;
}

/* Go's strconv.Quote, but that all of UTF-8 counts as printable. */
static void quote(const char *s, struct str *out) {
    bool text = str_utf8_ok(s, strlen(s));
    str_append_c(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        char letter = escape_of(*s);
        if (letter)
            str_appendf(out, "\\%c", letter);
        else if (c < ' ' || c == 0x7f || (c > 0x7f && !text))
            str_appendf(out, "\\x%02x", c);
        else
            str_append_c(out, *s);
    }
    str_append_c(out, '"');
}

void history_entry(enum df_kind kind, const struct strv *words, struct str *out) {
    static const enum {
        PLAIN,
        LIST,
        QUOTED,
        STEP
    } forms[DF_KIND_COUNT] = {
        [DF_ADD] = STEP,    [DF_COPY] = STEP,  [DF_RUN] = STEP,    [DF_CMD] = QUOTED,
        [DF_EXPOSE] = LIST, [DF_SHELL] = LIST, [DF_VOLUME] = LIST, [DF_ENTRYPOINT] = QUOTED,
    };
    bool brackets = forms[kind] == LIST || forms[kind] == QUOTED;
    str_appendf(out, "%s %s", df_kind_name(kind), brackets ? "[" : "");
    for (size_t i = 0; i < words->n; i++) {
        if (i)
            str_append_c(out, ' ');
        if (forms[kind] == QUOTED)
            quote(words->v[i], out);
        else
            str_append(out, words->v[i]);
    }
    str_append(out, brackets ? "]" : forms[kind] == STEP ? " # buildkit" : "");
}

void history_health(const struct json *health, struct str *out) {
    static const char *const times[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
    const char *blank = "";
    str_append(out, "HEALTHCHECK {Test:[");
    JSON_EACH(word, json_get(health, "Test")) {
        str_appendf(out, "%s%s", blank, json_str_value(word));
        blank = " ";
    }
    str_append_c(out, ']');
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        str_appendf(out, " %s:", times[i]);
        clock_format_go(json_int_value(json_get(health, times[i]), 0), out);
    }
    str_appendf(out, " Retries:%lld}", (long long)json_int_value(json_get(health, "Retries"), 0));
}
