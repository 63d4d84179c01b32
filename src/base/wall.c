/* wall: see wall.h. */
#include "base/wall.h"

#include "base/sys/sys.h"

/* The numbers of the kernel's interface (Documentation/userspace-api/landlock.rst), which headers have only as far as
 * they are new. */
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_SCOPE = 6 };
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_CHANGES (UINT64_C(0x1ff) << 4) /* from REMOVE_DIR to MAKE_SYM */
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define NET_BIND_TCP (UINT64_C(1) << 0)
#define SCOPE_ABSTRACT_SOCKET_AND_SIGNAL UINT64_C(3)

bool wall_read_only(void) {
    int abi = sys_landlock_abi();
    if (abi < 1)
        return false;
    uint64_t fs = FS_EXECUTE | FS_WRITE_FILE | FS_CHANGES;
    fs |= abi >= ABI_REFER ? FS_REFER : 0;
    fs |= abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0;
    return sys_landlock_deny(fs, abi >= ABI_NET ? NET_BIND_TCP : 0,
                             abi >= ABI_SCOPE ? SCOPE_ABSTRACT_SOCKET_AND_SIGNAL : 0) == 0;
}
