/* caps: the capability lists of an OCI process as bit sets. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"

static uint64_t bit_of(const char *name) {
    for (int i = 0; name && spec_cap_name(i); i++)
        if (strcmp(spec_cap_name(i), name) == 0)
            return UINT64_C(1) << i;
    return 0;
}

/* Names that this build does not know are left out, as every runtime does: a newer engine may have written the list. */
static uint64_t mask_of(const struct json *names) {
    uint64_t mask = 0;
    JSON_EACH(it, names)
    mask |= bit_of(json_str_value(it));
    return mask;
}

struct err *caps_load(const struct json *j, bool all, struct caps *ret) {
    uint64_t effective, held, inheritable;
    if (sys_capget(&effective, &held, &inheritable) < 0)
        return err_sys(errno, "read capabilities");
    if (all) {
        *ret = (struct caps){.bounding = held, .effective = held, .permitted = held};
        return NULL;
    }
    *ret = (struct caps){.bounding = mask_of(json_get(j, "bounding")) & held,
                         .permitted = mask_of(json_get(j, "permitted")) & held,
                         .effective = mask_of(json_get(j, "effective")) & held,
                         .inheritable = mask_of(json_get(j, "inheritable")) & held,
                         .ambient = mask_of(json_get(j, "ambient")) & held};
    ret->effective &= ret->permitted;
    ret->ambient &= ret->permitted & ret->inheritable;
    return NULL;
}
