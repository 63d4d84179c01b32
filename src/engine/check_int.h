/* check_int: what check.c, which looks, and repair.c, which mends, share. */
#pragma once

#include "storage/check.h"

struct engine;
struct err;

/* The engine's user namespace, for the store's functions; ctx is the engine. */
struct store_inside engine_inside(struct engine *e);
/* Puts right what it can, and sets `repaired` or `failed` of each finding that has neither. */
void engine_repair(struct engine *e, struct store_findings *found);
