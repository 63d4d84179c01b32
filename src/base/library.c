/* library: see library.h. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

bool library_symbol(void *lib, const char *name, void *ret_fn) {
    void *sym = dlsym(lib, name);
    memcpy(ret_fn, &sym, sizeof sym);
    return sym != NULL;
}
