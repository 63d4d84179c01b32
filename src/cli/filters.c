/* filters: docker's "key=value" conditions. Several values of one key come out joined by newlines, in the order they
 * were typed. */
#include "cli/cli_int.h"

#include <ctype.h>
#include <string.h>

static char *trimmed_lower(const char *s, size_t n) {
    while (n > 0 && isspace((unsigned char)*s)) {
        s++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        n--;
    char *out = mem_dupn(s, n);
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return out;
}

static bool known(const char *const *keys, const char *key) {
    for (; *keys; keys++)
        if (!strcmp(*keys, key))
            return true;
    return false;
}

struct err *cli_filters_parse(const struct strv *texts, const char *const *valid_keys, struct strmap *ret_multi) {
    for (size_t i = 0; i < texts->n; i++) {
        const char *text = texts->v[i], *equals = strchr(text, '=');
        if (!*text)
            continue;
        if (!equals)
            return err_new(ERR_USAGE, "bad format of filter (expected name=value): %s", text);
        autofree char *key = trimmed_lower(text, (size_t)(equals - text));
        if (!known(valid_keys, key))
            return err_new(ERR_USAGE, "invalid filter '%s'", key);
        const char *value = equals + 1 + strspn(equals + 1, " \t"), *old = strmap_get(ret_multi, key);
        autofree char *joined = old ? mem_printf("%s\n%s", old, value) : mem_dup(value);
        strmap_set(ret_multi, key, joined);
    }
    return NULL;
}

void cli_filter_values(const struct strmap *filters, const char *key, struct strv *ret) {
    if (strmap_get(filters, key))
        strv_split(ret, strmap_get(filters, key), '\n');
}

bool cli_filters_match(const struct strmap *filters, cli_filter_fn *one, const void *object) {
    for (size_t i = 0; i < filters->n; i++) {
        const char *key = filters->e[i].key;
        autostrv struct strv values = {.n = 0};
        bool hit = !strcmp(key, "label");
        cli_filter_values(filters, key, &values);
        for (size_t k = 0; k < values.n && !hit; k++)
            hit = one(object, key, values.v[k]);
        if (!hit)
            return false;
    }
    return true;
}

/* docker's label filter: "key" wants the label to be there, "key=value" that value. */
static bool label_matches(const struct json *labels, const char *wanted) {
    const char *equals = strchr(wanted, '=');
    autofree char *key = equals ? mem_dupn(wanted, (size_t)(equals - wanted)) : mem_dup(wanted);
    const struct json *value = json_get(labels, key);
    return value && (!equals || str_eq(json_str_value(value), equals + 1));
}

bool cli_labels_match(const struct json *labels, const char *wanted) {
    autostrv struct strv each = {.n = 0};
    if (wanted)
        strv_split(&each, wanted, '\n');
    for (size_t i = 0; i < each.n; i++)
        if (!label_matches(labels, each.v[i]))
            return false;
    return true;
}

void cli_labels_text(const struct json *labels, struct str *out) {
    const char *comma = "";
    JSON_EACH(l, labels) {
        const char *value = json_str_value(l);
        str_appendf(out, "%s%s=%s", comma, json_key(l), value ? value : "");
        comma = ",";
    }
}
