#!/usr/bin/env bats
# load and save: archives in both directions between coracle, skopeo, podman and GNU tar.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_push plain "$(rich_layout):latest" rich:1
    python3 "$TESTS_DIR/lib/tarlayout.py" --gzip "$CTR_HOME/layouts/gzipped" "$CTR_HOME"/rich/[0-2].tar
    registry_push plain "$CTR_HOME/layouts/gzipped:latest" gzipped:1
    registry_push plain "$(layout tiny):latest" tiny:1
    registry_push plain "$(layout multi --arch amd64,arm64):latest" multi:1
}
file_teardown() {
    registry_stop_all
    unshare --map-auto --map-root-user rm -rf "$CTR_HOME/podman" "$CTR_HOME/podman-run"
}

setup() {
    P=$(registry_addr plain)
    T=$BATS_TEST_TMPDIR
    no_images
}

id_of() { coracle image inspect -f '{{.Id}}' "$1"; }
works() { assert_eq "$(coracle run --rm --network none "$1" echo works 2>&1)" works; }

@test "every layer is what GNU tar makes of it: owners, modes, times, xattrs, links, holes, whiteouts" {
    coracle pull -q "$P/rich:1"
    for n in 0 1 2; do
        mkdir "$T/$n"
        unshare --map-auto --map-root-user tar --xattrs --xattrs-include='*' --numeric-owner -C "$T/$n" -xpf "$CTR_HOME/rich/$n.tar" 2>"$T/err" || true
        tree "$T/$n" --merge-whiteouts >"$T/want"
        tree "$(layer_dir "$P/rich:1" "$n")" >"$T/got"
        diff "$T/want" "$T/got" || fail "layer $n differs"
        [ "$(wc -l <"$T/got")" -gt 8 ]
    done
    # devices are left out, holes stay holes
    [ ! -e "$(layer_dir "$P/rich:1" 1)/srv/null" ]
    [ "$(stat -c %b "$(layer_dir "$P/rich:1" 0)/sparse")" -lt 1000 ]
    unshare --map-auto --map-root-user rm -rf "$T"/[0-2]
}

# What a container sees of an image: names, kinds, modes, owners, sizes, times, links, contents.
LISTING='cd / && busybox find . -xdev -mindepth 1 ! -path "./proc*" ! -path "./sys*" ! -path "./dev*" ! -path "./data*" \
    ! -path ./etc ! -path ./etc/hosts ! -path ./etc/hostname ! -path ./etc/resolv.conf ! -path ./etc/mtab ! -path "./run*" ! -path "./.dockerenv" -print0 \
    | busybox sort -z | while IFS= read -r -d "" f; do
        if [ -d "$f" ] && [ ! -L "$f" ]; then busybox stat -c "%n %F %a %u %g" "$f"; else busybox stat -c "%n %F %a %u %g %s %Y" "$f"; fi
        [ -L "$f" ] && busybox readlink "$f"
        [ -f "$f" ] && [ ! -L "$f" ] && busybox md5sum <"$f"
    done; true'

@test "an image that we save, podman loads, and it sees the same files as our containers" {
    coracle pull -q "$P/rich:1"
    coracle save -o "$T/rich.tar" "$P/rich:1"
    coracle run --rm --network none "$P/rich:1" sh -c "$LISTING" >"$T/ours"
    run -0 podman_here load -i "$T/rich.tar"
    assert_output_has "$P/rich:1"
    assert_eq "sha256:$(podman_here images -q --no-trunc | sed 's/sha256://')" "$(id_of "$P/rich:1")"
    # chroot needs a shell that can run: the listing runs in podman's copy of the image
    podman_here unshare sh -c "chroot \$(podman --root $CTR_HOME/podman --runroot $CTR_HOME/podman-run --storage-driver vfs image mount $P/rich:1 2>/dev/null) /bin/busybox sh -c '$LISTING'" >"$T/theirs"
    [ "$(wc -l <"$T/ours")" -gt 60 ]
    diff "$T/theirs" "$T/ours"
    grep -q '^./opaque/above ' "$T/ours"
    for gone in ./old/gone-later ./old/deep/er/file ./opaque/below ./links-c ./becomes-file/inside; do
        ! grep -qF "$gone" "$T/ours" || fail "$gone is there"
    done
    podman_here rmi -f "$P/rich:1"
}

