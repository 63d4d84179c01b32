/* restart: docker's --restart, in the words of its client and its engine. */
#include "spec/spec_int.h"

static const char *const names[] = {"no", "always", "on-failure", "unless-stopped"};

/* Go's Atoi: digits and one sign. */
static bool is_count(const char *text, int *ret) {
    int64_t n;
    if (!str_to_i64(*text == '+' ? text + 1 : text, INT32_MIN, INT32_MAX, &n))
        return false;
    *ret = (int)n;
    return true;
}

static struct err *check_count(const char *name, int max) {
    if (str_eq(name, "on-failure"))
        return max < 0 ? err_new(ERR_USAGE, "invalid restart policy: maximum retry count cannot be negative") : NULL;
    if (max == 0)
        return NULL;
    return err_new(ERR_USAGE, "invalid restart policy: maximum retry count can only be used with 'on-failure'%s",
                   max < 0 ? " and cannot be negative" : "");
}

struct err *spec_parse_restart(const char *text, const char **ret_name, int *ret_max) {
    *ret_name = names[0];
    *ret_max = 0;
    if (!text || !*text)
        return NULL;
    size_t len = strcspn(text, ":");
    int max = 0;
    if (len == 0)
        return err_new(ERR_USAGE, "invalid restart policy format: no policy provided before colon");
    if (text[len] && text[len + 1] && !is_count(text + len + 1, &max))
        return err_new(ERR_USAGE, "invalid restart policy format: maximum retry count must be an integer");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i]) == len && !strncmp(names[i], text, len)) {
            *ret_name = names[i];
            *ret_max = max;
            return check_count(names[i], max);
        }
    return err_new(
        ERR_USAGE,
        "invalid restart policy: unknown policy '%.*s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        (int)len, text);
}

struct err *spec_resolve_restart(struct spec_ctx *x) {
    TRY(spec_parse_restart(x->o->restart, &x->restart, &x->restart_max));
    if (x->o->rm && !str_eq(x->restart, names[0]))
        return err_new(ERR_USAGE, "conflicting options: cannot specify both --restart and --rm");
    return NULL;
}

struct json *spec_restart_json(const char *name, int max) {
    struct json *j = json_object();
    json_set_str(j, "Name", name);
    json_set_int(j, "MaximumRetryCount", max);
    return j;
}
