/* idmap: see idmap.h. */
#include "base/idmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/str.h"

uint32_t idmap_total(const struct id_range *r, size_t n) {
    uint32_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += r[i].count;
    return total;
}

uint32_t idmap_end(const struct id_range *r, size_t n) {
    uint32_t end = 0;
    for (size_t i = 0; i < n; i++)
        if (r[i].inside + r[i].count > end)
            end = r[i].inside + r[i].count;
    return end;
}

bool idmap_above(const struct id_range *r, size_t n, uint32_t inside, uint32_t *ret) {
    for (size_t i = 0; i < n; i++)
        if (inside >= r[i].inside && inside - r[i].inside < r[i].count) {
            *ret = r[i].outside + (inside - r[i].inside);
            return true;
        }
    return false;
}

uint32_t idmap_foreign(const struct id_range *r, size_t n) {
    uint32_t id;
    (void)idmap_find_free(r, n, 0, UINT32_MAX, 1, &id);
    return id;
}

/* ---- making maps ---- */

static void push(struct id_ranges *m, uint32_t inside, uint32_t outside, uint32_t count) {
    if (count)
        m->r[m->n++] = (struct id_range){inside, outside, count};
}

struct err *idmap_keep(uint32_t id, uint32_t total, uint32_t size, struct id_ranges *ret) {
    uint32_t all = size && size < total ? size : total;
    struct id_ranges m = {.n = 0};
    if (size > total)
        return err_new(ERR_USAGE, "size %u is more than the %u ids that there are", size, total);
    if (id >= all)
        return err_new(ERR_USAGE, "id %u is not below %u, the number of ids that there are", id, all);
    push(&m, 0, 1, id);
    push(&m, id, 0, 1);
    push(&m, id + 1, id + 1, all - id - 1);
    *ret = m;
    return NULL;
}

void idmap_without_user(uint32_t total, struct id_ranges *ret) {
    *ret = (struct id_ranges){.n = 0};
    push(ret, 0, 1, total ? total - 1 : 0);
}

/* Takes [from, from + count) out of a range, by its ids inside or above; what is left of it goes to `out`. */
static struct err *cut(struct id_range r, uint32_t from, uint32_t count, bool above, struct id_ranges *out) {
    uint64_t first = above ? r.outside : r.inside, end = first + r.count, stop = (uint64_t)from + count;
    uint64_t left = from > first ? (from < end ? from : end) - first : 0;
    uint64_t right = stop < end ? end - (stop > first ? stop : first) : 0;
    if (out->n + 2 > ID_RANGES_MAX)
        return err_new(ERR_USAGE, "a map has at most %d ranges", ID_RANGES_MAX - 2);
    push(out, r.inside, r.outside, (uint32_t)left);
    uint32_t at = r.count - (uint32_t)right;
    push(out, r.inside + at, r.outside + at, (uint32_t)right);
    return NULL;
}

static struct err *cut_all(struct id_ranges *m, struct id_range r, bool above) {
    struct id_ranges out = {.n = 0};
    for (size_t i = 0; i < m->n; i++)
        TRY(cut(m->r[i], above ? r.outside : r.inside, r.count, above, &out));
    *m = out;
    return NULL;
}

struct err *idmap_insert(struct id_ranges *m, struct id_range r) {
    TRY(cut_all(m, r, false));
    TRY(cut_all(m, r, true));
    if (m->n == ID_RANGES_MAX)
        return err_new(ERR_USAGE, "a map has at most %d ranges", ID_RANGES_MAX);
    push(m, r.inside, r.outside, r.count);
    return NULL;
}

static int by_inside(const void *a, const void *b) {
    const struct id_range *x = a, *y = b;
    return (x->inside > y->inside) - (x->inside < y->inside);
}

static bool common(uint32_t a, uint32_t na, uint32_t b, uint32_t nb) {
    return (uint64_t)a < (uint64_t)b + nb && (uint64_t)b < (uint64_t)a + na;
}

static struct err *check(const struct id_ranges *m, uint32_t total) {
    for (size_t i = 0; i < m->n; i++) {
        const struct id_range *r = &m->r[i];
        if (!r->count || (uint64_t)r->inside + r->count > UINT32_MAX || (uint64_t)r->outside + r->count > total)
            return err_hint(
                err_new(ERR_USAGE, "range %u:%u:%u is not within the %u ids that there are", r->inside, r->outside,
                        r->count, total),
                "the second number counts the ids that you have: 0 is yourself, 1 the first subordinate id");
        for (size_t k = 0; k < i; k++)
            if (common(r->inside, r->count, m->r[k].inside, m->r[k].count) ||
                common(r->outside, r->count, m->r[k].outside, m->r[k].count))
                return err_new(ERR_USAGE, "ranges %u:%u:%u and %u:%u:%u have an id in common", m->r[k].inside,
                               m->r[k].outside, m->r[k].count, r->inside, r->outside, r->count);
    }
    return NULL;
}

