/*
 * jsonlog_escape: the inner loop of the log. Text is mostly plain: sixteen bytes at a time are copied and looked at in
 * the same step; only where one of them needs care are single characters handled.
 */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "monitor/jsonlog_int.h"

typedef unsigned char byte;

static const char hex[] = "0123456789abcdef";

/* 1: copied as it is. */
static const byte plain[256] = {
    [' '] = 1, ['!'] = 1, ['#' ... '%'] = 1, ['\'' ... ';'] = 1, ['='] = 1, ['?' ... '['] = 1, [']' ... 0x7f] = 1,
};

#ifdef __SSE2__
/* Bytes at `p` that need care, as a bit mask. Signed comparison: below ' ' are the controls and everything from 0x80
 * on. */
static unsigned special_mask(__m128i v) {
    __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
    __m128i quote_amp = _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)~4)), _mm_set1_epi8('"'));
    __m128i less_more = _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)~2)), _mm_set1_epi8('<'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, quote_amp), _mm_or_si128(less_more, backslash)));
}

/* Copies plain bytes in steps of sixteen; stops at one that needs care or with less than sixteen left. */
static size_t copy_plain(const byte *from, size_t n, byte *to) {
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
        _mm_storeu_si128((__m128i *)(void *)(to + i), v);
        unsigned mask = special_mask(v);
        if (mask)
            return i + (unsigned)__builtin_ctz(mask);
    }
    while (i < n && plain[from[i]]) {
        to[i] = from[i];
        i++;
    }
    return i;
}
#else
/* A byte of `v` has its top bit set in the result if it equals `c` (or, harmlessly, follows one that does). */
static uint64_t has_byte(uint64_t v, byte c) {
    uint64_t x = v ^ 0x0101010101010101U * c;
    return (x - 0x0101010101010101U) & ~x;
}

static size_t copy_plain(const byte *from, size_t n, byte *to) {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t v;
        memcpy(&v, from + i, 8);
        uint64_t control = (v - 0x2020202020202020U) & ~v;
        uint64_t odd =
            has_byte(v & 0xfbfbfbfbfbfbfbfbU, '"') | has_byte(v & 0xfdfdfdfdfdfdfdfdU, '<') | has_byte(v, '\\');
        if ((control | odd | v) & 0x8080808080808080U)
            break;
        memcpy(to + i, &v, 8);
    }
    while (i < n && plain[from[i]]) {
        to[i] = from[i];
        i++;
    }
    return i;
}
#endif

/* Bytes of the sequence that a lead byte begins; 0 for none. */
static size_t utf8_announced(byte lead) {
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Length of the UTF-8 sequence at p, 0 when it is none (Go's rules: shortest form, no surrogates, at most U+10FFFF). */
static size_t utf8_length(const byte *p, size_t left) {
    size_t len = utf8_announced(p[0]);
    if (!len || left < len)
        return 0;
    byte least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    byte most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < least || p[1] > most)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* Copies a run of characters beyond ASCII; *ret_to moves on. Returns the bytes taken. */
static size_t copy_wide(const byte *from, size_t n, byte **to) {
    size_t i = 0;
    while (i < n && from[i] >= 0x80) {
        size_t len = utf8_length(from + i, n - i);
        if (!len) {
            memcpy(*to, "\\ufffd", 6);
            *to += 6;
            i++;
            continue;
        }
        if (len == 3 && from[i] == 0xe2 && from[i + 1] == 0x80 && (from[i + 2] | 1) == 0xa9) {
            memcpy(*to, "\\u202", 5);
            (*to)[5] = (byte)hex[from[i + 2] & 0xf];
            *to += 6;
        } else {
            memcpy(*to, from + i, len);
            *to += len;
        }
        i += len;
    }
    return i;
}

static byte *put_escape(byte c, byte *to) {
    *to++ = '\\';
    switch (c) {
    case '"':
    case '\\':
        *to++ = c;
        return to;
    case '\r':
        *to++ = 'r';
        return to;
    default:
        *to++ = 'u';
        *to++ = '0';
        *to++ = '0';
        *to++ = (byte)hex[c >> 4];
        *to++ = (byte)hex[c & 0xf];
        return to;
    }
}

const byte *jsonlog_escape(const byte *from, const byte *end, byte *to, byte **ret_to) {
    while (from < end) {
        size_t n = copy_plain(from, (size_t)(end - from), to);
        from += n;
        to += n;
        if (from == end || *from == '\n')
            break;
        if (*from >= 0x80)
            from += copy_wide(from, (size_t)(end - from), &to);
        else
            to = put_escape(*from++, to);
    }
    *ret_to = to;
    return from;
}
