#!/usr/bin/env bats
# volume: data that outlives containers, what the image puts there, who shares it, and when it goes.
load ../lib/common

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
    image busybox >/dev/null
}
teardown() {
    local id
    for id in $(coracle ps -aq); do coracle rm -f -v "$id" >/dev/null; done
    coracle volume ls -q | xargs -r "$CORACLE_BIN/coracle" volume rm >/dev/null
}
# in_box OPTION… -- COMMAND: a shell command in a container that goes at once
in_box() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    coracle run --rm --network none "${options[@]}" busybox sh -c "$2"
}
# an image with files in /data that belong to others, and a VOLUME
volume_image() {
    coracle create --name maker busybox sh >/dev/null
    coracle rm maker >/dev/null
    coracle run --name maker --network none busybox sh -c 'mkdir -p /data/sub && echo hello >/data/sub/f && ln -s /etc/passwd /data/link &&
        ln /data/sub/f /data/sub/hard && echo s >/data/secret && chmod 640 /data/secret && chown 12:34 /data/secret /data/sub && chmod 2750 /data/sub &&
        chown 7:8 /data && chmod 1771 /data'
    coracle commit -c 'VOLUME /data' maker volumed >/dev/null
    coracle rm maker >/dev/null
}

@test "data survives the containers that wrote it; two share it" {
    assert_eq "$(coracle volume create box)" box
    in_box -v box:/d -- 'echo one >/d/f; chown 5:6 /d/f'
    assert_eq "$(in_box -v box:/other -- 'cat /other/f; stat -c %u:%g /other/f')" $'one\n5:6'
    coracle run -d --name ca --network none -v box:/d busybox sleep 1000
    coracle run -d --name cb --network none --mount type=volume,src=box,dst=/e busybox sleep 1000
    coracle exec ca sh -c 'echo two >/d/g'
    assert_eq "$(coracle exec cb cat /e/g)" two
    coracle rm -f ca cb
    assert_eq "$(in_box -v box:/d -- 'cat /d/f /d/g')" $'one\ntwo'
}

@test "a volume is made by the first container that names it, and read-only is read-only" {
    in_box -v made:/d -- 'echo x >/d/f'
    assert_eq "$(coracle volume ls -q)" made
    run in_box -v made:/d:ro -- 'cat /d/f && echo y >/d/f'
    [ "$status" -ne 0 ]
    assert_output_has "Read-only file system"
    run in_box --mount src=made,dst=/d,readonly -- 'touch /d/z'
    [ "$status" -ne 0 ]
    assert_eq "$(in_box -v made:/d -- 'cat /d/f; ls /d')" $'x\nf'
}

@test "what the image has goes into a new volume, with owners, modes and links" {
    volume_image
    look='cd /data && stat -c "%n %a %u:%g" . secret sub sub/f link && readlink link && cat sub/f && stat -c %h sub/f'
    wanted=$'. 1771 7:8\nsecret 640 12:34\nsub 2750 12:34\nsub/f 644 0:0\nlink 777 0:0\n/etc/passwd\nhello\n2'
    assert_eq "$(coracle run --rm --network none volumed sh -c "$look")" "$wanted"
    assert_eq "$(coracle run --rm --network none -v named:/data volumed sh -c "$look")" "$wanted"
    assert_eq "$(in_box -v named:/data -- "$look")" "$wanted"
    # what is in a volume stays; what a container has emptied stays empty at its next start
    coracle run --rm --network none -v named:/data volumed sh -c 'echo mine >/data/sub/f; rm /data/secret'
    assert_eq "$(coracle run --rm --network none -v named:/data volumed sh -c 'cat /data/sub/f; ls /data')" $'mine\nlink\nsub'
    coracle run --name cc --network none -v emptied:/data volumed sh -c 'rm -rf /data/* && ls /data'
    coracle start cc >/dev/null
    coracle wait cc
    assert_eq "$(in_box -v emptied:/d -- 'ls -A /d')" ""
    coracle rm cc
    # and nothing comes where it is not wanted
    assert_eq "$(coracle run --rm --network none -v bare:/data:nocopy volumed ls -A /data)" ""
    assert_eq "$(coracle run --rm --network none --mount type=volume,src=bare,dst=/data,volume-nocopy volumed ls -A /data)" ""
}

@test "a link of the image leads nowhere else" {
    coracle run --name maker --network none busybox sh -c "rmdir /opt 2>/dev/null; mkdir -p /inner && echo in >/inner/f && ln -s /inner /vol && ln -s ../../../../../../$HOME /up"
    coracle commit maker linked >/dev/null
    coracle rm maker
    echo secret >"$HOME/secret-file"
    assert_eq "$(coracle run --rm --network none -v vl:/vol linked ls /vol)" f
    run coracle run --rm --network none -v vm:/up linked ls -A /up
    [[ $output != *secret-file* ]]
}