@test "skopeo reads our archive as docker's and as OCI's, and every digest is the original one" {
    coracle pull -q "$P/rich:1"
    coracle save "$P/rich:1" >"$T/a.tar"
    skopeo --insecure-policy inspect "docker-archive:$T/a.tar" | jq -r '.Layers[]' >"$T/layers"
    coracle image inspect -f '{{range .RootFS.Layers}}{{println .}}{{end}}' "$P/rich:1" | grep . >"$T/want"
    diff "$T/want" "$T/layers"
    assert_eq "$(skopeo --insecure-policy inspect --config "docker-archive:$T/a.tar" | jq -r .author)" "a tester"
    mkdir "$T/x" && tar -C "$T/x" -xf "$T/a.tar"
    assert_eq "$(skopeo --insecure-policy inspect --raw "oci:$T/x" | sha256sum | cut -d' ' -f1)" \
        "$(skopeo --insecure-policy inspect --raw --tls-verify=false "docker://$P/rich:1" | sha256sum | cut -d' ' -f1)"
    for f in "$T"/x/blobs/sha256/*; do assert_eq "$(sha256sum <"$f" | cut -d' ' -f1)" "${f##*/}"; done
}

@test "save, remove, load: id, names and digests are back, the archive is the same byte for byte" {
    coracle pull -q "$P/rich:1"
    coracle tag "$P/rich:1" another:name
    id=$(id_of another:name)
    coracle save -o "$T/a.tar" "$P/rich:1" another:name
    coracle rmi -f "$id" >/dev/null
    run -0 coracle load -i "$T/a.tar"
    assert_output_has "Loaded image: another:name"
    assert_output_has "Loaded image: $P/rich:1"
    assert_eq "$(id_of another:name)" "$id"
    assert_eq "$(id_of "$P/rich:1")" "$id"
    coracle save -o "$T/b.tar" "$P/rich:1" another:name
    cmp "$T/a.tar" "$T/b.tar"
    store_is_clean
}

@test "several images in one archive share their layers; a bare name is all its tags; an id has no name" {
    coracle pull -q "$P/tiny:1"
    coracle import --change 'CMD ["sh"]' "$(image_tar busybox)" other:1 >/dev/null
    coracle tag "$P/tiny:1" many:1
    coracle tag "$P/tiny:1" many:2
    coracle tag other:1 many:other
    coracle save -o "$T/all.tar" many
    assert_eq "$(tar -xOf "$T/all.tar" manifest.json | jq -c '[.[].RepoTags[]] | sort')" '["many:1","many:2","many:other"]'
    assert_eq "$(tar -tf "$T/all.tar" | sort | uniq -d)" ""
    coracle save -o "$T/id.tar" "$(id_of other:1)"
    coracle rmi -f $(image_ids) >/dev/null
    run -0 coracle load -i "$T/all.tar"
    assert_eq "$(sort <<<"$output")" $'Loaded image: many:1\nLoaded image: many:2\nLoaded image: many:other'
    works many:2
    works many:other
    coracle rmi -f $(image_ids) >/dev/null
    run -0 coracle load -i "$T/id.tar"
    assert_output_has "Loaded image ID: sha256:"
    assert_eq "$(coracle images --format '{{.Repository}}:{{.Tag}}')" "<none>:<none>"
}

