/*
 * yaml: YAML files that others write (CDI specifications of device vendors), as a JSON tree. libyaml takes the text
 * apart; it is opened when it is needed (library.h).
 *
 * What YAML leaves to guesses is not guessed: a scalar is the text that it is written as, "no", "0" and "1.10" too.
 * Only under the keys that the caller knows to be numbers is a plain one a number, and a plain empty one, "~" or "null"
 * is null anywhere. What lets a small file grow or mean something else is refused: anchors and aliases, tags, a second
 * document, duplicate keys, keys that are no scalars; and so is more than YAML_SIZE_MAX bytes, YAML_DEPTH_MAX levels,
 * YAML_VALUES_MAX values, or YAML_MEMBERS_MAX in one mapping.
 */
#pragma once

#include <stddef.h>

struct err;
struct json;

#define YAML_SIZE_MAX ((size_t)1 << 20)
#define YAML_DEPTH_MAX 32
#define YAML_VALUES_MAX 65536
#define YAML_MEMBERS_MAX 1024

/*
 * Parses `n` bytes. `numbers`: keys whose plain scalars are decimal integers (in a sequence under such a key, too),
 * ended by NULL. Errors of kind corrupt name the line; unsupported: libyaml is not there, or not at build time.
 */
struct err *yaml_parse(const char *text, size_t n, const char *const *numbers, struct json **ret)
    __attribute__((warn_unused_result));
/* Reads and parses the regular file dirfd/name. */
struct err *yaml_read_file(int dirfd, const char *name, const char *const *numbers, struct json **ret)
    __attribute__((warn_unused_result));
