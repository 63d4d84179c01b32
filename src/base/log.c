/* log: see log.h. A line goes out in one write(2), so that lines of several processes do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/str.h"

static enum log_level log_level = LOG_LEVEL_WARN;

void log_set_level(enum log_level level) { log_level = level; }

bool log_shows(enum log_level level) { return level <= log_level; }

static void log_line(enum log_level level, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void log_line(enum log_level level, const char *fmt, va_list ap) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > log_level)
        return;
    int saved = errno;
    autostr struct str text = STR_INIT, line = STR_INIT;
    str_append_v(&text, fmt, ap);
    str_appendf(&line, "coracle: %s: ", names[level]);
    str_append_visible(&line, str_c(&text));
    str_append_c(&line, '\n');
    ssize_t n = write(STDERR_FILENO, line.ptr, line.len);
    (void)n; /* a diagnostic that cannot be written is lost */
    errno = saved;
}

#define LOG_BODY(level)                                                                                                \
    va_list ap;                                                                                                        \
    va_start(ap, fmt);                                                                                                 \
    log_line(level, fmt, ap);                                                                                          \
    va_end(ap)

void log_error(const char *fmt, ...) { LOG_BODY(LOG_LEVEL_ERROR); }
void log_warn(const char *fmt, ...) { LOG_BODY(LOG_LEVEL_WARN); }
void log_info(const char *fmt, ...) { LOG_BODY(LOG_LEVEL_INFO); }
void log_debug(const char *fmt, ...) { LOG_BODY(LOG_LEVEL_DEBUG); }
