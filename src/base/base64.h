/* base64: RFC 4648's standard alphabet, for Basic authentication, docker's config.json and the progress of builds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct str;

/* Appends the text for n bytes, padded. */
void base64_encode(const void *data, size_t n, struct str *out);
/* Appends the bytes. False for anything that is not base64 (padding may be missing, line ends are skipped). */
bool base64_decode(const char *text, struct str *out);
