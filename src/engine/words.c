/* words: what lower layers know about texts and terminals, for callers that see only the engine. */
#include "engine/engine.h"

struct err *engine_parse_bytes(const char *text, int64_t *ret) {
    return spec_parse_bytes(text, ret);
}

struct err *engine_parse_swap(const char *text, int64_t *ret) {
    return spec_parse_swap(text, ret);
}

struct err *engine_parse_cpus(const char *text, int64_t *ret) {
    return spec_parse_cpus(text, ret);
}

const char *engine_cap_name(int cap) { return spec_cap_name(cap); }

char *engine_reference_familiar(const char *canonical) { return image_ref_familiar(canonical); }

void engine_tty_size(int fd, unsigned short *ret_rows, unsigned short *ret_cols) {
    monitor_tty_size(fd, ret_rows, ret_cols);
}
