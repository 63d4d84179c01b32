/* packages: see packages_int.h. */
#include "build/packages_int.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { VALUE_MAX = 512 };

static void package_done(struct package *p) {
    free(p->name);
    free(p->version);
    free(p->arch);
    free(p->source);
    free(p->license);
}

void packages_done(struct packages *p) {
    for (size_t i = 0; i < p->n; i++)
        package_done(&p->v[i]);
    free(p->v);
    *p = (struct packages){.n = 0};
}

/* A value as it may stand in a document of ours. */
static char *value_of(const char *text, size_t n) {
    while (n && (text[0] == ' ' || text[0] == '\t'))
        text++, n--;
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\r' || text[n - 1] == '\t'))
        n--;
    char *value = mem_dupn(text, n < VALUE_MAX ? n : VALUE_MAX);
    for (char *c = value; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return value;
}

/* ---- paragraphs of fields, a line each ---- */

struct field {
    const char *name; /* with its ':' */
    size_t member;    /* of struct package, or OF_STATUS */
};
#define OF(m) offsetof(struct package, m)
#define OF_STATUS ((size_t)-1)

static const struct field dpkg[] = {{"Package:", OF(name)},      {"Version:", OF(version)}, {"Status:", OF_STATUS},
                                    {"Architecture:", OF(arch)}, {"Source:", OF(source)},   {NULL, 0}};
static const struct field apk[] = {{"P:", OF(name)},   {"V:", OF(version)}, {"A:", OF(arch)},
                                   {"o:", OF(source)}, {"L:", OF(license)}, {NULL, 0}};

struct reading {
    const char *type;
    const struct field *fields;
    struct package now;
    bool gone; /* its status says that it is not installed */
    struct packages *out;
};

static char **member(struct package *p, size_t offset) { return (char **)(void *)((char *)p + offset); }

static void end_paragraph(struct reading *r) {
    struct package *p = &r->now;
    bool good = p->name && *p->name && !r->gone && r->out->n < PACKAGES_MAX;
    if (!good) {
        package_done(p);
    } else {
        for (const struct field *f = r->fields; f->name; f++)
            if (f->member != OF_STATUS && !*member(p, f->member))
                *member(p, f->member) = mem_dup("");
        if (!p->license)
            p->license = mem_dup("");
        p->type = r->type;
        r->out->v = mem_resize(r->out->v, r->out->n + 1, sizeof *r->out->v);
        r->out->v[r->out->n++] = *p;
    }
    *p = (struct package){.name = NULL};
    r->gone = false;
}

static void take_line(struct reading *r, const char *line, size_t n) {
    for (const struct field *f = r->fields; f->name; f++) {
        size_t len = strlen(f->name);
        if (n < len || strncmp(line, f->name, len) != 0)
            continue;
        autofree char *value = value_of(line + len, n - len);
        if (f->member == OF_STATUS)
            r->gone = !str_ends(value, " installed");
        else if (!*member(&r->now, f->member))
            *member(&r->now, f->member) = take_ptr(&value);
        return;
    }
}

static void read_all(struct reading *r, const char *text) {
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n)
            take_line(r, text, n);
        else
            end_paragraph(r);
        text += n + (text[n] == '\n');
    }
    end_paragraph(r);
}

void packages_of_dpkg(const char *text, struct packages *out) {
    struct reading r = {.type = "deb", .fields = dpkg, .out = out};
    read_all(&r, text);
}

void packages_of_apk(const char *text, struct packages *out) {
    struct reading r = {.type = "apk", .fields = apk, .out = out};
    read_all(&r, text);
}

/* ---- order ---- */

static int compare(const void *a, const void *b) {
    const struct package *p = a, *q = b;
    const char *const pairs[][2] = {
        {p->type, q->type}, {p->name, q->name}, {p->version, q->version}, {p->arch, q->arch}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        int order = strcmp(pairs[i][0], pairs[i][1]);
        if (order)
            return order;
    }
    return 0;
}

void packages_sort(struct packages *p) {
    size_t kept = 0;
    if (p->n)
        qsort(p->v, p->n, sizeof *p->v, compare);
    for (size_t i = 0; i < p->n; i++) {
        if (kept && compare(&p->v[kept - 1], &p->v[i]) == 0)
            package_done(&p->v[i]);
        else
            p->v[kept++] = p->v[i];
    }
    p->n = kept;
}
