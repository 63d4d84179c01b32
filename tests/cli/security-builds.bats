#!/usr/bin/env bats
# security-builds: Dockerfiles, caches and contexts that change under a build's hands. docs/internals/threats.md says which threat is met
# where; the numbers in brackets are its rows.
load ../lib/common
load ../lib/attacks

file_setup() {
    image busybox
    attacks_setup
    coracle volume create victim >/dev/null
}
setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
    local dir
    # what a path that leads out would find: on the host, and in the store
    for dir in "$CTR_HOME/victim" "$STORE/volumes/victim/_data"; do
        mkdir -p "$dir"/{a/b,in,sub}
        : >"$dir/empty"
        echo geheim | tee "$dir/file" "$dir/in/file" "$dir/sub/file" >/dev/null
    done
    before=$(victims)
}
teardown() {
    touch "$CTR_HOME/attack/stop"
    [ ! -e "$CTR_HOME/swapping" ] || kill "$(cat "$CTR_HOME/swapping")" 2>/dev/null || true
    rm -f "$CTR_HOME/swapping"
}

victims() { (cd "$CTR_HOME/victim" && find . -printf '%p %y %m %s\n' && cd "$STORE/volumes/victim/_data" && find . -printf '%p %y %m %s\n') | sort; }
victims_are_well() { assert_eq "$(victims)" "$before"; }

UP=../../../../../../../../../../../..

@test "[53] a RUN that puts links where mounts were: what is cleaned up is in the container, not what they lead to" {
    local victim=$CTR_HOME/victim inside=$STORE/volumes/victim/_data type n=0
    echo key >key
    for to in "$victim" "$UP$victim" "$inside" "$UP$inside"; do
        for type in type=cache,id=raced,target=/m/a/b type=cache,id=raced,target=/m/empty/x type=tmpfs,target=/m/a/b \
            type=bind,from=busybox,source=/bin,target=/m/a/b type=secret,id=k,target=/m/empty type=secret,id=k,target=/m/a/b/f; do
            n=$((n + 1))
            # the directory that a mount is in can be renamed; a mount point itself cannot
            printf 'FROM busybox\nRUN --mount=%s --mount=type=tmpfs,target=/m/in/deep/er mv /m /was && ln -s %s /m && echo %s\n' "$type" "$to" $n >Dockerfile
            coracle build -q -t cleaned --secret "id=k,src=key" . >/dev/null
            victims_are_well
            run -0 coracle run --rm --network none busybox true
            # the link is the command's work and stays; what was made to mount on is gone
            run -0 coracle run --rm --network none cleaned sh -c 'readlink /m; ls -d /was'
            assert_eq "$output" "$to"$'\n'/was
        done
    done
    [ "$n" = 24 ]
}

# build_again DOCKERFILE OPTIONS…: with a step that is not in the cache
build_again() {
    local file=$1
    shift
    timeout "$HUNG" coracle build --progress plain -f "$file" --build-arg "N=$RANDOM$RANDOM" "$@" . 2>&1
}

