/*
 * yaml: see yaml.h. libyaml reports events; a stack of the containers that are open makes a tree of them. A build
 * without libyaml's header has no YAML.
 */
#include "base/yaml.h"

#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"

#if __has_include(<yaml.h>)
#include <dlfcn.h>
#include <yaml.h>

#include "base/library.h"
#include "base/mem.h"

/* ---- the library ---- */

struct api {
    int (*initialize)(yaml_parser_t *parser);
    void (*finish)(yaml_parser_t *parser);
    void (*set_input)(yaml_parser_t *parser, const unsigned char *text, size_t n);
    int (*parse)(yaml_parser_t *parser, yaml_event_t *event);
    void (*event_finish)(yaml_event_t *event);
};

static struct err *api_load(struct api *a) {
    void *lib = dlopen("libyaml-0.so.2", RTLD_NOW | RTLD_LOCAL);
    if (lib && library_symbol(lib, "yaml_parser_initialize", &a->initialize) &&
        library_symbol(lib, "yaml_parser_delete", &a->finish) &&
        library_symbol(lib, "yaml_parser_set_input_string", &a->set_input) &&
        library_symbol(lib, "yaml_parser_parse", &a->parse) &&
        library_symbol(lib, "yaml_event_delete", &a->event_finish))
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "YAML is read by libyaml, which is not available"),
                    "install the package 'libyaml-0-2' (Debian, Ubuntu), 'libyaml' (Fedora, Arch) or 'yaml' (Alpine)");
}

/* ---- the tree ---- */

struct level {
    struct json *value; /* a mapping or a sequence; borrowed from its parent, the root is the builder's */
    char *key;          /* of a mapping: that whose value comes next, or NULL */
    bool number;        /* of a sequence: its scalars are numbers */
};
struct builder {
    const char *const *numbers;
    struct json *root;
    struct level open[YAML_DEPTH_MAX];
    size_t depth, values;
    bool ended; /* there was a document */
};

static void builder_done(struct builder *b) {
    for (size_t i = 0; i < b->depth; i++)
        free(b->open[i].key);
    json_free(b->root);
}

static bool is_number_key(const struct builder *b, const char *key) {
    for (const char *const *p = b->numbers; key && *p; p++)
        if (str_eq(*p, key))
            return true;
    return false;
}

/* Whether a scalar here is a number where it looks like one. */
static bool wants_number(const struct builder *b) {
    const struct level *l = b->depth ? &b->open[b->depth - 1] : NULL;
    return l && (l->key ? is_number_key(b, l->key) : l->number);
}

static struct err *add(struct builder *b, struct json *take_value) {
    struct level *l = b->depth ? &b->open[b->depth - 1] : NULL;
    if (++b->values > YAML_VALUES_MAX || (l && json_count(l->value) == YAML_MEMBERS_MAX)) {
        json_free(take_value);
        return err_new(ERR_CORRUPT, "more values than a file of this kind has");
    }
    if (!l)
        b->root = take_value;
    else if (l->key)
        json_set(l->value, l->key, take_value);
    else
        json_push(l->value, take_value);
    if (l)
        mem_set(&l->key, NULL);
    return NULL;
}

static struct err *begin(struct builder *b, struct json *take_container) {
    bool number = wants_number(b);
    const struct level *l = b->depth ? &b->open[b->depth - 1] : NULL;
    bool no_key = l && json_type(l->value) == JSON_OBJECT && !l->key;
    if (b->depth == YAML_DEPTH_MAX || no_key) {
        json_free(take_container);
        return no_key ? err_new(ERR_CORRUPT, "a key that is not text")
                      : err_new(ERR_CORRUPT, "more than %d levels", YAML_DEPTH_MAX);
    }
    TRY(add(b, take_container));
    b->open[b->depth++] = (struct level){.value = take_container, .number = number};
    return NULL;
}

static struct err *take_key(struct level *l, const char *text) {
    if (json_get(l->value, text))
        return err_new(ERR_CORRUPT, "the key \"%s\" is there twice", text);
    l->key = mem_dup(text);
    return NULL;
}

static bool is_null(const char *text) { return !*text || str_eq(text, "~") || str_eq(text, "null"); }

