/*
 * The log, both ways. First byte 0: the rest is a line of a log that anybody may have written; 1: records of the local
 * format; 2: the message in one such record. Else it is output of a container: what the writer makes of it must read
 * back, by the fast path and by the JSON parser alike, as the same text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/jsonlog_int.h"
#include "monitor/locallog_int.h"
#include "monitor/logread_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text of a line; -1 when it is none. */
static size_t read_back(const char *line, size_t n, char *to) {
    __attribute__((cleanup(logscratch_done))) struct logscratch scratch = {.want_details = true};
    struct logline l;
    if (!logline_parse(line, n, &scratch, &l))
        return SIZE_MAX;
    if (l.stream != 1 && l.stream != 2)
        abort();
    size_t len = l.n;
    if (l.escaped)
        len = logline_unescape(l.text, l.n, to);
    else
        memcpy(to, l.text, l.n);
    if (len != SIZE_MAX && len > l.n)
        abort();
    if (len != SIZE_MAX && l.newline)
        to[len++] = '\n';
    return len;
}

static void any_line(const uint8_t *data, size_t size) {
    autofree char *line = mem_alloc(size); /* exactly as large: a byte read beyond it shows */
    if (size)
        memcpy(line, data, size);
    autofree char *to = mem_alloc(size + 2);
    (void)read_back(line, size, to);
}

static void records(const uint8_t *data, size_t size) {
    autofree char *p = mem_alloc(size);
    if (size)
        memcpy(p, data, size);
    __attribute__((cleanup(logscratch_done))) struct logscratch scratch = {.at = 0};
    size_t at = 0;
    for (size_t n; (n = logformat_local.entry(p + at, size - at)) && n != SIZE_MAX; at += n) {
        struct logline l;
        if (n > size - at)
            abort();
        if (!logformat_local.parse(p + at, n, &scratch, &l))
            continue;
        if (l.text < p + at || l.text + l.n > p + at + n || (l.stream != 1 && l.stream != 2))
            abort();
    }
}

static void message(const uint8_t *data, size_t size) {
    autofree uint8_t *p = mem_alloc(size + LOCAL_FRAME);
    for (int i = 0; i < 4; i++)
        p[i] = p[4 + size + (size_t)i] = (uint8_t)(size >> (24 - 8 * i));
    if (size)
        memcpy(p + 4, data, size);
    records(p, size + LOCAL_FRAME);
}

static void round_trip(const uint8_t *data, size_t size) {
    static const char head[] = "{\"log\":\"",
                      tail[] = "\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05.123456789Z\"}";
    autofree unsigned char *line = mem_alloc(6 * size + 16 + sizeof head + sizeof tail);
    unsigned char *end;
    memcpy(line, head, sizeof head - 1);
    const unsigned char *stop = jsonlog_escape(data, data + size, line + sizeof head - 1, &end);
    size_t taken = (size_t)(stop - data);
    if (taken > size || (taken < size && *stop != '\n'))
        abort();
    memcpy(end, tail, sizeof tail - 1);
    size_t n = (size_t)(end - line) + sizeof tail - 1;
    autofree char *fast = mem_alloc(n);
    size_t len = read_back((const char *)line, n, fast);
    if (len == SIZE_MAX || fast[len - 1] != '\n')
        abort();
    autofree char *text = mem_dupn((const char *)data, taken);
    if (strlen(text) == taken && str_utf8_ok(text, taken) && (len != taken + 1 || memcmp(fast, text, taken) != 0))
        abort();
    if (memchr(fast, 0, len)) /* JSON strings end at a NUL here */
        return;
    autojson j = NULL;
    autoerr e = json_parse((const char *)line, n, "line", JSON_REFUSE_DUPLICATES, &j);
    if (e || strlen(json_str_value(json_get(j, "log"))) != len ||
        memcmp(json_str_value(json_get(j, "log")), fast, len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    if (data[0] == 0)
        any_line(data + 1, size - 1);
    else if (data[0] == 1)
        records(data + 1, size - 1);
    else if (data[0] == 2)
        message(data + 1, size - 1);
    else
        round_trip(data + 1, size - 1);
    return 0;
}
