/*
 * locallog_int: docker's local log. A record is its length (4 bytes, big endian), a protobuf message, and the length
 * once more, so that a file can be read backwards too:
 *
 *     message LogEntry {                          message PartialLogEntryMetadata {
 *         string source = 1;                          bool last = 1;
 *         int64 time_nano = 2;                        string id = 2;
 *         bytes line = 3;                             int32 ordinal = 3;
 *         bool partial = 4;                       }
 *         PartialLogEntryMetadata partial_log_metadata = 5;
 *     }
 *
 * `line` is without its newline, which is understood but for a part of a longer line that is not the last one. Files
 * and rotation: logwriter_int.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Beyond this a length is none. */
#define LOCAL_RECORD_MAX ((size_t)1 << 20)
/* Bytes around the message. */
#define LOCAL_FRAME ((size_t)8)

struct local_entry {
    int stream; /* 1, 2 */
    int64_t time;
    const char *line; /* borrowed from the record */
    size_t n;
    bool newline;
};
/* The whole length of the record that p[0..n) begins with; 0: there is less of it; SIZE_MAX: no record. Pure. */
size_t local_record(const char *p, size_t n);
/* Takes a whole record apart; false for what is none. Unknown fields are passed over. Pure. */
bool local_parse(const char *record, size_t n, struct local_entry *ret);
/* Where the records of a file end that may have half of one behind them. */
int64_t local_whole_file(int fd, int64_t size);
