/* err_int: what msg.c needs of err.c: an error from an already parsed JSON object. */
#pragma once

struct err;
struct json;

/* Reads one encoded error. Anything that is not one becomes an error of kind corrupt: never NULL. */
struct err *err_from_json(const struct json *j) __attribute__((returns_nonnull, warn_unused_result));
