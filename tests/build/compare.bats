#!/usr/bin/env bats
# The Dockerfiles of this directory, built by buildah, too (make proof-dockerfiles): where both take one, the images are the same but for
# what differences.txt knows.
load ../lib/common
load ../lib/containers

@test "every Dockerfile makes the image that buildah makes, or a difference that is known" {
    command -v buildah >/dev/null || skip 'buildah is not installed'
    image busybox >/dev/null
    coracle save -o "$T/busybox.tar" busybox
    buildah --storage-driver vfs pull -q "docker-archive:$T/busybox.tar" >/dev/null
    run python3 "$TESTS_DIR/build/dockerfiles.py" compare
    buildah --storage-driver vfs rmi -af >/dev/null
    [ "$status" = 0 ] || fail "$output"
}
