#!/usr/bin/env bats
# system check and system reset: damage of every kind is named, mended or put aside, and nothing a user made is deleted.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_push plain "$(layout tiny):latest" tiny:1
    image busybox
}
file_teardown() { registry_stop_all; }
setup() {
    P=$(registry_addr plain)
}

sound() {
    run coracle system check
    assert_status 0
    assert_output_has "is sound."
}
# found TEXT…: one line says all of it, and the exit code that something was found
found() {
    local line words
    run coracle system check
    assert_status 1
    line=$output
    for words; do line=$(grep -F -- "$words" <<<"$line") || fail "not found: $*"; done
}
mended() {
    run coracle system check --repair
    assert_status 0
    assert_output_has "is sound again."
    sound
}
image_id() { coracle image inspect -f '{{.Id}}' "$1" | sed s/sha256://; }
layer_of() { echo "$STORE/layers/$(jq -r '.layers[0].chainId[7:]' "$STORE/images/$(image_id "$1").json")"; }
blob_of() { echo "$STORE/blobs/sha256/$(jq -r ".$2[7:]" "$STORE/images/$(image_id "$1").json")"; }
damage() { chmod u+w "$1" && printf X | dd of="$1" bs=1 seek="${2:-10}" conv=notrunc status=none; }

@test "a store in use is sound, also while others work; the report has a json form" {
    coracle run -d --name used -v kept:/data busybox sleep 1000
    coracle create --name made busybox
    coracle network create check1
    (for n in 1 2 3; do coracle run --rm busybox true && coracle tag busybox "busybox:$n" && coracle commit made "c:$n" && coracle rmi "c:$n"; done >/dev/null 3>&-) &
    for _ in 1 2 3 4; do sound; done
    wait $!
    run -0 coracle system check --quick --format '{{.Sound}} {{.Checked.containers}} {{.Checked.volumes}} {{len .Findings}}'
    assert_eq "$output" "true 2 1 0"
    run -125 coracle system check --force
    assert_output_has "a repair removes nothing"
    coracle rm -f used made
    coracle volume rm kept
    coracle network rm check1
    coracle rmi busybox:1 busybox:2 busybox:3
}

@test "a layer: files that were changed, added or lost are named, and unpacked again" {
    diff=$(layer_of busybox)/diff
    echo x >>"$diff/etc/passwd"
    found "layer sha256:" "/etc/passwd has"
    mended
    diff=$(layer_of busybox)/diff
    chmod 777 "$diff/etc"
    found "/etc has the mode 0777 instead of 0755"
    rm "$diff/bin/ls"
    touch "$diff/new"
    found ", and 2 more"
    coracle run -d --name busy busybox sleep 1000
    run -1 coracle system check --repair
    assert_output_has "not repaired: the running container busy uses it"
    coracle rm -f busy
    mended
    rm -r "$(layer_of busybox)"
    found "layer sha256:" "is missing"
    mended
    run -0 coracle run --rm busybox ls /etc/passwd
}

@test "a blob: another byte is found by its digest; one that a registry has is pulled again, another put aside" {
    coracle pull -q "$P/tiny:1"
    blob=$(blob_of "$P/tiny:1" config)
    damage "$blob"
    found "blob sha256:${blob##*/}" "has the digest"
    run -0 coracle system check --quick
    mended
    blob=$(blob_of "$P/tiny:1" 'layers[0].blob')
    rm -rf "$blob" "$(layer_of "$P/tiny:1")"
    found "blob sha256:${blob##*/}" "is missing"
    mended
    coracle rmi "$P/tiny:1"
    blob=$(blob_of busybox 'layers[0].blob')
    cp "$blob" "$BATS_TEST_TMPDIR/blob"
    damage "$blob" 5000
    run -1 coracle system check --repair
    assert_output_has "it was moved to quarantine, and cannot be brought again"
    ls "$STORE/quarantine" | grep -q "^blobs-sha256-${blob##*/}"
    coracle run --rm busybox true
    cp "$BATS_TEST_TMPDIR/blob" "$blob"
    sound
}

@test "records: an image's is made from its manifest, a volume's anew, a name is linked again, others are put aside" {
    coracle create --name keeper -v precious:/data busybox
    coracle create --name broken busybox
    coracle network create check2
    id=$(coracle inspect -f '{{.Id}}' broken)
    echo mine >"$STORE/containers/$id/upper/mine"
    echo mine >"$STORE/volumes/precious/_data/mine"
    image=$(image_id busybox)
    echo '{"half":' >"$STORE/images/$image.json"
    echo '{}' >"$STORE/refs/docker.io+library+other:latest"
    echo no >"$STORE/containers/$id/container.json"
    rm "$STORE/names/keeper"
    : >"$STORE/volumes/precious/volume.json"
    echo '[]' >"$STORE/networks/check2"
    chmod 770 "$STORE/layers"
    run -1 coracle system check
    for line in "image $image:" "reference docker.io+library+other:latest:" "container $id:" "its name keeper does not lead to it" \
        "volume precious:" "network check2:" "directory layers:"; do assert_output_has "$line"; done
    mended
    coracle run --rm busybox true
    assert_eq "$(cat "$STORE"/quarantine/containers-"$id".????????/upper/mine)" mine
    grep -q "moved this here from containers/$id" "$STORE"/quarantine/containers-"$id".????????.txt
    assert_eq "$(coracle run --rm -v precious:/d busybox cat /d/mine)" mine
    coracle rm keeper
    coracle volume rm precious
    rm "$STORE/images/$image.json"
    coracle create --name lives busybox && fail "an image without a record is there"
    run -0 coracle system check --repair
    assert_output_has "its record was missing; it was made again"
    coracle run --rm busybox true
}

@test "everything that lies in the root is known: lists of manifests, the build cache, other maps of ids, strangers" {
    quick() {
        run coracle system check --quick "$@"
    }
    coracle create --name mapped --network none --userns nomap busybox true >/dev/null
    coracle start -a mapped
    printf 'FROM busybox\nRUN --mount=type=cache,target=/c echo x >/c/x\n' >"$BATS_TEST_TMPDIR/Dockerfile"
    coracle build -q -t cached:1 "$BATS_TEST_TMPDIR" >/dev/null
    sound
    echo '{"torn' >"$STORE/manifests/docker.io+library+a:1.json"
    echo '[{"Descriptor":{"digest":"sha256:../../x"}}]' >"$STORE/manifests/docker.io+library+b:1.json"
    touch "$STORE/stray" "$STORE/networks/.tmp-0123456789abcdef" "$STORE/.tmp-0123456789abcdef"
    mkdir "$STORE/idmaps/stray"
    coracle unshare sh -c 'mv "$1"/idmaps/[0-9a-f]*/*/diff "$1/idmaps/stray/"' - "$STORE"
    quick
    assert_status 1
    for line in "library+a:1.json" "library+b:1.json: an entry has no digest" "stray: does not belong there" "idmap stray" "its files are missing"; do
        grep -qF "$line" <<<"$output" || fail "not found: $line"
    done
    rm -r "$STORE/stray"
    coracle unshare rm -r "$STORE/idmaps/stray"
    quick --repair
    assert_status 0
    assert_output_has "makes it again"
    sound
    [ -z "$(ls "$STORE/manifests")" ]
    coracle start -a mapped
    sound
    # what a killed writer left goes with the next sweep, a torn record of the cache, too
    touch -d '2 hours ago' "$STORE/networks/.tmp-0123456789abcdef" "$STORE/.tmp-0123456789abcdef"
    records=("$STORE"/builds/[0-9a-f]*)
    printf '{' >"${records[0]}"
    quick
    assert_status 0
    coracle rm mapped >/dev/null
    coracle rmi cached:1 >/dev/null
    swept() { [ ! -e "$STORE/.tmp-0123456789abcdef" ] && [ ! -e "$STORE/networks/.tmp-0123456789abcdef" ] && [ ! -e "${records[0]}" ]; }
    wait_for swept || fail "left: $(ls -A "$STORE" "$STORE/networks" "$STORE/builds")"
    coracle builder prune -af >/dev/null
}

@test "a store of the first format is opened as it is; one of a newer version is refused" {
    old=$BATS_TEST_TMPDIR/old
    mkdir "$old"
    tar -C "$old" -xzf "$TESTS_DIR/fault/store-1.tar.gz" # as an early build left it, but for where it was
    sed -i "s#@ROOT@#$old#g" "$old"/containers/*/config.json
    run -0 coracle --root "$old" ps -a --format '{{.Names}} {{.Image}} {{.State}}'
    assert_eq "$output" "first busybox exited"
    run -0 coracle --root "$old" system check
    assert_output_has "images 1, references 1, layers 1, blobs 3, containers 1"
    run -0 coracle --root "$old" start -a first
    assert_eq "$output" "from the first format"
    coracle --root "$old" volume create new
    coracle --root "$old" rm first
    coracle --root "$old" system reset -f
    mkdir "$BATS_TEST_TMPDIR/new"
    coracle --root "$BATS_TEST_TMPDIR/new" ps
    echo 2 >"$BATS_TEST_TMPDIR/new/version"
    run -1 coracle --root "$BATS_TEST_TMPDIR/new" ps
    assert_output_has "has version 2; this coracle knows version 1"
    run -125 coracle --root "$BATS_TEST_TMPDIR/new" system check
}

@test "a full disk: what fails names it and the way out, and removing works" {
    mkdir "$BATS_TEST_TMPDIR/full"
    cat >"$BATS_TEST_TMPDIR/script" <<'E'
set -e
mount -t tmpfs -o size=12m none "$1"
export CORACLE_ROOT=$1/store XDG_RUNTIME_DIR=$1.run
mkdir -m 700 "$1.run"
coracle import "$2" base:1 >/dev/null
for n in 1 2 3; do coracle create --name "c$n" base:1 true >/dev/null; done
coracle run --name three --network none base:1 sh -c 'exit 3' || echo "first: $?"
coracle volume create v1 >/dev/null
dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null || true
! coracle import --change 'LABEL a=b' "$2" more:1
! coracle volume create v2
coracle start -a three || echo "again: $?"
coracle inspect -f 'state: {{.State.Status}} {{.State.ExitCode}}' three
coracle ps -aq | wc -l
coracle system check --quick
coracle rm c1
coracle volume rm v1
coracle system prune -af
coracle system check
E
    run -0 coracle unshare bash "$BATS_TEST_TMPDIR/script" "$BATS_TEST_TMPDIR/full" "$(image_tar busybox)"
    assert_output_has "no space left on device"
    assert_output_has "the disk of the store, $BATS_TEST_TMPDIR/full/store, has"
    assert_output_has "'coracle system prune'"
    assert_output_has "again: 3"
    assert_output_has "state: exited 3"
    assert_output_has "deleted: sha256:"
    assert_output_has "images 0, references 0, layers 0, blobs 0, containers 0"
}

@test "reset asks; then nothing is left, running or of another user" {
    coracle run -d --name last -v owned:/data busybox sh -c 'mkdir /data/d && touch /data/d/f && chown -R 1000:1000 /data && chmod 700 /data/d && echo made && exec sleep 1000'
    wait_for eval 'coracle logs last | grep -q made'
    run -0 coracle system reset </dev/null
    assert_output_has "Are you sure you want to continue? [y/N]"
    assert_eq "$(coracle ps -q | wc -l)" 1
    run -0 coracle system reset <<<y
    left=$(find "$STORE" -type f -size +0) # a collector of an earlier command may have made its lock again
    [ -z "$left" ] || fail "left: $left"
    run -0 coracle ps -aq
    assert_eq "$output" ""
}
