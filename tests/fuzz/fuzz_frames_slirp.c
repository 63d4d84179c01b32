/*
 * Frames of a container's into a libslirp of its own, through the same check as in the helper, on a link whose other
 * end nobody reads. The input is frames, each behind two bytes that say how long it is. No packet leaves this process:
 * sockets are asked for of a function below that has none.
 */
#include "net/helper/slirp.c"

#include <stdlib.h>
#include <sys/socket.h>

#include "net/helper/loop.c"
#include "net/helper/policy.c"
#include "net/helper/relay.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int socket(int family, int type, int protocol) {
    (void)family, (void)type, (void)protocol;
    errno = EMFILE;
    return -1;
}

/* One uplink for all inputs, as in life. */
static struct loop *uplink(void) {
    static struct loop l;
    int pair[2];
    if (l.uplinks)
        return &l;
    autoerr e = loop_init(&l);
    policy_set(&l, NULL);
    if (e || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        abort();
    struct uplink_wanted want = {.id = "container", .kind = "tap", .mtu = UPLINK_MTU};
    static const char *const addrs[][2] = {{"10.0.2.0/24", "10.0.2.2"}, {"fd00:10:2::/64", "fd00:10:2::2"}};
    for (int i = 0; i < 2; i++)
        if ((e = net_addr_parse(addrs[i][0], &want.near.net[i])) || (e = net_addr_parse(addrs[i][1], &want.gateway[i])))
            abort();
    e = uplink_start(&l, pair[0], &want);
    if (e)
        abort();
    return &l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct loop *l = uplink();
    while (size > 2) {
        size_t n = (size_t)(data[0] << 8 | data[1]) % 2048;
        data += 2;
        size -= 2;
        n = n < size ? n : size;
        memcpy(l->buffer, data, n);
        if (frame_welcome(l, &l->uplinks->near, l->buffer, n) && has_room(l->uplinks, l->buffer, n))
            slirp_input(l->uplinks->slirp, l->buffer, (int)n);
        data += n;
        size -= n;
    }
    serve_sockets(l->uplinks);
    return 0;
}