@test "anonymous volumes: --rm and rm -v take them, rm leaves them" {
    volume_image
    coracle run --rm --network none -v /anon volumed sh -c 'echo x >/anon/f; ls /data' >/dev/null
    assert_eq "$(coracle volume ls -q)" ""
    coracle run --name cc --network none -v /anon -v kept:/k volumed true
    assert_eq "$(coracle volume ls -q | wc -l)" 3
    assert_eq "$(coracle inspect cc -f '{{len .Mounts}}')" 3
    coracle rm -v cc
    assert_eq "$(coracle volume ls -q)" kept
    coracle run --name cc --network none -v /anon busybox true
    coracle rm cc
    assert_eq "$(coracle volume ls -q | wc -l)" 2
    assert_eq "$(coracle volume ls -qf dangling=true | wc -l)" 2
    coracle volume prune -f | grep -q 'Total reclaimed space'
    assert_eq "$(coracle volume ls -q)" kept
    run -125 coracle run --rm --network none -v /anon -v kept:/k:bogus busybox true
    run -127 coracle run --rm --network none -v /anon busybox no-such-program
    assert_eq "$(coracle volume ls -q)" kept
    mkdir sub
    # a place that has something gets no volume
    assert_eq "$(coracle run --rm --network none -v "$T/sub:/data" --tmpfs /t -v /t volumed sh -c 'ls /data; grep -c " /t tmpfs " /proc/mounts')" 1
    run -125 coracle run --rm -v kept:/k -v "$T:/k" busybox true
    assert_output_has "duplicate mount point: /k"
}

@test "in use: no volume is removed under a container, running or not" {
    coracle volume create vv >/dev/null
    id=$(coracle create --name cc --network none -v vv:/d busybox true)
    run -1 coracle volume rm vv
    assert_output_has "remove vv: volume is in use - [$id]"
    run -1 coracle volume rm -f vv
    run -0 coracle volume prune -af
    assert_eq "$(coracle volume ls -q)" vv
    assert_eq "$(coracle ps -aqf volume=vv --no-trunc)" "$id"
    assert_eq "$(coracle ps -a --format '{{.Mounts}} {{.LocalVolumes}}')" "vv 1"
    coracle rm cc
    assert_eq "$(coracle volume rm vv)" vv
    run -1 coracle volume rm vv
    assert_output_has "get vv: no such volume"
    run -0 coracle volume rm -f vv
    run -1 coracle volume inspect vv
    assert_output_has "no such volume"
    run -1 coracle volume exists vv
    for bad in a/b ../x _x x -x 'a b' . ''; do
        run coracle volume create -- "$bad"
        [ "$status" -ne 0 ] || [ -z "$bad" ] || fail "the name $bad was taken"
    done
}

@test "--volumes-from: another container's volumes and directories, read-only where asked" {
    mkdir host
    coracle create --name src --network none -v data:/data -v "$T/host:/host:ro" -v /anon busybox true
    coracle run --name dst --network none --volumes-from src busybox sh -c 'echo x >/data/f; echo y >/anon/g; touch /host/no' || true
    assert_eq "$(in_box --volumes-from src:ro -- 'cat /data/f /anon/g; touch /data/z 2>&1 | grep -o Read-only; ls /host')" $'x\ny\nRead-only'
    assert_eq "$(in_box --volumes-from src -v other:/data -- 'ls /data')" ""
    coracle rm -v src
    assert_eq "$(coracle run --rm --network none --volumes-from dst busybox cat /anon/g)" y
    coracle rm -v dst
    assert_eq "$(coracle volume ls -q | sort)" $'data\nother'
    run -125 coracle run --rm --volumes-from nobody busybox true
    assert_output_has "nobody"
    run -125 coracle run --rm --volumes-from dst:bad busybox true
    assert_output_has "invalid mode"
}

