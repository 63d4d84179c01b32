/* check_config: the value of "# check=": which checks are made, and what comes of them. See check_int.h. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/check_int.h"
#include "build/dockerfile_int.h"
#include "spec/spec.h"

void check_config_done(struct check_config *c) {
    strv_done(&c->skip);
    strv_done(&c->experimental);
}

static void names_of(const char *value, struct strv *out, bool *ret_all) {
    autostrv struct strv parts = {.n = 0};
    *ret_all |= str_eq(value, "all");
    strv_split(&parts, value, ',');
    for (size_t i = 0; i < parts.n; i++)
        strv_push_take(out, df_trimmed(parts.v[i], strlen(parts.v[i])));
}

static struct err *option(struct check_config *c, const char *text) {
    const char *eq = strchr(text, '=');
    autofree char *key = df_trimmed(text, strcspn(text, "="));
    if (!eq)
        return err_new(ERR_USAGE, "invalid check option \"%s\"", text);
    autofree char *value = df_trimmed(eq + 1, strlen(eq + 1));
    if (str_eq(key, "skip"))
        names_of(value, &c->skip, &c->skip_all);
    else if (str_eq(key, "experimental"))
        names_of(value, &c->experimental, &c->experimental_all);
    else if (!str_eq(key, "error"))
        return err_new(ERR_USAGE, "invalid check option \"%s\"", key);
    else if (!spec_parse_bool(value, &c->error))
        return err_new(ERR_USAGE, "failed to parse check option \"%s\": \"%s\" is neither true nor false", text, value);
    return NULL;
}

struct err *check_config_parse(const char *text, struct check_config *ret) {
    autostrv struct strv parts = {.n = 0};
    autofree char *all = text ? df_trimmed(text, strlen(text)) : NULL;
    if (!all || !*all)
        return NULL;
    strv_split(&parts, all, ';');
    for (size_t i = 0; i < parts.n; i++)
        TRY_CTX(option(ret, parts.v[i]), "failed to parse check options");
    return NULL;
}
