#!/usr/bin/env bats
# transports: images in files and directories, in the words of podman and skopeo, which are the other side here.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    coracle import --change 'ENV N=1' --change 'CMD ["busybox","echo","one"]' "$(image_tar busybox)" one:1 >/dev/null
    coracle import --change 'ENV N=2' --change 'CMD ["busybox","echo","two"]' "$(image_tar busybox)" two:2 >/dev/null
    cd "$BATS_FILE_TMPDIR"
    coracle save -o both.tar one:1 two:2
    coracle save --format oci-archive -o oci.tar one:1
    coracle save --format oci-dir -o layout one:1
    coracle save --format docker-dir -o plain one:1
    coracle image inspect -f '{{.Id}}' one:1 >id
}

setup() { cd "$BATS_FILE_TMPDIR" && ID=$(cat id) && no_images; }
names() { coracle images --format '{{.Repository}}:{{.Tag}}' | sort | paste -sd' '; }
id_of() { coracle image inspect -f '{{.Id}}' "$1"; }

@test "save: each format is what skopeo takes it for, and the image is the same" {
    for source in docker-archive:both.tar:one:1 oci-archive:oci.tar oci:layout:1 dir:plain; do
        rm -rf copy
        skopeo --insecure-policy copy -q "$source" oci:copy:x || fail "skopeo does not take $source"
        [[ $source != docker-archive:* ]] || continue # skopeo writes another config there
        config=$(jq -r '.manifests[0].digest[7:]' copy/index.json)
        assert_eq "$(jq -r .config.digest "copy/blobs/sha256/$config")" "$ID"
    done
    [ -z "$(tar -tf oci.tar | grep -x manifest.json)" ]
    coracle load -qi oci.tar
    for args in "--format perhaps" "--format oci-dir" "--format docker-dir -o layout"; do
        run coracle save $args one:1 <<<""
        assert_status 1
    done
    assert_output_has "not empty"
    coracle load -qi both.tar
    run coracle save --format docker-dir -o two one:1 two:2
    assert_status 1
    assert_output_has "one image, not 2"
}

@test "pull and run from each of them; what skopeo writes, too" {
    run -0 coracle pull -q docker-archive:both.tar:one:1
    assert_eq "$output $(names)" "docker.io/library/one:1 one:1"
    no_images
    coracle pull -q docker-archive:both.tar:@1 >/dev/null
    assert_eq "$(names)" two:2
    no_images
    coracle pull -q docker-archive:both.tar >/dev/null
    assert_eq "$(names)" "one:1 two:2"
    for source in "oci-archive:oci.tar" "oci:layout:1" "dir:plain" "oci:layout"; do
        no_images
        coracle pull -q "$source" >/dev/null
        assert_eq "$(coracle images -q --no-trunc)" "$ID"
    done
    no_images
    coracle pull -q dir:plain
    assert_eq "$(names)" localhost/plain:latest
    no_images
    assert_eq "$(coracle run --rm --network none "oci:$PWD/layout:1" 2>/dev/null)" one
    skopeo --insecure-policy copy -q dir:plain oci:fromskopeo:tagged
    coracle pull -q oci:fromskopeo:tagged >/dev/null
    assert_eq "$(id_of localhost/fromskopeo:tagged)" "$ID"
    run coracle pull oci:fromskopeo:none
    assert_status 1
    assert_output_has "no image none in oci:fromskopeo"
    run coracle pull docker-archive:both.tar:three
    assert_status 1
    assert_output_has "no image three"
}

@test "load takes directories; several images are each said" {
    run -0 coracle load -i both.tar
    assert_eq "$output" $'Loaded image: one:1\nLoaded image: two:2'
    no_images
    run -0 coracle load -i layout
    assert_eq "$output" "Loaded image: one:1"
    no_images
    run -0 coracle load -i plain
    assert_eq "$output" "Loaded image ID: $ID"
    for z in gzip bzip2 xz zstd; do
        no_images
        "$z" -c both.tar | coracle load -q
        assert_eq "$(names)" "one:1 two:2"
    done
}

