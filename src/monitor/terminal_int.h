/*
 * terminal_int: this side's terminal while a container has it, and the keys that detach.
 *
 * Raw mode is undone on every path: by terminal_restore() in the ordinary ones, and by handlers for the signals that a
 * crash of our own raises. Signals from outside arrive by signalfd in the pumps, which restore and then die of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* Whether `fd` is a terminal. */
bool terminal_is(int fd);
/* Puts the terminal on `fd` into raw mode and remembers how it was. False when `fd` is no terminal. */
bool terminal_raw(int fd);
/* Undoes it; nothing when it was not done. */
void terminal_restore(void);

#define DETACH_MAX 16

struct detach {
    unsigned char keys[DETACH_MAX];
    size_t n;    /* 0: none */
    size_t seen; /* how many of the keys were typed just now */
};
/*
 * Passes typed bytes through: copies to `to` (room for n + DETACH_MAX) what is for the container and holds back what
 * may be the beginning of the sequence. Returns true when the sequence is complete: then *ret_n bytes came before it.
 * Pure.
 */
bool detach_filter(struct detach *d, const unsigned char *from, size_t n, unsigned char *to, size_t *ret_n);
