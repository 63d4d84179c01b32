/*
 * Frames of a container's into a libslirp of its own, through the same check as in the helper, on a link whose other
 * end nobody reads. The input is frames, each behind two bytes that say how long it is; their checksums are put right
 * so that mutations get past them, unless the highest bit says not to. No packet leaves this process: the functions
 * below stand for the world, where datagrams are lost, and a connection's port says how it ends.
 */
#include "net/helper/slirp.c"

#include <stdlib.h>
#include <sys/socket.h>

#include "net/helper/loop.c"
#include "net/helper/policy.c"
#include "net/helper/relay.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int far[512]; /* the other ends of all sockets, to be closed */
static size_t n_far;

int socket(int family, int type, int protocol) {
    (void)family, (void)protocol;
    int pair[2];
    errno = EMFILE;
    if (n_far == ARRAY_LEN(far) || socketpair(AF_UNIX, type, 0, pair) != 0)
        return -1;
    far[n_far++] = pair[1];
    return pair[0];
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t len) {
    (void)fd, (void)data, (void)flags, (void)to, (void)len;
    return (ssize_t)n;
}

/* A quarter of the ports cannot be reached, another one refuses later, and of those that answer at once half greet. */
int connect(int fd, const struct sockaddr *to, socklen_t len) {
    (void)fd, (void)len;
    unsigned way = ntohs(((const struct sockaddr_in *)(const void *)to)->sin_port) % 4;
    errno = way == 0 ? ENETUNREACH : EINPROGRESS; /* never ECONNREFUSED: slirp_connect.c */
    if (way == 1)
        shutdown(far[n_far - 1], SHUT_RDWR);
    if (way == 3)
        (void)!send(far[n_far - 1], "hello", 5, 0);
    return way < 2 ? -1 : 0;
}

static struct loop *uplink_begin(void) {
    static struct loop l;
    int pair[2];
    autoerr e = l.buffer ? NULL : loop_init(&l);
    if (!l.policy)
        policy_set(&l, NULL);
    if (e || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        abort();
    far[n_far++] = pair[1];
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

static void check_and_end(struct loop *l) {
    const struct slirp_uplink *u = l->uplinks;
    if (u->n_listed > u->n_open[STREAM] + u->n_open[FLOW] || u->n_open[STREAM] > u->most[STREAM])
        abort();
    uplink_end(l, "container");
    while (n_far)
        close(far[--n_far]);
}

static uint32_t sum_of(const uint8_t *p, size_t n) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    return sum;
}

static void put_sum(uint8_t *at, uint32_t sum) {
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

/* Of what follows an IP header; the pseudo header's addresses are `pseudo`. */
static void repair_content(uint8_t protocol, uint8_t *p, size_t n, uint32_t pseudo) {
    size_t at = protocol == IPPROTO_TCP ? 16 : protocol == IPPROTO_UDP ? 6 : 2;
    bool icmp = protocol == IPPROTO_ICMP;
    if (n < at + 2 || (at == 2 && !icmp && protocol != IPPROTO_ICMPV6))
        return;
    p[at] = p[at + 1] = 0;
    put_sum(p + at, sum_of(p, n) + (icmp ? 0 : pseudo + protocol + (uint32_t)n));
}

static void repair(uint8_t *frame, size_t n) {
    uint8_t *ip = frame + ETH_HLEN;
    unsigned type = n < ETH_HLEN + sizeof(struct ip) ? 0 : (unsigned)frame[12] << 8 | frame[13];
    n -= type ? ETH_HLEN : 0;
    if (type == ETHERTYPE_IP) {
        size_t header = (ip[0] & 15U) * 4, whole = (size_t)(ip[2] << 8 | ip[3]);
        whole = whole < n ? whole : n;
        if (header < sizeof(struct ip) || header > whole)
            return;
        ip[10] = ip[11] = 0;
        put_sum(ip + 10, sum_of(ip, header));
        repair_content(ip[9], ip + header, whole - header, sum_of(ip + 12, 8));
    } else if (type == ETHERTYPE_IPV6 && n >= sizeof(struct ip6_hdr)) {
        size_t len = (size_t)(ip[4] << 8 | ip[5]), left = n - sizeof(struct ip6_hdr);
        repair_content(ip[6], ip + sizeof(struct ip6_hdr), len < left ? len : left, sum_of(ip + 8, 32));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct loop *l = uplink_begin();
    while (size > 2) {
        size_t n = (size_t)(data[0] << 8 | data[1]) % 2048;
        bool as_is = data[0] & 0x80;
        data += 2;
        size -= 2;
        n = n < size ? n : size;
        memcpy(l->buffer, data, n);
        if (!as_is)
            repair(l->buffer, n);
        if (frame_welcome(l, &l->uplinks->near, l->buffer, n) && has_room(l->uplinks, l->buffer, n))
            slirp_input(l->uplinks->slirp, l->buffer, (int)n);
        if (n % 2) /* the end of a turn */
            serve_sockets(l->uplinks);
        data += n;
        size -= n;
    }
    serve_sockets(l->uplinks);
    check_and_end(l);
    return 0;
}
