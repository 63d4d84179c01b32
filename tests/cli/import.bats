#!/usr/bin/env bats
# import: a root file system as an image, from busybox to a whole Debian.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() { debian_tar >/dev/null; }

setup() {
    T=$BATS_TEST_TMPDIR
    ids=$(image_ids | grep -v "$(coracle image inspect -f '{{.Id}}' debian 2>/dev/null || echo none)" || true)
    [ -z "$ids" ] || coracle rmi -f $ids >/dev/null
    store_settles
}

debian() { coracle image inspect debian >/dev/null 2>&1 || coracle import --change 'CMD ["bash"]' "$(debian_tar)" debian >/dev/null; }
in_debian() { coracle run --rm --network none debian "$@" 2>&1; }
inspect() { coracle image inspect -f "$2" "$1"; }

@test "a file with a name: prints the id, and the image runs" {
    run --separate-stderr -0 coracle import "$(image_tar busybox)" my/image:v1
    [[ $output =~ ^sha256:[0-9a-f]{64}$ ]]
    assert_eq "$(inspect my/image:v1 '{{.Id}}')" "$output"
    run -0 coracle run --rm --network none my/image:v1 busybox echo hello
    assert_output_has hello
}

@test "from stdin, without a name" {
    id=$(coracle import - <"$(image_tar busybox)")
    assert_eq "$(coracle images --no-trunc --format '{{.Repository}} {{.Tag}} {{.ID}}')" "<none> <none> $id"
    id2=$(cat "$(image_tar busybox)" | coracle import - named)
    assert_eq "$(inspect named '{{.RepoTags}}')" "[named:latest]"
    assert_eq "$(coracle run --rm --network none "$id" busybox echo hi 2>&1)" hi
    assert_eq "$(coracle run --rm --network none "${id2:7:12}" busybox echo hi 2>&1)" hi
}

@test "compressed by gzip, zstd, xz, bzip2: the same layer" {
    want=$(coracle import "$(image_tar busybox)" plain && inspect plain '{{.RootFS.Layers}}')
    for with in gzip zstd xz bzip2; do
        "$with" -qc <"$(image_tar busybox)" >"$T/root"
        coracle import "$T/root" "by/$with" >/dev/null
        assert_eq "$(inspect "by/$with" '{{.RootFS.Layers}}')" "${want#*$'\n'}"
    done
    assert_eq "$(ls "$STORE/layers" | wc -l)" "$(($(coracle image inspect debian >/dev/null 2>&1 && echo 1 || echo 0) + 1))"
}

@test "--change: every instruction, in both spellings" {
    coracle import \
        -c 'CMD ["a", "b c"]' -c 'ENTRYPOINT ["/bin/sh", "-c"]' -c 'ENV A=1 B="two words"' -c 'ENV C three' \
        -c 'EXPOSE 80 53/udp' -c 'LABEL x=1 y="z z"' -c 'USER alice:staff' -c 'VOLUME ["/data", "/more"]' \
        --change 'WORKDIR /srv' --change 'WORKDIR sub' --change 'STOPSIGNAL SIGQUIT' --change 'ONBUILD RUN true' \
        -m 'made for a test' "$(image_tar busybox)" changed >/dev/null
    assert_eq "$(coracle image inspect changed | jq -c '.[0].Config | [.Cmd, .Entrypoint, .Env[-3:], (.ExposedPorts|keys), .Labels, .User, (.Volumes|keys), .WorkingDir, .StopSignal, .OnBuild]')" \
        '[["a","b c"],["/bin/sh","-c"],["A=1","B=two words","C=three"],["53/udp","80/tcp"],{"x":"1","y":"z z"},"alice:staff",["/data","/more"],"/srv/sub","SIGQUIT",["RUN true"]]'
    assert_eq "$(inspect changed '{{.Comment}}')" "made for a test"
    coracle import -c 'CMD echo shell form' "$(image_tar busybox)" shell >/dev/null
    assert_eq "$(coracle image inspect shell | jq -c '.[0].Config.Cmd')" '["/bin/sh","-c","echo shell form"]'
    assert_eq "$(coracle run --rm --network none shell 2>&1)" "shell form"
    coracle import -c 'USER alice' -c 'WORKDIR /home' -c 'ENV GREETING=hi' -c 'CMD echo $GREETING $(id -un) $PWD' "$(image_tar busybox)" used >/dev/null
    assert_eq "$(coracle run --rm --network none used 2>&1)" "hi alice /home"
}

@test "a bad --change is refused by its name, before anything is stored" {
    for bad in 'RUN true' 'NONSENSE x' 'FROM x' 'EXPOSE 99999' 'ENV' 'STOPSIGNAL' '' 'COPY a b' 'LABEL' 'EXPOSE 80/icmp'; do
        run coracle import --change "$bad" "$(image_tar busybox)" bad
        assert_status 1
        [ -z "${bad%% *}" ] || assert_output_has "${bad%% *}"
        run coracle image inspect bad
        assert_status 1
    done
}

@test "--platform is recorded" {
    coracle import --platform linux/arm64/v8 "$(image_tar busybox)" foreign >/dev/null
    assert_eq "$(inspect foreign '{{.Os}}/{{.Architecture}}')" linux/arm64
    run coracle import --platform windows/amd64/x/y/z "$(image_tar busybox)" no
    assert_status 1
}