@test "compressed archives, from a file and from a pipe" {
    coracle pull -q "$P/tiny:1"
    id=$(id_of "$P/tiny:1")
    coracle save "$P/tiny:1" >"$T/a.tar"
    for with in gzip zstd xz bzip2; do
        "$with" -qc <"$T/a.tar" >"$T/a.$with"
        coracle rmi -f "$id" >/dev/null
        coracle load -i "$T/a.$with" >/dev/null
        assert_eq "$(id_of "$P/tiny:1")" "$id"
        coracle rmi -f "$id" >/dev/null
        coracle load <"$T/a.$with" >/dev/null
        assert_eq "$(id_of "$P/tiny:1")" "$id"
    done
    coracle rmi -f "$id" >/dev/null
    cat "$T/a.tar" | coracle load >/dev/null
    works "$P/tiny:1"
}

@test "archives that skopeo and podman made, in docker's format and in OCI's" {
    src=docker://$P/gzipped:1
    skopeo --insecure-policy copy -q --src-tls-verify=false "$src" "docker-archive:$T/sd.tar:from/skopeo:docker"
    skopeo --insecure-policy copy -q --src-tls-verify=false "$src" "oci-archive:$T/so.tar:from/skopeo:oci"
    coracle pull -q "$P/gzipped:1"
    want=$(coracle image inspect -f '{{json .RootFS.Layers}}' "$P/gzipped:1")
    for a in sd so; do
        coracle rmi -f $(image_ids) >/dev/null
        store_settles
        run -0 coracle load -i "$T/$a.tar"
        name=$(sed -n 's/^Loaded image: //p' <<<"$output")
        case $a in sd) assert_eq "$name" from/skopeo:docker ;; so) assert_eq "$name" from/skopeo:oci ;; esac
        assert_eq "$(coracle image inspect -f '{{json .RootFS.Layers}}' "$name")" "$want"
        assert_eq "$(coracle run --rm --network none "$name" sh -c 'busybox cat /again /opaque/above; busybox stat -c %u:%a /highest')" $'secondabove65535:644'
    done
}

@test "archives that podman made, in docker's format and in OCI's" {
    podman_here pull -q --tls-verify=false "$P/tiny:1" >/dev/null
    podman_here tag "$P/tiny:1" from/podman:1
    want=$(podman_here image inspect --format '{{json .RootFS.Layers}}' from/podman:1)
    for format in docker-archive oci-archive; do
        podman_here save -q --format "$format" -o "$T/$format.tar" from/podman:1
        run -0 coracle load -i "$T/$format.tar"
        assert_output_has "Loaded image: localhost/from/podman:1"
        assert_eq "$(coracle image inspect -f '{{json .RootFS.Layers}}' localhost/from/podman:1)" "$want"
        works localhost/from/podman:1
        coracle rmi -f $(image_ids) >/dev/null
    done
    podman_here rmi -f from/podman:1 "$P/tiny:1" >/dev/null
}

@test "an archive for several platforms: ours, or the one asked for" {
    skopeo --insecure-policy copy -q --all --src-tls-verify=false "docker://$P/multi:1" "oci-archive:$T/m.tar:a/multi:1"
    coracle load -q -i "$T/m.tar"
    assert_eq "$(coracle image inspect -f '{{.Architecture}}' a/multi:1)" amd64
    coracle load -q --platform linux/arm64 -i "$T/m.tar"
    assert_eq "$(coracle image inspect -f '{{.Architecture}}' a/multi:1)" arm64
    run coracle load --platform linux/s390x -i "$T/m.tar"
    assert_status 1
    assert_output_has s390x
}

