"""What a frame that is made by hand needs."""
import fcntl, struct


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    n = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while n >> 16:
        n = (n & 0xFFFF) + (n >> 16)
    return ~n & 0xFFFF


def with_sum(proto, src, dst, head, data, at):
    pseudo = src + dst + struct.pack("!BBH" if len(src) == 4 else "!IHBB", *((0, proto, len(head + data)) if len(src) == 4 else (len(head + data), 0, 0, proto)))
    total = checksum(pseudo + head + data)
    return head[:at] + struct.pack("!H", total) + head[at + 2 :] + data


def own_mac(s):
    return fcntl.ioctl(s.fileno(), 0x8927, struct.pack("256s", b"eth0"))[18:24]
