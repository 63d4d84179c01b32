#!/usr/bin/env bats
# build: where unprivileged builds fail elsewhere: with one id, without /dev/fuse and /dev/net/tun, on an overlay, in a container.
load ../lib/common
load ../lib/containers
load ../lib/builds
load ../lib/images

# What is built: commands with and without a network, owners of the image, mounts, stages, removed and moved directories.
file_setup() {
    image busybox >/dev/null
    mkdir -p "$CTR_HOME/tmp/lacking/d"
    coracle save -o "$CTR_HOME/tmp/lacking/busybox.tar" busybox
    chmod 644 "$CTR_HOME/tmp/lacking/busybox.tar"
    echo from-context >"$CTR_HOME/tmp/lacking/d/f"
    cat >"$CTR_HOME/tmp/lacking/Dockerfile" <<'E'
FROM busybox AS tool
WORKDIR /tool
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=bind,source=d,target=/b \
    cat /b/f >/tool/f && echo x >/c/x && echo y >/t/y && rm /bin/tar && mkdir /bin/tar
FROM tool
COPY d /d
COPY --from=tool --chmod=640 /tool/f /copy
RUN --network=none rm -r /d && mkdir /d && echo new >/d/g && mv /bin /usr/moved
CMD ["/usr/moved/busybox", "sh", "-c", "/usr/moved/busybox ls /d; /usr/moved/busybox cat /copy"]
E
}
# script DIRECTORY [OPTION…]: what is done with the context there, by a coracle with these options
script() {
    local context=$1
    shift
    echo "context='$context'; coracle=\"coracle $*\""
    cat <<'E'
set -e
$coracle load -q -i "$context/busybox.tar" >/dev/null
$coracle build -t app "$context" >log 2>&1 || { cat log; exit 1; }
$coracle build -t app "$context" >log 2>&1
echo "cached: $(grep -c CACHED log)"
$coracle run --rm --network none app 2>/dev/null
$coracle system check
$coracle rmi -f app busybox >/dev/null
$coracle builder prune -af >/dev/null
E
}
built='cached: 5
g
from-context'
without_devices='for d in /dev/fuse /dev/net/tun; do [ ! -e $d ] || mount --bind /dev/null $d; done;'

@test "a user namespace of one id, without /dev/fuse and /dev/net/tun" {
    mkdir -m 700 home run
    script "$CTR_HOME/tmp/lacking" --root "$T/store" >do
    run env HOME="$T/home" XDG_RUNTIME_DIR="$T/run" unshare --map-root-user --mount bash -c "$without_devices . ./do"
    assert_status 0
    assert_output_has "$built"
    assert_output_has "is sound"
}

@test "a store on an overlay" {
    run nested "$without_devices mkdir -p \$D/o/{lower,upper,work}; chown 1000:1000 \$D/o/upper
        mount -t overlay -o userxattr,lowerdir=\$D/o/lower,upperdir=\$D/o/upper,workdir=\$D/o/work overlay \$D/disk" \
        "$(script "$CTR_HOME/tmp/lacking" --root '$D/disk/store')"
    assert_status 0
    assert_output_has "$built"
    assert_output_has "is sound"
}

@test "in a container of our own" {
    ! sanitized || skip "the sanitizers' libraries do not come along"
    { echo 'mkdir -p -m 700 /run/own && cd /tmp'; script /lacking; } >do
    run coracle run --rm --privileged --network none -e PATH=/coracle:/bin:/usr/bin:/usr/sbin -e HOME=/root -e XDG_RUNTIME_DIR=/run/own \
        -v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro -v "$CORACLE_BIN:/coracle:ro" -v "$CTR_HOME/tmp/lacking:/lacking:ro" -v "$T/do:/do:ro" busybox sh /do
    assert_status 0
    assert_output_has "$built"
    assert_output_has "is sound"
}
