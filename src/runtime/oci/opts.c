/* opts: the options of coracle-runtime's commands, in the forms that engines write them. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"

static const struct opt *find(const struct opt *opts, size_t n, const char *word, size_t len) {
    for (size_t i = 0; i < n; i++) {
        bool by_name =
            word[1] == '-' && strlen(opts[i].name) == len - 2 && memcmp(word + 2, opts[i].name, len - 2) == 0;
        bool by_letter = len == 2 && opts[i].letter && word[1] == opts[i].letter;
        if (by_name || by_letter)
            return &opts[i];
    }
    return NULL;
}

static struct err *set_flag(const struct opt *o, const char *value) {
    bool on = !value || str_eq(value, "true") || str_eq(value, "1");
    if (!on && !str_eq(value, "false") && !str_eq(value, "0"))
        return err_new(ERR_USAGE, "--%s takes true or false, not '%s'", o->name, value);
    if (o->type == OPT_FLAG)
        *(bool *)o->target = on;
    return NULL;
}

static void set_value(const struct opt *o, const char *value) {
    if (o->type == OPT_STRING)
        *(const char **)o->target = value;
    else if (o->type == OPT_LIST)
        strv_push(o->target, value);
}

struct err *opts_parse(const struct opt *opts, size_t n, int argc, char **argv, int *ret_index) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (str_eq(argv[i], "--")) {
            i++;
            break;
        }
        size_t len = strcspn(argv[i], "=");
        const char *value = argv[i][len] ? argv[i] + len + 1 : NULL;
        const struct opt *o = len >= 2 ? find(opts, n, argv[i], len) : NULL;
        if (!o)
            return err_new(ERR_USAGE, "unknown option %.*s of %s", (int)len, argv[i], argv[0]);
        if (o->type == OPT_FLAG || o->type == OPT_IGNORED_FLAG) {
            TRY(set_flag(o, value));
            continue;
        }
        if (!value && i + 1 == argc)
            return err_new(ERR_USAGE, "option --%s needs a value", o->name);
        set_value(o, value ? value : argv[++i]);
    }
    *ret_index = i;
    return NULL;
}

struct err *opts_number(const char *name, const char *text, int64_t max, int64_t *ret) {
    if (text && !str_to_i64(text, 0, max, ret))
        return err_new(ERR_USAGE, "--%s takes a number up to %lld, not '%s'", name, (long long)max, text);
    return NULL;
}
