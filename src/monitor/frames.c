/* frames: see frames_int.h. */
#include "monitor/frames_int.h"

#include <string.h>

void frame_head(uint8_t to[FRAME_HEAD], enum monitor_frame type, size_t n) {
    memset(to, 0, FRAME_HEAD);
    to[0] = (uint8_t)type;
    for (int i = 0; i < 4; i++)
        to[4 + i] = (uint8_t)(n >> (24 - 8 * i));
}

/* Payload length of the types that are not streams; -1 for a stream, -2 for no type. */
static int fixed_length(uint8_t type) {
    switch (type) {
    case FRAME_STDIN:
    case FRAME_STDOUT:
    case FRAME_STDERR:
        return -1;
    case FRAME_RESIZE:
    case FRAME_EXIT:
        return 4;
    case FRAME_SIGNAL:
        return 1;
    default:
        return -2;
    }
}

/* Copies what is there of `want` bytes into `to`; true when it is complete. */
static bool collect(struct frame_parser *p, uint8_t *to, size_t want, const uint8_t **at, size_t *left) {
    size_t n = want - p->have < *left ? want - p->have : *left;
    memcpy(to + p->have, *at, n);
    p->have += n;
    *at += n;
    *left -= n;
    return p->have == want;
}

static enum frame_result take_head(struct frame_parser *p, struct frame *ret) {
    const uint8_t *h = p->head;
    int fixed = fixed_length(h[0]);
    p->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
    if (fixed == -2 || h[1] || h[2] || h[3] || (fixed >= 0 && p->left != (uint32_t)fixed))
        return FRAME_BROKEN;
    p->have = 0;
    p->in_payload = p->left > 0;
    if (p->in_payload)
        return FRAME_NONE;
    *ret = (struct frame){.type = (enum monitor_frame)h[0], .data = p->small, .empty = true};
    return FRAME_GOT;
}

static enum frame_result take_payload(struct frame_parser *p, const uint8_t **at, size_t *left, struct frame *ret) {
    *ret = (struct frame){.type = (enum monitor_frame)p->head[0]};
    if (fixed_length(p->head[0]) >= 0) {
        if (!collect(p, p->small, p->left, at, left))
            return FRAME_NONE;
        ret->data = p->small;
        ret->n = p->left;
        p->left = 0;
    } else {
        ret->data = *at;
        ret->n = *left < p->left ? *left : p->left;
        *at += ret->n;
        *left -= ret->n;
        p->left -= (uint32_t)ret->n;
    }
    if (!p->left) {
        p->in_payload = false;
        p->have = 0;
    }
    return FRAME_GOT;
}

enum frame_result frame_next(struct frame_parser *p, const uint8_t **at, size_t *left, struct frame *ret) {
    while (*left) {
        if (p->in_payload)
            return take_payload(p, at, left, ret);
        if (!collect(p, p->head, FRAME_HEAD, at, left))
            return FRAME_NONE;
        enum frame_result r = take_head(p, ret);
        if (r != FRAME_NONE)
            return r;
    }
    return FRAME_NONE;
}