@test "a directory is held against its own digests" {
    rm -rf bad && cp -r plain bad && rm bad/*[0-9a-f]???????????????
    run coracle pull dir:bad
    assert_status 1
    assert_output_has "no blob"
    rm -rf bad && cp -r layout bad
    blob=$(ls -S bad/blobs/sha256/* | tail -1) && chmod u+w "$blob" && printf x >>"$blob"
    run coracle pull oci:bad
    assert_status 1
    assert_output_has digest
    mkdir -p bad2
    run coracle load -i bad2
    assert_status 1
    assert_output_has "holds no image"
    assert_eq "$(coracle images -q)" ""
    store_is_clean
}

@test "names that are docker's stay docker's; what needs a daemon or another's store is refused" {
    coracle load -qi both.tar
    coracle tag one:1 oci:1
    coracle tag one:1 dir:latest
    assert_eq "$(coracle run --rm --network none --pull never oci:1 2>&1)" one
    run coracle pull docker-daemon:one:1
    assert_status 1
    assert_output_has "docker save one:1 | coracle load"
    run coracle pull containers-storage:one:1
    assert_status 1
    assert_output_has "podman save one:1 | coracle load"
    assert_eq "$(coracle run --rm --network none --pull never docker://one:1 2>&1)" one
}

@test "the policy knows oci and dir by their paths" {
    mkdir -p "$HOME/.config/containers"
    accept='[{"type":"insecureAcceptAnything"}]'
    echo "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"oci\":{\"$(realpath .)/layout\":$accept}}}" >"$HOME/.config/containers/policy.json"
    coracle pull -q oci:layout:1 >/dev/null
    run coracle pull dir:plain
    rm "$HOME/.config/containers/policy.json"
    assert_status 1
    assert_output_has "dir:$(realpath .)/plain is rejected by policy"
}

@test "push to files: each kind is what skopeo takes it for; a layout keeps what it has, an archive is not added to" {
    coracle load -qi both.tar >/dev/null
    rm -rf pushed && mkdir pushed
    coracle push one:1 oci:pushed/layout:one
    coracle push two:2 oci:pushed/layout:two
    coracle push two:2 oci:pushed/layout:moves
    coracle push one:1 oci:pushed/layout:moves
    assert_eq "$(jq -r '[.manifests[].annotations["org.opencontainers.image.ref.name"]] | sort | join(" ")' pushed/layout/index.json)" "moves one two"
    coracle push one:1 oci-archive:pushed/one.tar:1
    coracle push one:1 docker-archive:pushed/docker.tar:other:3
    coracle push one:1 dir:pushed/dir
    for source in oci:pushed/layout:one oci:pushed/layout:moves oci-archive:pushed/one.tar:1 dir:pushed/dir; do
        rm -rf copy
        skopeo --insecure-policy copy -q "$source" oci:copy:x || fail "skopeo does not take $source"
        assert_eq "$(jq -r .config.digest "copy/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' copy/index.json)")" "$ID"
    done
    skopeo --insecure-policy copy -q oci:pushed/layout:two dir:pushed/two
    no_images
    coracle pull -q docker-archive:pushed/docker.tar >/dev/null
    assert_eq "$(names)" other:3
    run coracle push other:3 docker-archive:pushed/docker.tar
    assert_status 1
    assert_output_has "there already"
    run coracle push other:3 dir:pushed/dir
    assert_status 1
    assert_output_has "not empty"
    run coracle push -a other oci:pushed/x
    assert_status 1
    assert_output_has "for registries"
    run coracle push nosuch:1 oci:pushed/x
    assert_status 1
    assert_output_has "No such image"
    run coracle push other:3 docker-daemon:other:3
    assert_status 1
}

@test "scp: to a host, from it, and from one to another; ports, quiet, and what cannot be" {
    mkdir -p "$CTR_HOME/bin"
    cat >"$CTR_HOME/bin/ssh" <<'S'
#!/bin/bash
# runs the command here, in a store of the host's own
echo "$*" >>"$CTR_HOME/ssh.log"
[ "$1" != -p ] || shift 2
[ "$1" = -- ] && shift
case $1 in *unreachable*) echo "ssh: connect to host: No route to host" >&2; exit 255 ;; esac
export CORACLE_ROOT=$CTR_HOME/store-of-${1##*@}
shift
exec sh -c "$*"
S
    chmod +x "$CTR_HOME/bin/ssh"
    PATH=$CTR_HOME/bin:$PATH
    coracle load -qi both.tar >/dev/null
    run -0 coracle image scp one:1 alice@there::
    assert_eq "$output" "Loaded image: one:1"
    assert_eq "$(CORACLE_ROOT=$CTR_HOME/store-of-there coracle image inspect -f '{{.Id}}' one:1)" "$ID"
    no_images
    run -0 coracle image scp ssh://alice@there:2222::one:1
    assert_eq "$output" "Loaded image: one:1"
    assert_eq "$(id_of one:1)" "$ID"
    grep -q -- '-p 2222 -- alice@there ' "$CTR_HOME/ssh.log" || fail "$(cat "$CTR_HOME/ssh.log")"
    run -0 coracle image scp -q there::one:1 elsewhere::
    assert_eq "$output" ""
    assert_eq "$(CORACLE_ROOT=$CTR_HOME/store-of-elsewhere coracle image inspect -f '{{.Id}}' one:1)" "$ID"
    run coracle image scp one:1 bob@unreachable::
    assert_status 1
    assert_output_has "No route to host"
    assert_output_has "exit status 255"
    run coracle image scp there::nosuch:1
    assert_status 1
    assert_output_has "No such image"
    rm "$CTR_HOME/ssh.log"
    for args in "nosuch:1 there::" "one:1" "one:1 there" "one:1 there::name" "there::" "-- one:1 -oProxyCommand=x::" "one:1 a;b::" "there::\$(x) " "one:1 there:99999::"; do
        run coracle image scp $args
        [ "$status" != 0 ] || fail "$args"
    done
    [ ! -e "$CTR_HOME/ssh.log" ] || fail "somebody was asked: $(cat "$CTR_HOME/ssh.log")"
    for s in there elsewhere; do CORACLE_ROOT=$CTR_HOME/store-of-$s coracle rmi one:1; done
}
