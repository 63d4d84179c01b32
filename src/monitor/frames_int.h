/*
 * frames_int: the frames of an attached connection, taken apart as they arrive. Payloads of streams are handed on in
 * pieces, never collected, so a frame's announced length costs nothing; the other frames have at most eight bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/monitor.h"

#define FRAME_HEAD 8
#define FRAME_SMALL 8

struct frame_parser {
    uint8_t head[FRAME_HEAD];
    size_t have; /* bytes of the head, or of `small`, so far */
    bool in_payload;
    uint32_t left; /* of the payload */
    uint8_t small[FRAME_SMALL];
};

struct frame {
    enum monitor_frame type;
    const uint8_t *data; /* FRAME_STDIN, _STDOUT, _STDERR: a piece; others: the whole payload */
    size_t n;
    bool empty; /* a stream frame of length 0 */
};

enum frame_result { FRAME_NONE, FRAME_GOT, FRAME_BROKEN };

/* Takes from [*at, *at + *left) up to the next thing to do. FRAME_NONE: all was taken, more is needed. Pure. */
enum frame_result frame_next(struct frame_parser *p, const uint8_t **at, size_t *left, struct frame *ret);

/* Writes the 8 bytes before a payload. */
void frame_head(uint8_t to[FRAME_HEAD], enum monitor_frame type, size_t n);
