/*
 * limits: a running container's processes halted and let go on, and its resource limits changed. Part of the engine's
 * interface (engine.h), in a header of its own.
 */
#pragma once

struct engine;
struct err;

/* Halts every process of a running container; conflict when it does not run or is paused already. */
struct err *engine_container_pause(struct engine *e, const char *name) __attribute__((warn_unused_result));
/* Lets them go on; conflict when it is not paused. */
struct err *engine_container_unpause(struct engine *e, const char *name) __attribute__((warn_unused_result));
