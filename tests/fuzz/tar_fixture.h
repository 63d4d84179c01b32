/* What fuzzers of tar share: a header whose checksum is wrong is looked at no further, so each gets the right one. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline void tar_repair_checksums(uint8_t *tar, size_t n) {
    for (; n >= 512; tar += 512, n -= 512) {
        unsigned sum = 8 * ' ';
        if (memcmp(tar + 257, "ustar", 5) != 0)
            continue;
        for (size_t i = 0; i < 512; i++)
            sum += i >= 148 && i < 156 ? 0 : tar[i];
        snprintf((char *)tar + 148, 8, "%06o", sum);
        tar[155] = ' ';
    }
}
