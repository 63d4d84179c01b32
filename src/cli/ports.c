/* ports: a container's ports in one line, as docker's ps shows them: what lies side by side becomes a range. */
#include "cli/cli_int.h"

#include <stdlib.h>
#include <string.h>

struct port {
    const char *ip, *proto; /* ip NULL: only exposed */
    int64_t inside, outside;
};

static int in_order(const void *a, const void *b) {
    const struct port *x = a, *y = b;
    if (x->inside != y->inside)
        return x->inside < y->inside ? -1 : 1;
    int proto = strcmp(x->proto, y->proto);
    if (proto)
        return proto;
    return !x->ip || !y->ip ? !!y->ip - !!x->ip : strcmp(x->ip, y->ip);
}

static bool follows(const struct port *last, const struct port *p) {
    return p->inside == last->inside + 1 && !p->ip == !last->ip && str_eq(p->proto, last->proto) &&
           (!p->ip || (p->outside == last->outside + 1 && str_eq(p->ip, last->ip)));
}

static void append_range(struct str *out, const struct port *first, const struct port *last) {
    autofree char *inside = first == last ? mem_printf("%d", (int)first->inside)
                                          : mem_printf("%d-%d", (int)first->inside, (int)last->inside);
    autofree char *outside = first == last ? mem_printf("%d", (int)first->outside)
                                           : mem_printf("%d-%d", (int)first->outside, (int)last->outside);
    if (out->len)
        str_append(out, ", ");
    if (first->ip)
        str_appendf(out, strchr(first->ip, ':') ? "[%s]:%s->" : "%s:%s->", first->ip, outside);
    str_appendf(out, "%s/%s", inside, first->proto);
}

/* Takes the entries that make up the range beginning at v[i]; marks them as used by inside = -1. */
static void take_range(struct str *out, struct port *v, size_t n, size_t i) {
    struct port first = v[i], last = v[i];
    v[i].inside = -1;
    for (size_t j = i + 1; j < n; j++)
        if (v[j].inside >= 0 && follows(&last, &v[j])) {
            last = v[j];
            v[j].inside = -1;
        }
    append_range(out, &first, first.inside == last.inside ? &first : &last);
}

void cli_ports_text(const struct json *ports, struct str *out) {
    size_t n = 0;
    struct port *v = mem_array(json_count(ports) + 1, sizeof *v);
    JSON_EACH(p, ports) {
        const char *proto = json_str_value(json_get(p, "Type"));
        v[n++] = (struct port){.ip = json_str_value(json_get(p, "IP")),
                               .proto = proto ? proto : "tcp",
                               .inside = json_int_value(json_get(p, "PrivatePort"), 0),
                               .outside = json_int_value(json_get(p, "PublicPort"), 0)};
    }
    qsort(v, n, sizeof *v, in_order);
    for (size_t i = 0; i < n; i++)
        if (v[i].inside >= 0)
            take_range(out, v, n, i);
    free(v);
}
