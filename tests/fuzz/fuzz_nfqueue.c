/* Messages of an NFQUEUE socket, and the packets in them, which are a container's to write. */
#include "net/helper/queue.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tuple *t) {
    if (t->src.family != t->dst.family || (t->src.family != AF_INET && t->src.family != AF_INET6))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct held held;
    struct tuple t;
    uint8_t *copy = malloc(size ? size : 1); /* of its size: reading beyond it is seen */
    memcpy(copy, data, size);
    if (queue_parse(copy, size, &held) && held.is_syn)
        check(&held.tuple);
    if (syn_parse(copy, size, &t))
        check(&t);
    free(copy);
    return 0;
}
