/* localrecord: records of the local format, read. See locallog_int.h. */
#include <string.h>
#include <unistd.h>

#include "monitor/locallog_int.h"

typedef unsigned char byte;

static size_t get_length(const char *p) {
    const byte *b = (const byte *)p;
    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

size_t local_record(const char *p, size_t n) {
    if (n < 4)
        return 0;
    size_t size = get_length(p);
    if (size > LOCAL_RECORD_MAX)
        return SIZE_MAX;
    if (n < size + LOCAL_FRAME)
        return 0;
    return get_length(p + 4 + size) == size ? size + LOCAL_FRAME : SIZE_MAX;
}

/* ---- protobuf ---- */

struct field {
    unsigned number;
    uint64_t value; /* of a varint, else the length of `data` */
    const byte *data;
};

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static bool take_varint(const byte **p, const byte *end, uint64_t *ret) {
    uint64_t v = 0;
    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        byte b = *(*p)++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* The next field; false at a broken one. */
static bool take_field(const byte **p, const byte *end, struct field *ret) {
    uint64_t tag, n = 0;
    if (!take_varint(p, end, &tag) || tag >> 3 > 0xffff)
        return false;
    *ret = (struct field){.number = (unsigned)(tag >> 3)};
    switch (tag & 7) {
    case WIRE_VARINT:
        return take_varint(p, end, &ret->value);
    case WIRE_BYTES:
        if (!take_varint(p, end, &n))
            return false;
        break;
    case WIRE_64:
        n = 8;
        break;
    case WIRE_32:
        n = 4;
        break;
    default:
        return false;
    }
    if (n > (size_t)(end - *p))
        return false;
    ret->value = n;
    ret->data = *p;
    *p += n;
    return true;
}

/* Whether a part of a long line is its last. */
static bool is_last(const struct field *meta) {
    struct field f;
    bool last = false;
    for (const byte *p = meta->data, *end = p + meta->value; p < end && take_field(&p, end, &f);)
        if (f.number == 1 && !f.data)
            last = f.value != 0;
    return last;
}

bool local_parse(const char *record, size_t n, struct local_entry *ret) {
    if (n < LOCAL_FRAME || local_record(record, n) != n)
        return false;
    const byte *p = (const byte *)record + 4, *end = p + n - LOCAL_FRAME;
    *ret = (struct local_entry){.stream = 1, .line = record, .newline = true};
    while (p < end) {
        struct field f;
        if (!take_field(&p, end, &f))
            return false;
        if (f.number == 1 && f.data)
            ret->stream = f.value == 6 && memcmp(f.data, "stderr", 6) == 0 ? 2 : 1;
        else if (f.number == 2 && !f.data)
            ret->time = (int64_t)f.value;
        else if (f.number == 3 && f.data) {
            ret->line = (const char *)f.data;
            ret->n = f.value;
        } else if (f.number == 5 && f.data)
            ret->newline = is_last(&f);
    }
    return true;
}

/* ---- files ---- */

/* What is at the end of the file is a whole record when its two lengths say the same. */
static bool ends_whole(int fd, int64_t size) {
    char length[4], first[4];
    if (size < (int64_t)LOCAL_FRAME || pread(fd, length, 4, size - 4) != 4)
        return false;
    int64_t n = (int64_t)get_length(length), begin = size - n - (int64_t)LOCAL_FRAME;
    return begin >= 0 && pread(fd, first, 4, begin) == 4 && memcmp(first, length, 4) == 0;
}

int64_t local_whole_file(int fd, int64_t size) {
    char length[4];
    int64_t at = 0;
    if (ends_whole(fd, size))
        return size;
    while (pread(fd, length, 4, at) == 4) {
        int64_t end = at + (int64_t)(get_length(length) + LOCAL_FRAME);
        if (end > size || !ends_whole(fd, end))
            break;
        at = end;
    }
    return at;
}