@test "an image that we save, skopeo pushes, and we pull it back with the same id" {
    coracle import "$(image_tar busybox)" made:here >/dev/null
    id=$(id_of made:here)
    coracle save -o "$T/a.tar" made:here
    registry_push plain "docker-archive:$T/a.tar" made:back
    coracle rmi made:here >/dev/null
    coracle pull -q "$P/made:back"
    assert_eq "$(coracle image inspect -f '{{index .RootFS.Layers 0}}' "$P/made:back")" "$(tar -xOf "$T/a.tar" "blobs/sha256/${id#sha256:}" | jq -r '.rootfs.diff_ids[0]')"
    works "$P/made:back"
}

@test "loading a name that is taken moves it; loading twice changes nothing" {
    coracle import "$(image_tar busybox)" name:1 >/dev/null
    coracle save -o "$T/a.tar" name:1
    old=$(id_of name:1)
    coracle import --change 'ENV X=1' "$(image_tar busybox)" name:1 >/dev/null
    new=$(id_of name:1)
    [ "$old" != "$new" ]
    coracle load -q -i "$T/a.tar"
    assert_eq "$(id_of name:1)" "$old"
    assert_eq "$(coracle image inspect -f '{{json .RepoTags}}' "$new")" "[]"
    before=$(cd "$STORE" && find images refs layers blobs -maxdepth 2 | sort)
    coracle load -q -i "$T/a.tar"
    assert_eq "$(cd "$STORE" && find images refs layers blobs -maxdepth 2 | sort)" "$before"
}

@test "save writes a file whole or not at all, and says when it cannot" {
    coracle pull -q "$P/tiny:1"
    echo precious >"$T/a.tar"
    run coracle save -o "$T/a.tar" "$P/tiny:1" no/such:image
    assert_status 1
    assert_output_has "No such image: no/such:image"
    assert_eq "$(cat "$T/a.tar")" precious
    assert_eq "$(ls "$T")" a.tar
    run coracle save -o "$T/none/a.tar" "$P/tiny:1"
    assert_status 1
    assert_output_has "no such file or directory"
    run bash -c "coracle save $P/tiny:1 >/dev/full"
    assert_status 1
    assert_output_has "no space left on device"
    run bash -o pipefail -c "coracle save $P/tiny:1 | head -c 1000 | wc -c"
    [ "$status" != 0 ]
    coracle save -o /dev/null "$P/tiny:1"
    run script -qec "coracle save $P/tiny:1" /dev/null
    assert_output_has "cowardly refusing"
    coracle save -o "$T/a.tar" "$P/tiny:1"
    tar -tf "$T/a.tar" >/dev/null
}

@test "load says what is wrong with its input" {
    run coracle load -i "$T/none.tar"
    assert_status 1
    assert_output_has "no such file or directory"
    run coracle load -i "$T"
    assert_status 1
    run coracle load </dev/null
    assert_status 1
    run coracle load too many arguments
    assert_status 1
    run coracle load -i "$(image_tar busybox)"
    assert_status 1
    assert_output_has "hint: for a plain root file system use 'coracle import'"
    run script -qec "coracle load" /dev/null
    assert_output_has "stdin is empty"
    assert_eq "$(image_ids)" ""
    store_is_clean
}

@test "a load that fills the disk leaves what was there" {
    coracle pull -q "$P/tiny:1"
    coracle save -o "$CTR_HOME/tmp/tiny.tar" "$P/tiny:1"
    coracle rmi "$P/tiny:1" >/dev/null
    registry_push plain "$(layout big --layers 2 --size 6000000):latest" big:1
    coracle pull -q "$P/big:1"
    coracle save -o "$CTR_HOME/tmp/big.tar" "$P/big:1"
    run nested 'mount -t tmpfs -o size=8m,mode=755 tmpfs "$D/disk"' "
        export CORACLE_ROOT=\$D/disk
        coracle load -q -i $CTR_HOME/tmp/tiny.tar
        coracle load -q -i $CTR_HOME/tmp/big.tar
        echo exit \$?
        for i in \$(seq 600); do [ -n \"\$(ls \$D/disk/tmp)\" ] || break; sleep 0.05; done
        ls \$D/disk/tmp | wc -l
        coracle images --format '{{.Repository}}'
        coracle run --rm --network none $P/tiny:1 echo alive"
    assert_output_has "no space left on device"
    assert_eq "$(printf '%s\n' "${lines[@]}" | tail -4)" "$(printf '%s\n' "exit 1" 0 "$P/tiny" alive)"
}
