/* Frames of a hostile peer: however the bytes are cut into pieces, the same frames come out, and nothing beyond the
 * input. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "monitor/frames_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(struct str *out, const struct frame *f, const uint8_t *begin, const uint8_t *end) {
    bool stream = f->type <= FRAME_STDERR;
    if (stream && !f->empty && (f->data < begin || f->data + f->n > end || !f->n))
        abort();
    if (!stream && f->n != (f->type == FRAME_SIGNAL ? 1 : 4))
        abort();
    str_append_c(out, f->empty ? '0' : (char)('a' + f->type));
    for (size_t i = 0; i < f->n; i++) {
        str_append_c(out, (char)f->data[i]);
        str_append_c(out, (char)f->type); /* pieces of one frame may be cut anywhere */
    }
}

/* Takes everything apart in pieces of `step`; a stream's pieces are noted byte by byte. */
static void take(const uint8_t *data, size_t size, size_t step, struct str *out) {
    struct frame_parser p = {.have = 0};
    bool within = false;
    for (size_t at = 0; at < size; at += step) {
        size_t left = size - at < step ? size - at : step;
        const uint8_t *from = data + at, *end = from + left;
        for (;;) {
            struct frame f;
            enum frame_result r = frame_next(&p, &from, &left, &f);
            if (r == FRAME_BROKEN) {
                str_append(out, "!");
                return;
            }
            if (r == FRAME_NONE)
                break;
            size_t before = out->len;
            note(out, &f, data + at, end);
            if (within && f.type <= FRAME_STDERR && !f.empty) /* a further piece of the same frame: no new mark */
                memmove(out->ptr + before, out->ptr + before + 1, --out->len - before);
            within = p.in_payload;
        }
        if (left || from != end)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autostr struct str whole = STR_INIT;
    take(data, size, size + 1, &whole);
    for (size_t step = 1; step < 20; step += 3) {
        autostr struct str cut = STR_INIT;
        take(data, size, step, &cut);
        if (cut.len != whole.len || (cut.len && memcmp(cut.ptr, whole.ptr, cut.len) != 0))
            abort();
    }
    return 0;
}
