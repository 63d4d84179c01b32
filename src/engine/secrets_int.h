/* secrets_int: the secrets of containers, for who creates one. */
#pragma once

struct container_options;
struct engine;
struct err;
struct json;

/* What spec_input wants to know of the secrets that options name, or NULL: texts of those that become variables, true
 * for the others. What is wrong with an option spec_build() says. */
struct err *secrets_load(struct engine *e, const struct container_options *o, struct json **ret)
    __attribute__((warn_unused_result));
/* Copies those that become files to where the container's mounts look for them. */
struct err *secrets_place(struct engine *e, const char *id, const struct container_options *o)
    __attribute__((warn_unused_result));