static struct err *scalar(struct builder *b, const yaml_event_t *ev) {
    const char *text = (const char *)ev->data.scalar.value;
    const bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct level *l = b->depth ? &b->open[b->depth - 1] : NULL;
    int64_t number;
    if (memchr(text, '\0', ev->data.scalar.length))
        return err_new(ERR_CORRUPT, "a NUL character");
    if (l && json_type(l->value) == JSON_OBJECT && !l->key)
        return take_key(l, text);
    if (plain && is_null(text))
        return add(b, json_null());
    if (plain && wants_number(b) && str_to_i64(text, 0, INT64_MAX, &number))
        return add(b, json_int(number));
    return add(b, json_string(text));
}

/* What gives a value a name to be repeated by, or a meaning of somebody's own. */
static struct err *check_marks(const yaml_event_t *ev) {
    const unsigned char *anchor = NULL, *tag = NULL;
    if (ev->type == YAML_ALIAS_EVENT)
        return err_new(ERR_CORRUPT, "aliases are not read");
    if (ev->type == YAML_SCALAR_EVENT)
        anchor = ev->data.scalar.anchor, tag = ev->data.scalar.tag;
    else if (ev->type == YAML_SEQUENCE_START_EVENT)
        anchor = ev->data.sequence_start.anchor, tag = ev->data.sequence_start.tag;
    else if (ev->type == YAML_MAPPING_START_EVENT)
        anchor = ev->data.mapping_start.anchor, tag = ev->data.mapping_start.tag;
    return anchor || tag ? err_new(ERR_CORRUPT, "anchors and tags are not read") : NULL;
}

static struct err *take_event(struct builder *b, const yaml_event_t *ev) {
    TRY(check_marks(ev));
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        return b->ended ? err_new(ERR_CORRUPT, "a second document") : NULL;
    case YAML_DOCUMENT_END_EVENT:
        b->ended = true;
        return NULL;
    case YAML_SCALAR_EVENT:
        return scalar(b, ev);
    case YAML_SEQUENCE_START_EVENT:
        return begin(b, json_array());
    case YAML_MAPPING_START_EVENT:
        return begin(b, json_object());
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return NULL;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_ALIAS_EVENT:
        break;
    }
    return NULL;
}

static struct err *take_events(const struct api *a, yaml_parser_t *parser, struct builder *b) {
    bool end = false;
    while (!end) {
        yaml_event_t ev;
        if (!a->parse(parser, &ev))
            return err_new(ERR_CORRUPT, "line %zu: %s", parser->problem_mark.line + 1,
                           parser->problem ? parser->problem : "cannot be read");
        size_t line = ev.start_mark.line + 1;
        end = ev.type == YAML_STREAM_END_EVENT;
        struct err *e = take_event(b, &ev);
        a->event_finish(&ev);
        TRY_CTX(e, "line %zu", line);
    }
    return NULL;
}

struct err *yaml_parse(const char *text, size_t n, const char *const *numbers, struct json **ret) {
    struct api a;
    yaml_parser_t parser;
    struct builder b = {.numbers = numbers};
    if (n > YAML_SIZE_MAX)
        return err_new(ERR_CORRUPT, "more than %zu bytes", YAML_SIZE_MAX);
    TRY(api_load(&a));
    if (!a.initialize(&parser))
        return err_new(ERR_SYSTEM, "libyaml cannot begin");
    a.set_input(&parser, (const unsigned char *)text, n);
    struct err *e = take_events(&a, &parser, &b);
    a.finish(&parser);
    if (!e)
        *ret = b.root ? take_ptr(&b.root) : json_null();
    builder_done(&b);
    return e;
}

#else

struct err *yaml_parse(const char *text, size_t n, const char *const *numbers, struct json **ret) {
    (void)text, (void)n, (void)numbers, (void)ret;
    return err_hint(err_new(ERR_UNSUPPORTED, "this build has no YAML"),
                    "build it where libyaml's header is, or use JSON");
}

#endif

struct err *yaml_read_file(int dirfd, const char *name, const char *const *numbers, struct json **ret) {
    autostr struct str text = STR_INIT;
    TRY(io_read_file(dirfd, name, YAML_SIZE_MAX, &text));
    return yaml_parse(str_c(&text), text.len, numbers, ret);
}