@test "ls, inspect, labels and prune" {
    coracle volume create --label a=1 --label b one >/dev/null
    coracle volume create two >/dev/null
    name=$(coracle volume create)
    [[ $name =~ ^[0-9a-f]{64}$ ]]
    assert_eq "$(coracle volume ls -qf label=a)" one
    assert_eq "$(coracle volume ls -qf label=a=2)" ""
    assert_eq "$(coracle volume ls -qf name=tw)" two
    assert_eq "$(coracle volume ls | head -1)" "DRIVER    VOLUME NAME"
    assert_eq "$(coracle volume inspect one | jq -c '.[0] | [.Name, .Driver, .Scope, .Labels, .Options, (keys|length)]')" '["one","local","local",{"a":"1","b":""},null,7]'
    [[ $(coracle volume inspect -f '{{.Mountpoint}}' one) == */volumes/one/_data ]]
    [[ $(coracle volume inspect -f '{{.CreatedAt}}' one) =~ ^[0-9-]{10}T[0-9:]{8}Z$ ]]
    assert_eq "$(coracle inspect --type volume two | jq -r '.[0].Name')" two
    run -0 coracle volume prune <<<n
    assert_output_has "WARNING! This will remove anonymous local volumes not used by at least one container."
    assert_eq "$(coracle volume ls -q | wc -l)" 3
    in_box -v two:/d -- 'head -c 100000 /dev/zero >/d/z'
    run -0 coracle system df
    assert_output_has "Local Volumes   3         0         100kB     100kB (100%)"
    run -0 coracle system df -v
    assert_output_has "two"
    run -0 coracle volume prune -f --filter label!=a --all
    assert_output_has $'Deleted Volumes:'
    assert_output_has "Total reclaimed space: 100kB"
    assert_eq "$(coracle volume ls -q)" one
    coracle create --network none -v /x busybox >/dev/null
    coracle system prune -f --volumes >/dev/null
    assert_eq "$(coracle volume ls -q)" one
}

@test "inspect shows what docker shows" {
    coracle create --name cc --network none -v vn:/n:ro -v /a --mount type=volume,src=vm,dst=/m,volume-label=k=v busybox >/dev/null
    assert_eq "$(coracle inspect cc | jq -c '.[0].HostConfig | [.Binds, .Mounts]')" '[["vn:/n:ro"],[{"Type":"volume","Source":"vm","Target":"/m","VolumeOptions":{"Labels":{"k":"v"}}}]]'
    assert_eq "$(coracle inspect cc | jq -c '.[0].Config.Volumes')" '{"/a":{}}'
    assert_eq "$(coracle inspect cc | jq -c '[.[0].Mounts[] | select(.Destination != "/a") | [.Type, .Name, .Destination, .Driver, .Mode, .RW, .Propagation]]')" \
        '[["volume","vn","/n","local","ro",false,""],["volume","vm","/m","local","z",true,""]]'
    assert_eq "$(coracle inspect cc | jq -r '.[0].Mounts[] | select(.Destination == "/n") | .Source')" "$(coracle volume inspect -f '{{.Mountpoint}}' vn)"
    assert_eq "$(coracle volume inspect -f '{{.Labels.k}}' vm)" v
}

@test "subpaths stay within the volume" {
    in_box -v vv:/v -- 'mkdir -p /v/a/b && echo x >/v/a/b/f && ln -s / /v/root && ln -s ../../../../.. /v/up'
    assert_eq "$(in_box --mount type=volume,src=vv,dst=/m,volume-subpath=a/b -- 'cat /m/f')" x
    assert_eq "$(in_box --mount type=volume,src=vv,dst=/m,volume-subpath=root -- 'ls /m')" $'a\nroot\nup'
    assert_eq "$(in_box --mount type=volume,src=vv,dst=/m,volume-subpath=up/a -- 'ls /m')" b
    run in_box --mount type=volume,src=vv,dst=/m,volume-subpath=none -- 'ls /m'
    [ "$status" -ne 0 ]
    assert_output_has "cannot access path none"
    run -125 coracle run --rm --mount type=volume,src=vv,dst=/m,volume-subpath=../x busybox true
}

@test "drivers and their options" {
    mkdir "a dir"
    coracle volume create -o type=none -o o=bind -o device="$T/a dir" bound >/dev/null
    in_box -v bound:/d -- 'echo x >/d/f'
    assert_eq "$(cat "a dir/f")" x
    coracle volume rm bound
    assert_eq "$(cat "a dir/f")" x
    run -1 coracle volume create -o type=nfs -o o=addr=10.0.0.1,rw -o device=:/export tt
    assert_output_has 'a volume of type "nfs" with options "addr=10.0.0.1,rw" cannot be mounted without root'
    run -1 coracle volume create -o type=tmpfs -o device=tmpfs -o o=bogus=1 tt
    assert_output_has 'invalid tmpfs option "bogus=1"'
    run -1 coracle volume create -o size=1g tt
    assert_output_has "quota size requested but no quota support"
    run -1 coracle volume create -o bogus=1 tt
    assert_output_has 'invalid option: "bogus"'
    run -1 coracle volume create -d nfs tt
    assert_output_has 'plugin "nfs" not found'
    run -125 coracle run --rm --volume-driver nfs -v vx:/x busybox true
    assert_eq "$(coracle volume ls -q)" ""
}

