#!/usr/bin/env bats
# Images that others share: additional-image-stores, and system share, which makes such a directory. One user plays both parts here, with two
# stores; that the other one's ids are others changes nothing of what is looked at.
load ../lib/common

file_setup() {
    export SHARED=$CTR_HOME/shared MINE=$CTR_HOME/mine
    image busybox >/dev/null
    coracle run --name maker --network none busybox sh -c '
        mkdir -p /d/shut && echo secret >/d/shadow && chmod 640 /d/shadow && chown 5:42 /d/shadow && echo in >/d/shut/f && chmod 700 /d/shut
        dd if=/dev/urandom of=/d/big bs=64k count=32 2>/dev/null && md5sum </d/big >/d/sum && ln /d/big /d/again && echo s >/d/suid && chmod 4755 /d/suid
        echo gone >/d/gone'
    coracle commit -c 'LABEL a=b' maker lower >/dev/null
    coracle run --name upper --network none lower rm /d/gone
    coracle commit upper team/tool:1 >/dev/null
    coracle rm maker upper >/dev/null
    mkdir "$SHARED"
}
setup() {
    mkdir -p "$HOME/.config/coracle"
    echo "{\"additional-image-stores\":[\"$SHARED\"]}" >"$HOME/.config/coracle/config.json"
}
teardown() {
    rm -f "$HOME/.config/coracle/config.json"
    [ ! -d "$MINE" ] || mine system reset -f >/dev/null
}
mine() { coracle --root "$MINE" "$@"; }
in_tool() { mine run --rm --network none team/tool:1 sh -c "$1"; }
# of data: btrfs counts a block for each symbolic link
kilobytes() { find "$@" -type f -printf '%i %b\n' | sort -u | awk '{n += $2} END {print int(n / 2)}'; }

@test "system share: links only, and nothing that is not for everybody" {
    rm "$HOME/.config/coracle/config.json"
    run -0 coracle system share "$SHARED"
    assert_output_has "team/tool:1"
    [ -z "$(find "$SHARED" -type f \( -perm /6000 -o ! -perm -4 \))" ]
    [ -z "$(find "$SHARED" -name shadow -o -name shut -o -name suid)" ]
    # the big file is there once, whatever its names
    big=$(find "$SHARED" -path '*/diff/d/big')
    [ "$(stat -c %h "$big")" -ge 4 ]
    run -0 coracle system share "$SHARED"
    mkdir "$CTR_HOME/full"
    touch "$CTR_HOME/full/x"
    run -1 coracle system share "$CTR_HOME/full"
    assert_output_has "neither empty nor a directory of shared images"
    run -1 coracle system share "$CTR_HOME/nowhere"
    run -1 coracle system share "$SHARED" no-such-image
}

@test "a container of a shared image: owners, modes, contents, without the data" {
    run -0 mine images --format '{{.Repository}}:{{.Tag}}'
    assert_output_has "team/tool:1"
    look='cd /d; stat -c "%n %u:%g %a %s" shadow suid big; cat shadow shut/f; md5sum <big | cmp - sum; md5sum <again | cmp - sum; ls'
    assert_eq "$(in_tool "$look")" "$(coracle run --rm --network none team/tool:1 sh -c "$look")"
    [ "$(kilobytes "$MINE/layers")" -lt 1000 ] || fail "the files were copied: $(kilobytes "$MINE/layers") KB"
    # changes are the container's own
    assert_eq "$(in_tool 'echo more >>/d/big; mv /d/sum /d/sum2; tail -c5 /d/big; ls /d | wc -l')" $'more\n6'
    assert_eq "$(in_tool 'md5sum </d/big | cmp - /d/sum && echo same')" same
    assert_eq "$(mine run --rm --network none --mount type=image,src=lower,dst=/i busybox sh -c 'md5sum </i/d/again | cmp - /i/d/sum; cat /i/d/gone')" gone
    # with ids of its own the container has them without copies as well
    assert_eq "$(mine run --rm --network none --userns nomap team/tool:1 sh -c 'md5sum </d/big | cmp - /d/sum && cat /d/shadow')" secret
    # by the copy driver too, once the layers are there
    echo "{\"storage-driver\":\"copy\",\"additional-image-stores\":[\"$SHARED\"]}" >"$HOME/.config/coracle/config.json"
    assert_eq "$(in_tool 'md5sum </d/big | cmp - /d/sum && cat /d/shadow')" secret
}