struct err *idmap_settle(struct id_ranges *m, uint32_t total) {
    TRY(check(m, total));
    qsort(m->r, m->n, sizeof *m->r, by_inside);
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct id_range *last = n ? &m->r[n - 1] : NULL;
        if (last && last->inside + last->count == m->r[i].inside && last->outside + last->count == m->r[i].outside)
            last->count += m->r[i].count;
        else
            m->r[n++] = m->r[i];
    }
    m->n = n;
    return n ? NULL : err_new(ERR_USAGE, "a map without ids");
}

/* Moved up by whatever is in the way, until nothing is: each step passes one of the ranges for good. */
bool idmap_find_free(const struct id_range *used, size_t n, uint32_t from, uint32_t total, uint32_t count,
                     uint32_t *ret) {
    uint64_t at = from;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < n; i++)
            if (at < (uint64_t)used[i].outside + used[i].count && used[i].outside < at + count) {
                at = (uint64_t)used[i].outside + used[i].count;
                moved = true;
            }
    }
    *ret = (uint32_t)at;
    return at + count <= total;
}

/* ---- as text ---- */

void idmap_text(const struct id_range *r, size_t n, struct str *out) {
    for (size_t i = 0; i < n; i++)
        str_appendf(out, "%u %u %u\n", r[i].inside, r[i].outside, r[i].count);
}

struct err *idmap_name(const struct id_map *m, char ret[65]) {
    autostr struct str text = STR_INIT;
    char digest[DIGEST_LEN + 1];
    idmap_text(m->uid, m->n_uid, &text);
    str_append_c(&text, '\n');
    idmap_text(m->gid, m->n_gid, &text);
    TRY(digest_of(text.ptr, text.len, digest));
    memcpy(ret, digest_hex(digest), 65);
    return NULL;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* How many ids from `id` on are in the range of `above` that has it; `most` where none has. */
static uint32_t within(const struct id_ranges *above, uint32_t id, uint32_t most) {
    for (size_t i = 0; i < above->n; i++)
        if (id >= above->r[i].inside && id - above->r[i].inside < above->r[i].count)
            return least(most, above->r[i].count - (id - above->r[i].inside));
    return most;
}

void idmap_text_within(const struct id_ranges *m, const struct id_ranges *above, struct str *out) {
    for (size_t i = 0; i < m->n; i++)
        for (uint32_t done = 0, count; done < m->r[i].count; done += count) {
            count = within(above, m->r[i].outside + done, m->r[i].count - done);
            str_appendf(out, "%u %u %u\n", m->r[i].inside + done, m->r[i].outside + done, count);
        }
}

void idmap_parse(const char *text, struct id_ranges *ret) {
    autostrv struct strv lines = {.n = 0};
    *ret = (struct id_ranges){.n = 0};
    strv_split(&lines, text, '\n');
    for (size_t i = 0; i < lines.n && ret->n < ID_RANGES_MAX; i++) {
        struct id_range *r = &ret->r[ret->n];
        if (sscanf(lines.v[i], "%u %u %u", &r->inside, &r->outside, &r->count) == 3)
            ret->n++;
    }
}

static struct json *ranges_json(const struct id_range *r, size_t n) {
    struct json *list = json_array();
    for (size_t i = 0; i < n; i++) {
        struct json *o = json_object();
        json_set_int(o, "containerID", r[i].inside);
        json_set_int(o, "hostID", r[i].outside);
        json_set_int(o, "size", r[i].count);
        json_push(list, o);
    }
    return list;
}

void idmap_to_json(const struct id_map *m, struct json *linux_) {
    json_set(linux_, "uidMappings", ranges_json(m->uid, m->n_uid));
    json_set(linux_, "gidMappings", ranges_json(m->gid, m->n_gid));
}

static struct err *read_ranges(const struct json *list, struct id_range *ret, size_t *ret_n) {
    size_t n = 0;
    JSON_EACH(it, list) {
        uint64_t inside, outside, count;
        if (n == ID_RANGES_MAX)
            return err_new(ERR_USAGE, "a map has at most %d ranges", ID_RANGES_MAX);
        TRY(json_get_u64_opt(it, "containerID", 0, &inside));
        TRY(json_get_u64_opt(it, "hostID", 0, &outside));
        TRY(json_get_u64_opt(it, "size", 0, &count));
        if (inside > UINT32_MAX || outside > UINT32_MAX || !count || count > UINT32_MAX)
            return err_new(ERR_USAGE, "an id of a map is out of range");
        ret[n++] = (struct id_range){(uint32_t)inside, (uint32_t)outside, (uint32_t)count};
    }
    *ret_n = n;
    return NULL;
}

struct err *idmap_from_json(const struct json *linux_, struct id_map *ret, bool *ret_mapped) {
    TRY(read_ranges(json_get(linux_, "uidMappings"), ret->uid, &ret->n_uid));
    TRY(read_ranges(json_get(linux_, "gidMappings"), ret->gid, &ret->n_gid));
    *ret_mapped = ret->n_uid && ret->n_gid;
    return NULL;
}
