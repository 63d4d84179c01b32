/*
 * log: diagnostics on standard error. Library code logs at debug only; warnings are said by the layer that talks to
 * the user, once. Standard output belongs to the renderers. The level is one of the two mutable statics of the program.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Sets the level (default warn). */
void log_set_level(enum log_level level);
/* Whether lines of a level are shown. */
bool log_shows(enum log_level level);
/* One line "coracle: <level>: text" to stderr when the level allows; control characters are made visible. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