@test "where overlays have no layers of data a container of a shared image gets a copy, and that is said once" {
    image busybox >/dev/null
    mine run --rm --network none team/tool:1 true # tries it out
    sed -i 's/ yes$/ no/' "$XDG_RUNTIME_DIR"/coracle/overlay-data-*
    rm -f "$XDG_RUNTIME_DIR"/coracle/shared-copies-*
    run -0 in_tool 'cat /d/shadow && md5sum </d/big | diff - /d/sum'
    assert_eq "$output" "coracle: warning: each container of an image that others share gets a copy of its image's files: they cannot be mounted here"$'\nsecret'
    run -0 in_tool 'cat /d/shadow'
    assert_eq "$output" secret
    rm "$XDG_RUNTIME_DIR"/coracle/overlay-data-*
}

@test "shared images are read-only: names, removal, prune, commit" {
    run -0 mine images --filter readonly=true --format 'table {{.Repository}}:{{.Tag}}\t{{.ReadOnly}}'
    assert_eq "$(xargs <<<"${lines[0]}")" "REPOSITORY:TAG R/O"
    assert_output_has "team/tool:1"
    refute_output_has false
    run -0 mine images --filter readonly=false --format '{{.Repository}} {{.ReadOnly}}'
    refute_output_has team/tool
    run -0 mine images --format json
    refute_output_has ReadOnly
    run -1 mine images --filter readonly=perhaps
    run -1 mine rmi team/tool:1
    assert_output_has "is read-only: it is in the additional image store $SHARED"
    mine tag team/tool:1 my:own
    run -0 mine rmi my:own
    assert_output_has "Untagged: my:own"
    assert_eq "$(mine images -q team/tool | wc -l)" 1
    assert_eq "$(mine system df --format '{{.Type}} {{.TotalCount}}' | head -1)" "Images 0"
    run -0 mine system prune -af
    assert_eq "$(mine images -q team/tool | wc -l)" 1
    mine run --name own --network none team/tool:1 sh -c 'echo mine >/d/mine'
    mine commit own my:image >/dev/null
    mine rm own >/dev/null
    assert_eq "$(mine run --rm --network none my:image sh -c 'cat /d/mine; md5sum </d/big | cmp - /d/sum && echo same')" $'mine\nsame'
    mine save -o "$BATS_TEST_TMPDIR/tool.tar" team/tool:1
    [ "$(stat -c %s "$BATS_TEST_TMPDIR/tool.tar")" -gt 2000000 ]
    assert_eq "$(mine inspect my:image -f '{{.Config.Labels.a}}')" b
    run -0 mine system check
    nothing_left() { [[ $(mine system check --quick) != *"Interrupted commands left"* ]]; } # what rm began may still be at work
    wait_for nothing_left
}

@test "a store that is gone, or not to be trusted, is said so once, and work goes on" {
    echo "{\"additional-image-stores\":[\"$CTR_HOME/nowhere\"]}" >"$HOME/.config/coracle/config.json"
    run -0 mine ps
    assert_output_has "additional image store $CTR_HOME/nowhere"
    mkdir -p "$CTR_HOME/open"
    chmod 777 "$CTR_HOME/open"
    echo "{\"additional-image-stores\":[\"$CTR_HOME/open\"]}" >"$HOME/.config/coracle/config.json"
    run -0 mine images
    assert_output_has "others than its owner can write to it"
    echo '{"additional-image-stores":["relative"]}' >"$HOME/.config/coracle/config.json"
    run -1 mine images
}

@test "system share --prune: what is not named goes" {
    rm "$HOME/.config/coracle/config.json"
    run -0 coracle system share --prune "$SHARED" busybox
    assert_eq "$(ls "$SHARED/images" | wc -l) $(ls "$SHARED/layers" | wc -l)" "1 1"
    setup
    assert_eq "$(mine images --format '{{.Repository}}')" busybox
    assert_eq "$(mine run --rm --network none busybox echo fine)" fine
}