@test "[53] a build swaps a directory of a shared cache for a link: another one that has it mounted, exports or prunes it stays inside" {
    attacks
    local i good=0
    cp "$CTR_HOME/attack/attack" swapper
    echo key >key
    cat >swap <<D
FROM busybox
COPY swapper /swapper
RUN --mount=type=cache,id=raced,sharing=shared,target=/c rm -rf /c/* && mkdir -p /c/d/in /c/d/a && echo mine >/c/d/in/file && echo mine >/c/d/file && \
    ln -s $CTR_HOME/victim /c/l && ln -s $UP$STORE/volumes/victim/_data /c/l2
RUN --mount=type=cache,id=raced,sharing=shared,target=/c --mount=type=cache,id=ctl,target=/attack rm -f /attack/stop /attack/begun; /swapper swap /c/d /c/l 900 & \
    /swapper swap /c/d /c/l2 900 & wait
D
    cat >mounts <<'D'
FROM busybox
ARG N
RUN --mount=type=cache,id=raced,sharing=shared,target=/c --mount=type=tmpfs,target=/c/d/a/b/t --mount=type=cache,id=other,target=/c/d/x \
    --mount=type=secret,id=k,target=/c/d/a/key --mount=type=bind,from=busybox,source=/bin,target=/c/d/y \
    cat /c/d/file /c/d/in/file /c/l/in/file /c/l2/file; touch /c/d/made /c/l/made /c/d/a/b/made; rm -f /c/d/sub/file; echo was there
D
    cat >exports <<'D'
FROM busybox
ARG N
RUN --mount=type=cache,id=raced,sharing=shared,target=/c true
D
    echo $'FROM busybox\nRUN --mount=type=cache,id=ctl,target=/attack touch /attack/stop' >stop
    coracle build -q -f swap . >/dev/null 3>&- &
    swapping=$!
    echo $swapping >"$CTR_HOME/swapping"
    wait_for test -d "$STORE/builds/mounts"
    wait_for bash -c 'set -- "$STORE"/builds/mounts/*/begun; [ -e "$1" ]'
    met() { grep -q 'was there' said && grep -q ' mine' said && [ $good -gt 0 ]; }
    for i in $(seq 200); do # until each has seen the directory, too, however unlucky it was
        [ "$i" -le "$(rounds 12)" ] || ! met || break
        for j in 1 2; do build_again mounts --secret id=k,src=key >>said || true; done &
        build_again exports --cache-to "type=local,dest=cache$i,mode=max,mounts=true" >>said2 || true
        coracle builder prune -f -a --filter type=exec.cachemount >>pruned 2>&1 || true
        wait $!
        victims_are_well
        for blob in "cache$i"/blobs/sha256/*; do gzip -dcf "$blob" 2>/dev/null || cat "$blob"; done >all
        ! grep -aq geheim all || fail "a file of the host is in the exported cache"
        ! grep -aq '/in/file' all || good=$((good + 1))
        rm -rf "cache$i"
    done
    kill -0 $swapping || fail "the other build has ended"
    coracle build -q -f stop . >/dev/null
    wait $swapping
    rm "$CTR_HOME/swapping"
    ! grep -q geheim said said2 || fail "a file of the host was mounted"
    grep -q 'was there' said || fail "no build had it mounted: $(tail -20 said)"
    grep -q ' mine' said || fail "no build found the directory: $(tail -20 said)"
    [ $good -gt 0 ] || fail "nothing was exported: $(tail -20 said2)"
    coracle builder prune -f -a --filter type=exec.cachemount
    run -0 find "$STORE/builds/mounts" -mindepth 1 -type d
    assert_eq "$output" ""
    victims_are_well
}

@test "[50, 53] the source of a mount changes into a link while it is looked for: only the context's files are mounted or copied" {
    local i file
    mkdir -p ctx/d/in
    echo mine >ctx/d/in/file
    ln -s "$CTR_HOME/victim" ctx/l
    cd ctx
    printf 'FROM busybox\nARG N\nRUN --mount=type=bind,source=d/in,target=/m cat /m/file\n' >bind
    printf 'FROM busybox\nARG N\nRUN --mount=type=bind,source=d/in/file,target=/m cat /m\n' >file
    printf 'FROM busybox\nARG N\nRUN --mount=type=cache,id=$N,from=named,source=d/in,target=/m cat /m/file\n' >cache
    printf 'FROM busybox\nARG N\nCOPY d/in /m\nRUN cat /m/file\n' >copy
    attacker -v "$T/ctx:/s" -- swap /s/d /s/l 900
    try() { build_again "$1" --build-context "named=$T/ctx" >>"$T/said.$1" || true; }
    found() { grep -q ' mine' "$T/said.$1"; }
    for i in $(seq "$(rounds 15)"); do
        for file in bind file cache copy; do try $file; done
    done
    for file in bind file cache copy; do # each has seen the directory, too, however unlucky it was
        for i in $(seq 200); do found $file || try $file; done
    done
    attack_failed quiet
    ! grep -q geheim "$T"/said.* || fail "a file of the host was mounted or copied: $(grep -h geheim "$T"/said.* | head -3)"
    for file in bind file cache copy; do found $file || fail "$file: no build found the directory: $(tail -20 "$T/said.$file")"; done
    victims_are_well
}

@test "[53] a Dockerfile or an ONBUILD gets neither the host's network nor privileges by itself" {
    local asked line
    for line in 'RUN --network=host true' 'RUN --security=insecure true' 'RUN --device=all true'; do
        printf 'FROM busybox\n%s\n' "$line" >Dockerfile
        run -1 coracle build .
        assert_output_has not\ $([[ $line = *device* ]] && echo supported || echo allowed)
        printf 'FROM busybox\nONBUILD %s\n' "$line" | coracle build -q -t trigger - >/dev/null
        run -1 coracle build - <<<'FROM trigger'
        assert_output_has not\ $([[ $line = *device* ]] && echo supported || echo allowed)
    done
    for asked in security.insecure device fs=/ ''; do
        run coracle build --allow "$asked" .
        [ "$status" != 0 ] || fail "--allow '$asked' was taken"
        assert_output_has "--allow $asked is not supported"
    done
    printf 'FROM busybox\nARG N\nRUN --network=host readlink /proc/self/ns/net\n' >Dockerfile
    for asked in "--allow network.host" "--network host"; do
        # shellcheck disable=SC2086
        run -0 build_again Dockerfile $asked
        assert_output_has "$(readlink /proc/self/ns/net)"
    done
    # a step of a build that was allowed it is no way round
    coracle build -q --allow network.host . >/dev/null
    run -1 coracle build .
    assert_output_has "network.host is not allowed"
}
