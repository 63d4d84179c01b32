/* proc_title: what `ps` shows of a process that was forked and not executed. */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/proc.h"

static struct {
    char *start;
    size_t size;
} area; /* the arguments, one string after the other, as the kernel laid them out */

void proc_title_init(int argc, char **argv) {
    if (argc < 1)
        return;
    char *end = argv[0];
    for (int i = 0; i < argc && argv[i] == end; i++)
        end += strlen(argv[i]) + 1;
    area.start = argv[0];
    area.size = (size_t)(end - argv[0]);
}

void proc_title(const char *title) {
    char name[16]; /* the kernel's limit */
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(title, " "), title);
    (void)prctl(PR_SET_NAME, name);
    if (!area.size)
        return;
    size_t n = strnlen(title, area.size - 1);
    memcpy(area.start, title, n);
    memset(area.start + n, 0, area.size - n);
}
