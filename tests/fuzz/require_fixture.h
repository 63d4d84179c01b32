/* require_fixture: what a fuzzer demands of a result, besides that nothing crashes. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

static inline void require(bool ok) {
    if (!ok)
        abort();
}
