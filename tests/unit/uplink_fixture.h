/* uplink_fixture: a libslirp of a container's own, and the container's end of its link. Stands behind
 * net/helper/slirp.c and loop.c, which it is about. */
#pragma once

#include <unistd.h>

#include "net/helper/policy.c"
#include "unit.h"

static struct loop l;
static int far; /* the container's end of the link */

/* `descriptors`: as many as the helper may have; 0: as this process may. `loopback`: 10.0.2.2 is this machine's. */
static struct slirp_uplink *begin(uint32_t descriptors, bool loopback) {
    int pair[2];
    CHECK_OK(loop_init(&l));
    policy_set(&l, NULL);
    if (descriptors)
        l.descriptors = descriptors;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    struct uplink_wanted want = {.id = "container", .kind = "tap", .mtu = 1500, .near = {.loopback = loopback}};
    CHECK_OK(net_addr_parse("10.0.2.0/24", &want.near.net[0]));
    CHECK_OK(net_addr_parse("10.0.2.2", &want.gateway[0]));
    CHECK_OK(uplink_start(&l, pair[0], &want));
    far = pair[1];
    return l.uplinks;
}

static void end(void) {
    uplink_end(&l, "container");
    close(far);
    close(l.epoll);
    close(l.spare);
    free(l.buffer);
    free(l.policy->denied);
    free(l.policy);
}

static uint16_t checksum(const void *data, size_t n, uint32_t sum) {
    const uint8_t *p = data;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    return htons((uint16_t)~sum);
}