@test "import of a URL" {
    mkdir -p "$T/web" && cp "$(image_tar busybox)" "$T/web/root.tar"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$T/web" 0 >"$T/web.log" 2>/dev/null 3>&- &
    local server=$! port
    port=$(_registry_wait "$T/web.log" 'port [0-9]+' "$server")
    run -0 coracle import "http://127.0.0.1:$port/root.tar" web:1
    run coracle import "http://127.0.0.1:$port/none.tar" web:2
    kill "$server"
    wait "$server" || true
    assert_status 1
    assert_output_has "status 404"
    assert_eq "$(coracle image inspect -f '{{.Comment}}' web:1)" "Imported from http://127.0.0.1:$port/root.tar"
    run coracle import "http://127.0.0.1:$port/root.tar" web:3
    assert_status 1
}

@test "what cannot be imported: said, and nothing is left" {
    run coracle import "$T/none.tar" x
    assert_status 1
    assert_output_has "no such file or directory"
    run coracle import "$T" x
    assert_status 1
    run coracle import ftp://example.com/root.tar x
    assert_status 1
    assert_output_has "only http and https"
    head -c 100000 /dev/urandom >"$T/noise"
    run coracle import "$T/noise" x
    assert_status 1
    assert_output_has "not a sound tar"
    head -c 500000 "$(image_tar busybox)" >"$T/cut"
    run coracle import "$T/cut" x
    assert_status 1
    gzip -c "$(image_tar busybox)" | head -c 300000 >"$T/cut.gz"
    run coracle import "$T/cut.gz" x
    assert_status 1
    assert_output_has truncated
    run coracle import "$(image_tar busybox)" 'Not/A:Name:'
    assert_status 1
    assert_output_has "invalid reference format"
    run coracle import "$(image_tar busybox)" "x@sha256:$(printf 0%.0s $(seq 64))"
    assert_status 1
    run coracle import
    assert_status 1
    assert_eq "$(coracle images -q x)" ""
    store_settles
    assert_eq "$(ls "$STORE/blobs/partial")" ""
}

@test "the same tar twice is one layer; both images run; removing one leaves the other" {
    coracle import -c 'ENV N=1' "$(image_tar busybox)" one >/dev/null
    coracle import -c 'ENV N=2' "$(image_tar busybox)" two >/dev/null
    assert_eq "$(inspect one '{{.RootFS.Layers}}')" "$(inspect two '{{.RootFS.Layers}}')"
    coracle rmi one >/dev/null
    store_settles
    assert_eq "$(coracle run --rm --network none two busybox sh -c 'echo $N' 2>&1)" 2
}

# ---- a Debian ----

@test "debian: bash, apt, dpkg and perl work" {
    debian
    assert_eq "$(in_debian bash -c 'echo $BASH_VERSION | cut -d. -f1; echo ${PIPESTATUS[@]}')" $'5\n0 0'
    run -0 in_debian apt-get --version
    [[ ${lines[0]} =~ ^apt\ [0-9] ]]
    run -0 in_debian sh -c 'dpkg -l | grep -c ^ii; dpkg --audit; dpkg-query -W -f "\${Version}\n" base-files'
    [ "${lines[0]}" -gt 60 ]
    run -0 in_debian perl -e 'print join(",", map { $_ * 2 } 1 .. 3)'
    assert_eq "$output" 2,4,6
    assert_eq "$(in_debian sh -c '. /etc/os-release; echo $VERSION_CODENAME')" "$(codename)"
}

@test "debian: setuid programs make root, users and groups are the image's own" {
    debian
    run -0 in_debian stat -c '%A %U' /bin/su
    assert_eq "$output" "-rwsr-xr-x root"
    run -0 in_debian sh -c 'sed -i "s/^root:[^:]*:/root::/" /etc/shadow && su nobody -s /bin/bash -c "id -un; su -c \"id -un\""'
    assert_eq "$output" $'nobody\nroot'
    run coracle run --rm --network none --security-opt no-new-privileges debian sh -c 'sed -i "s/^root:[^:]*:/root::/" /etc/shadow; setpriv --reuid 65534 su -c "id -un" || echo refused'
    assert_output_has refused
    run -0 in_debian sh -c 'stat -c "%U:%G %a" /etc/shadow /var/mail /tmp'
    assert_eq "$output" $'root:shadow 640\nroot:mail 2775\nroot:root 1777'
}

@test "debian: adding a user and changing owners works, and stays in the container" {
    debian
    run -0 in_debian sh -c 'useradd -m tester && install -o tester -g www-data /dev/null /home/tester/f && stat -c %U:%G /home/tester/f && su tester -c id'
    assert_output_has tester:www-data
    assert_output_has "uid=1000(tester)"
    run in_debian id tester
    assert_status 1
}

@test "debian: each of its thousands of files is what GNU tar makes of it" {
    debian
    mkdir "$T/want"
    # apt's package lists and caches are as good a set of files as any other; only devices are left out
    unshare --map-auto --map-root-user tar --xattrs --xattrs-include='*' --numeric-owner -C "$T/want" -xpf "$(debian_tar)" 2>/dev/null || true
    tree "$T/want" >"$T/a"
    tree "$(layer_dir debian 0)" >"$T/b"
    unshare --map-auto --map-root-user rm -rf "$T/want"
    [ "$(wc -l <"$T/a")" -gt 2000 ]  # trixie has 2,600, bookworm 4,700
    cmp "$T/a" "$T/b" || fail "$(diff "$T/a" "$T/b" | head)"
}
