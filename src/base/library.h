/*
 * library: shared objects that few commands need. What is linked costs every command its start (1 to 3 ms each), so
 * these are opened by dlopen(3) where they are used, by the name of their ABI, and stay loaded; a machine without one
 * lacks what it is for, and the error says so.
 */
#pragma once

#include <stdbool.h>

/* Puts the address of a function of `lib` (from dlopen) into the function pointer at ret_fn: ISO C has no cast for what
 * dlsym returns. False where there is none of that name. */
bool library_symbol(void *lib, const char *name, void *ret_fn);
