/* verify: signatures by coracle-unpack, which has libcrypto and gives up everything else before it looks at them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/sys/sys.h"
#include "storage/signature.h"
#include "storage/store_int.h"
#include "storage/unpack_int.h"

static struct err *memory_file(const void *data, size_t n, int *ret_fd) {
    autofd int fd = sys_memfd("signed", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    TRY(io_write_all(fd, data, n));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *ask(struct unpack *u, const struct store_signature *sig, bool *ret) {
    autofd int key = -1, payload = -1, signature = -1;
    autojson order = json_object();
    autojson answer = NULL;
    TRY(memory_file(sig->key, strlen(sig->key), &key));
    TRY(memory_file(sig->payload->ptr, sig->payload->len, &payload));
    TRY(memory_file(sig->signature->ptr, sig->signature->len, &signature));
    const int fds[] = {key, payload, signature};
    json_set_str(order, "op", "verify");
    TRY(msg_send(u->chan, order, fds, ARRAY_LEN(fds)));
    TRY(unpack_recv(u, &answer));
    *ret = json_bool_value(json_get(answer, "ok"), false);
    return NULL;
}

struct err *store_signature_verify(const struct store *s, const struct store_signature *sig, bool *ret) {
    struct unpack u = {.pid = -1, .pidfd = -1};
    *ret = false;
    TRY(unpack_start(s, -1, &u));
    struct err *e = ask(&u, sig, ret);
    unpack_stop(&u);
    return e;
}
