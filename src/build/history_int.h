/*
 * history_int: the words by which an image's history says how it was made (created_by), as BuildKit writes them, since
 * people and scanners read them: with variables replaced, in the form that each instruction has there. Pure.
 *
 *     CMD ["/bin/sh" "-c" "x"]      words quoted as Go's %q does it
 *     EXPOSE [80/tcp 53/udp]        a list
 *     ENV A=b c D=e                 words as they are
 *     RUN |1 A=b /bin/sh -c x # buildkit
 *     HEALTHCHECK {Test:[CMD x] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}
 *
 * ONBUILD leaves no trace.
 */
#pragma once

#include "build/dockerfile_int.h"

struct json;
struct str;
struct strv;

/* Appends the entry of an instruction; `words` are its own, or for HEALTHCHECK none. */
void history_entry(enum df_kind kind, const struct strv *words, struct str *out);
/* The entry of a HEALTHCHECK, from what the config has of it. */
void history_health(const struct json *health, struct str *out);
