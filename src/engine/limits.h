/*
 * limits: a running container's processes halted and let go on, and its resource limits changed. Part of the engine's
 * interface (engine.h), in a header of its own.
 */
#pragma once

struct engine;
struct err;
struct spec_resources;
struct strv;

/* Halts every process of a running container; conflict when it does not run or is paused already. */
struct err *engine_container_pause(struct engine *e, const char *name) __attribute__((warn_unused_result));
/* Lets them go on; conflict when it is not paused. */
struct err *engine_container_unpause(struct engine *e, const char *name) __attribute__((warn_unused_result));
/*
 * Changes the limits that are given, and leaves the others: in the container's records, and, where it runs, in force
 * (docker update). A limit that nothing would hold is refused, and changes nothing; ret_warnings gets lines for stderr.
 */
struct err *engine_container_update(struct engine *e, const char *name, const struct spec_resources *r,
                                    struct strv *ret_warnings) __attribute__((warn_unused_result));
