/*
 * idmap: which ids a container has, as ranges of ids of the user namespace above its own.
 *
 * Two maps lie on top of each other. The user's own (host_id_map()) is that of the namespace which all containers of
 * the user are in: 0 is the user, 1 and up are the subordinate ids. Most containers have no other. One that does
 * (--userns,
 * --uidmap) gets a namespace below that one, and its map is written in the ids of the one above: "the store's ids", as
 * they are those that the store's files are seen with from there.
 *
 * Everything here is arithmetic on such maps; nothing asks the machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json;
struct str;

struct id_range {
    uint32_t inside, outside, count;
};
#define ID_RANGES_MAX 16
struct id_map {
    struct id_range uid[ID_RANGES_MAX], gid[ID_RANGES_MAX];
    size_t n_uid, n_gid;
};

/* The ids of one kind: half of a map. */
struct id_ranges {
    struct id_range r[ID_RANGES_MAX];
    size_t n;
};

/* How many ids are mapped; and one more than the highest of them as the container sees it. */
uint32_t idmap_total(const struct id_range *r, size_t n) __attribute__((pure));
uint32_t idmap_end(const struct id_range *r, size_t n) __attribute__((pure));
/* The id above of one inside; false where it is not mapped. */
bool idmap_above(const struct id_range *r, size_t n, uint32_t inside, uint32_t *ret);
/* The lowest id above that is not one of the container's. */
uint32_t idmap_foreign(const struct id_range *r, size_t n) __attribute__((pure));

/*
 * The identity of `total` ids but for one: the user (0 above) is `id` inside, and the ids below it move up by one to
 * make room (podman's keep-id). At most `size` ids, `id` among them; 0: all. usage where `id` does not fit.
 */
struct err *idmap_keep(uint32_t id, uint32_t total, uint32_t size, struct id_ranges *ret)
    __attribute__((warn_unused_result));
/* All but the user: 0 inside is 1 above. */
void idmap_without_user(uint32_t total, struct id_ranges *ret);
/* Puts a range in the place of whatever had its ids, inside or above (podman's "+"). usage: too many ranges. */
struct err *idmap_insert(struct id_ranges *m, struct id_range r) __attribute__((warn_unused_result));
/* Sorts, and joins what continues; usage where two ranges have an id in common, or one that is not below `total`. */
struct err *idmap_settle(struct id_ranges *m, uint32_t total) __attribute__((warn_unused_result));
/* First id of the lowest `count` free ones in [from, total) that `used` (n ranges of ids above, in any order) leaves.
 */
bool idmap_find_free(const struct id_range *used, size_t n, uint32_t from, uint32_t total, uint32_t count,
                     uint32_t *ret);

/* The name of a map: the sha256 of its settled ranges, 64 hex digits. */
struct err *idmap_name(const struct id_map *m, char ret[65]) __attribute__((warn_unused_result));
/* As /proc/PID/uid_map takes it: a line a range. */
void idmap_text(const struct id_range *r, size_t n, struct str *out);
/*
 * The same for a namespace below one with the ranges `above`: the kernel takes a range only where all of it is in one
 * of those, so they are cut at their borders.
 */
void idmap_text_within(const struct id_ranges *m, const struct id_ranges *above, struct str *out);
/* Reads such text; lines that are no ranges, and more than there is room for, are left out. */
void idmap_parse(const char *text, struct id_ranges *ret);
/* "uidMappings" and "gidMappings" of an OCI config's "linux", and back. *ret_mapped: there are any. */
void idmap_to_json(const struct id_map *m, struct json *linux_);
struct err *idmap_from_json(const struct json *linux_, struct id_map *ret, bool *ret_mapped)
    __attribute__((warn_unused_result));