@test "a volume in memory: mounted with its options, new for each start" {
    coracle volume create --driver local --opt type=tmpfs --opt device=tmpfs --opt o=size=1m,mode=700,uid=5,gid=6,noexec memory >/dev/null
    local look='grep " /m " /proc/mounts | cut -d" " -f1,3; stat -c "%a %u:%g" /m; df -k /m | awk "END { print \$2 }"; ls -A /m; touch /m/f; ls /m'
    assert_eq "$(in_box -v memory:/m -- "$look; grep ' /m ' /proc/mounts | grep -c noexec")" $'tmpfs tmpfs\n700 5:6\n1024\nf\n1'
    # what the image has there is not put into it, and it is one mount as all others: read-only, or the user's by U
    assert_eq "$(in_box -v memory:/etc -- 'ls -A /etc | paste -sd " "')" "hostname hosts resolv.conf"
    assert_eq "$(in_box -v memory:/m:ro -- 'touch /m/f 2>&1')" "touch: /m/f: Read-only file system"
    assert_eq "$(in_box --user 7:8 -v memory:/m:U -- 'touch /m/mine && stat -c %u:%g /m')" 7:8
    # kept by a container: empty at each start; and what --mount makes is the same
    coracle run --name again --network none --mount 'type=volume,src=made,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=2m,mode=1777"' \
        busybox sh -c "$look" >first
    coracle start -a again >second
    assert_eq "$(cat first)" $'tmpfs tmpfs\n1777 0:0\n2048\nf'
    assert_eq "$(cat second)" "$(cat first)"
    assert_eq "$(coracle inspect again -f '{{with index .Mounts 0}}{{.Type}} {{.Name}} {{.Driver}}{{end}}')" "volume made local"
    assert_eq "$(coracle volume inspect made -f '{{.Options.type}} {{.Options.o}}')" "tmpfs size=2m,mode=1777"
    run -1 coracle volume import made - </dev/null
    assert_output_has "is a tmpfs"
    run -125 coracle run --rm --mount type=volume,src=made,dst=/m,volume-subpath=a busybox true
    assert_output_has "there is nothing in it for a subpath"
    coracle rm again >/dev/null
    coracle volume rm made memory >/dev/null
}

@test "paths with spaces, commas and unicode" {
    in_box -v vv:'/a dir/ünï' -- 'echo x >"/a dir/ünï/f ö"'
    assert_eq "$(in_box --mount 'type=volume,src=vv,"dst=/with,comma"' -- 'cat "/with,comma/f ö"')" x
}

@test "export and import, events, completion" {
    in_box -v vv:/v -- 'echo x >/v/f; chown 3:4 /v/f; mkdir /v/closed; echo y >/v/closed/g; chown -R 9:9 /v/closed; chmod 700 /v/closed'
    coracle volume export vv >v.tar
    coracle volume create vw >/dev/null
    coracle volume import vw v.tar
    assert_eq "$(in_box -v vw:/v -- 'cd /v && cat f closed/g && stat -c %u:%g f closed/g')" $'x\ny\n3:4\n9:9'
    run -0 coracle system df
    assert_output_has "Local Volumes   2 "
    assert_eq "$(coracle __complete volume rm '')" $'vv\nvw'
    since=$(date +%s)
    coracle volume create ve >/dev/null
    in_box -v ve:/e -- true
    coracle volume rm ve >/dev/null
    assert_eq "$(coracle events --since "$since" --until "$(date +%s.%N)" -f type=volume -f volume=ve --format '{{.Action}}' | tr '\n' ' ')" "create mount unmount destroy "
}

# What was told is there, what was removed is gone, and nothing is half: whoever kills whom, and when.
@test "create and rm, killed at random moments, leave whole volumes or none" {
    local i name pid
    for i in $(seq 60); do
        coracle volume create --label n="$i" "keep$i" >/dev/null
        coracle volume create --label n="$i" "new$i" >/dev/null 3>&- &
        pid=$!
        read -rt "0.00$((RANDOM % 10))" <> <(:) || true
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        coracle volume rm "keep$i" >"gone$i" 2>/dev/null 3>&- &
        pid=$!
        read -rt "0.00$((RANDOM % 10))" <> <(:) || true
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        if [ -s "gone$i" ]; then run -1 coracle volume inspect "keep$i"; fi
    done
    run -0 coracle volume ls -q
    refute_output_has damaged
    for name in $output; do
        assert_eq "$(coracle volume inspect -f '{{.Labels.n}}' "$name")" "${name//[a-z]/}"
        [ -d "$(coracle volume inspect -f '{{.Mountpoint}}' "$name")" ] || fail "$name has no directory"
        coracle volume rm "$name" >/dev/null
    done
    assert_eq "$(coracle volume ls -q)" ""
}

@test "many containers race for one new volume: it is filled once, and whole" {
    volume_image
    local i pids=()
    for i in 1 2 3 4 5 6 7 8; do
        coracle run --rm --network none -v raced:/data volumed sh -c 'cat /data/sub/f; ls /data | wc -l' >"out$i" 2>&1 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in 1 2 3 4 5 6 7 8; do assert_eq "$(cat "out$i")" $'hello\n3'; done
    assert_eq "$(coracle volume ls -q)" raced
}
