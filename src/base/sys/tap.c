/* tap: the ioctls of network devices, which netlink cannot do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sys/sys.h"

static int name_request(const char *name, struct ifreq *ret) {
    size_t len = strlen(name);
    if (len >= sizeof ret->ifr_name) {
        errno = ENODEV;
        return -1;
    }
    *ret = (struct ifreq){0};
    memcpy(ret->ifr_name, name, len);
    return 0;
}

int sys_tap_open(const char *name) {
    struct ifreq req;
    if (name_request(name, &req) < 0)
        return -1;
    req.ifr_flags = IFF_TAP | IFF_NO_PI;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (ioctl(fd, TUNSETIFF, &req) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int sys_link_no_offload(int socket_fd, const char *name) {
    static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = 0};
        struct ifreq req;
        if (name_request(name, &req) < 0)
            return -1;
        req.ifr_data = (void *)&value;
        if (ioctl(socket_fd, SIOCETHTOOL, &req) < 0 && !i)
            return -1;
    }
    return 0;
}
