#!/usr/bin/env bats
# User namespaces of a container's own: whose ids it has, what its files look like, and that nothing is copied for it.
load ../lib/common

# Before Linux 6.16 overlay cannot give files other owners: they are copied, which is said.
copies() { ! printf '%s\n' 6.16 "$(uname -r)" | sort -CV; }
if copies; then
    coracle() { command coracle "$@" 2> >(grep -v 'warning: copying layer .* overlay cannot give them here' >&2); }
fi

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
    image busybox >/dev/null
    ME=$(id -u):$(id -g)
}
box() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    coracle run --rm --network none "${options[@]}" owners sh -c "$2"
}
# an image with files of several owners, set-id bits, links, a capability, and one that hides a name and a directory
owners() {
    coracle images -q owners | grep -q . && return
    coracle run --name base --network none busybox sh -c 'mkdir -p /d/sub && echo 1 >/d/one && echo gone >/d/gone && ln /d/one /d/again &&
        chown 5:6 /d/one && ln -s one /d/link && chown -h 7:8 /d/link && touch /d/empty && dd if=/dev/zero of=/d/big bs=1M count=8 2>/dev/null &&
        cp /bin/busybox /d/suid && chown 9:9 /d/suid && chmod 6755 /d/suid && chmod 1777 /d/sub && echo x >/d/sub/x && mkfifo /d/fifo'
    coracle commit base base1 >/dev/null
    coracle run --name top --network none base1 sh -c 'sed -i /^alice:/d /etc/passwd /etc/group; rm /d/gone && rm -r /d/sub && mkdir /d/sub && echo new >/d/sub/new && chown 10:10 /d/sub/new'
    coracle commit top owners >/dev/null
    coracle rm base top >/dev/null
}
shifted_are_gone() { [ -z "$(ls "$STORE/idmaps" | grep -v lock)" ]; }
look='cd /d && stat -c "%n %u:%g %a %s %F" one again link empty big suid sub/new fifo && stat -c "%n %u:%g %a" . sub && [ one -ef again ] && ls -a . sub && cat one again link sub/new'

@test "keep-id: the user is himself inside, and files are as in the default map" {
    owners
    run -0 box -- "$look"
    local default=$output
    run -0 box --user 0 --userns keep-id -- "$look"
    assert_eq "$output" "$default"
    # again: nothing is to be made any more
    run -0 box --user 0 --userns keep-id -- "$look"
    assert_eq "$output" "$default"
    run -0 box --userns keep-id -v "$T:/m" -- 'id -u; id -g; echo hi >/m/mine; echo x >/dev/stdout; stat -c %u:%g /m/mine /'
    assert_eq "$output" "${ME%:*}"$'\n'"${ME#*:}"$'\n'"x"$'\n'"$ME"$'\n'"0:0"
    assert_eq "$(stat -c %u:%g "$T/mine")" "$ME"
    run -0 box --userns keep-id:uid=7,gid=9 -- 'id -u; id -g'
    assert_eq "$output" $'7\n9'
    run -0 box --userns keep-id --user 5 -- 'id -u; cat /d/one'
    assert_eq "$output" $'5\n1'
    # a set-user-id file is of the id that it has inside (busybox gives it back at once, but for the saved one)
    run -0 box --userns keep-id -- 'ln -s /d/suid /tmp/grep && /tmp/grep Uid: /proc/self/status | tr -s "\t" " "'
    assert_output_has "Uid: ${ME%:*} ${ME%:*} 9 ${ME%:*}"
}

@test "keep-id: the user has a name and a group inside, and the image's own lines stay" {
    local name group
    name=$(id -un) group=$(id -gn)
    owners
    run -0 box --userns keep-id -w /srv -- 'tail -n1 /etc/passwd; tail -n1 /etc/group; id -un; echo $HOME; stat -c %u:%g /etc/passwd; ! echo x >>/etc/passwd'
    assert_output_has "$name:*:$ME:"
    assert_output_has ":/srv:/bin/sh"$'\n'"$group:x:${ME#*:}:$name"$'\n'"$name"$'\n'"/srv"$'\n'"0:0"
    # once, whatever is started how often; and not where the image knows the id
    coracle run -d --name named --network none --userns keep-id owners sleep 1000 >/dev/null
    coracle restart -t 0 named >/dev/null
    assert_eq "$(coracle exec named grep -c ":$ME:" /etc/passwd)" 1
    coracle rm -f named >/dev/null
    run -0 box --userns keep-id:uid=0,gid=0 -- 'grep -c :0:0: /etc/passwd'
    assert_eq "$output" 1
    # home is the user's own where it is mounted
    run -0 box --userns keep-id -v "$T:$(getent passwd "$name" | cut -d: -f6)" --read-only -- 'echo $HOME'
    assert_eq "$output" "$(getent passwd "$name" | cut -d: -f6)"
    run -0 box --userns keep-id --passwd=false -- "grep -c ':$ME:' /etc/passwd || true"
    assert_eq "$output" 0
    run -0 box --user 4242 --passwd-entry 'app:*:$UID:$GID:$NAME:/app:/bin/false' -- 'id -un; tail -n1 /etc/passwd; echo $HOME'
    assert_eq "$output" $'app\napp:*:4242:0:container user:/app:/bin/false\n/app'
    run -125 box --passwd-entry a:b:c:d:e:f:g -- true
    assert_output_has "the image knows who runs there"
}

@test "--user with the caller's own number, beside files of the host's: what it makes there is the caller's" {
    local map='tr -s " " </proc/self/uid_map' shared=" 0 ${ME%:*} 1"
    owners
    run -0 box --user "$ME" -v "$T:/m" -w /m -- 'echo hi >mine && stat -c %u:%g mine /d/one /'
    assert_eq "$output" "$ME"$'\n5:6\n0:0'
    assert_eq "$(stat -c %u:%g "$T/mine")" "$ME"
    run -0 box --user "${ME%:*}" --mount "type=bind,src=$T,dst=/m" -- 'echo x >>/m/mine && id -u'
    assert_eq "$output" "${ME%:*}"
    # nothing of that where another user is named, no file of the host's is seen, or ids are spoken of
    for options in "--user 0 -v $T:/m" "--user 5 -v $T:/m" "--user $ME -v some:/m" "--user $ME --userns host -v $T:/m" "-v $T:/m"; do
        run -0 box $options -- "$map"
        [[ $output == "$shared"$'\n'* ]] || fail "$options: $output"
    done
    # who shares namespaces with a container has its ids
    coracle run -d --name peer --network none owners sleep 1000 >/dev/null
    run -0 coracle run --rm --user "$ME" -v "$T:/m" --pid container:peer owners sh -c "$map"
    [[ $output == "$shared"$'\n'* ]] || fail "not its peer's ids: $output"
    coracle rm -f peer >/dev/null
}

@test "nothing is copied: the shifted layers have no data of their own" {
    ! copies || skip "this kernel's overlay cannot"
    owners
    box --userns keep-id -- true
    local bytes
    # data that is in idmaps and not in layers, by inodes and their blocks (btrfs counts one for each symbolic link)
    bytes=$(coracle unshare sh -c 'cd "$1" && find layers -type f -printf "%i %b\n" | sort -u >own && find layers idmaps -type f -printf "%i %b\n" | sort -u >all && comm -13 own all; rm own all' - "$STORE" | awk '{n += $2} END {print n * 512}')
    [ "$bytes" -lt 2000000 ] || fail "shifted layers take $bytes bytes"
    # nor are the layers any other than they were
    run -0 coracle system check
    assert_output_has "is sound"
    # and they go with the last container that has the map
    [ -n "$(ls "$STORE/idmaps" | grep -v lock)" ]
    coracle tag busybox sweep:1 && coracle rmi sweep:1 >/dev/null
    coracle commit "$(coracle create busybox)" sweep:2 >/dev/null && coracle rm "$(coracle ps -alq)" >/dev/null && coracle rmi sweep:2 >/dev/null
    wait_for shifted_are_gone || fail "left: $(ls "$STORE/idmaps")"
}

@test "an image that is mounted has the owners of the container's map, and df counts what that takes" {
    owners
    local see='cd /i/d && stat -c "%n %u:%g %a" one again link big sub/new && cat one sub/new'
    run -0 coracle run --rm --network none --mount type=image,src=owners,dst=/i busybox sh -c "$see"
    local default=$output
    run -0 coracle run --rm --network none --userns nomap --mount type=image,src=owners,dst=/i busybox sh -c "$see"
    assert_eq "$output" "$default"
    coracle create --name kept --network none --userns keep-id --user 0 --mount type=image,src=owners,dst=/i,rw busybox sh -c "$see; echo w >/i/d/one; chown 3:3 /i/d/big" >/dev/null
    for _ in 1 2; do
        run -0 coracle start -a kept
        assert_eq "$output" "$default"
    done
    local bytes size
    size=$(coracle system df --format '{{if eq .Type "Images"}}{{.Size}}{{end}}' | grep .)
    bytes=$(coracle unshare sh -c 'cd "$1" && all=$(du -sB1 layers idmaps | awk "{s+=\$1} END {print s}") && own=$(du -sB1 layers | cut -f1) && echo $((all - own))' - "$STORE")
    coracle rm kept >/dev/null
    coracle image prune -f >/dev/null
    shifted_are_gone || wait_for shifted_are_gone
    local less
    less=$(coracle system df --format '{{if eq .Type "Images"}}{{.Size}}{{end}}' | grep .)
    [[ $size == *MB && $less == *MB ]] || fail "$size, $less"
    awk -v a="${size%MB}" -v b="${less%MB}" -v c="$bytes" 'BEGIN { d = (a - b) * 1000000; exit !(d > c - 20000 && d < c + 20000) }' ||
        fail "df says $size, and $less without them; du says $bytes"
}

@test "changes of a container with ids of its own: diff, cp, commit, export, exec" {
    owners
    coracle run -d --name kept --network none --userns keep-id owners sh -c 'echo up; exec sleep 1000' >/dev/null
    assert_eq "$(coracle exec kept sh -c 'id -u; echo out >/dev/stdout')" "${ME%:*}"$'\nout'
    coracle exec -u 0 kept sh -c 'echo n >/d/new; chown 5:7 /d/new; rm /d/again; chmod 600 /d/empty; true'
    run -0 coracle diff kept
    local changes=$output
    assert_output_has "A /d/new"
    assert_output_has "D /d/again"
    refute_output_has "/d/big"
    echo data >"$T/in"
    coracle cp "$T/in" kept:/d/in
    coracle cp -a "$T/in" kept:/d/archived
    run -0 coracle exec kept stat -c %u:%g /d/in /d/archived
    assert_eq "$output" "0:0"$'\n'"$ME"
    coracle cp kept:/d/new - | tar tvf - --numeric-owner >tar.txt
    grep -q ' 5/7 ' tar.txt || fail "$(cat tar.txt)"
    coracle commit kept fromkept >/dev/null
    run -0 coracle run --rm --network none fromkept stat -c '%n %u:%g' /d/new /d/one /d/suid /
    assert_eq "$output" $'/d/new 5:7\n/d/one 5:6\n/d/suid 9:9\n/ 0:0'
    coracle stop -t 0 kept >/dev/null
    run -0 coracle diff kept
    assert_output_has "A /d/new"
    coracle export kept | tar tvf - --numeric-owner >tar.txt
    grep -qE ' 5/7 .* d/new$' tar.txt && grep -qE ' 5/6 .* d/one$' tar.txt || fail "$(cat tar.txt)"
    coracle cp "$T/in" kept:/d/stopped
    coracle start kept >/dev/null
    assert_eq "$(coracle exec kept stat -c %u:%g /d/stopped /d/new)" $'0:0\n5:7'
    run -0 coracle inspect -f '{{.HostConfig.UsernsMode}} {{index .HostConfig.IDMappings.UidMap 1}}' kept
    assert_eq "$output" "keep-id ${ME%:*}:0:1"
    coracle rm -f kept >/dev/null
}

@test "auto: ids that no other has; maps that are typed; what cannot be" {
    owners
    coracle run -d --name a1 --userns auto --network none owners sleep 1000 >/dev/null
    coracle run -d --name a2 --userns auto:size=2000 --network none owners sh -c 'echo x >/dev/stdout; exec sleep 1000' >/dev/null
    local one two
    one=$(coracle exec a1 cat /proc/self/uid_map | tr -s ' ')
    two=$(coracle exec a2 cat /proc/self/uid_map | tr -s ' ')
    assert_eq "$one" " 0 1 1024"
    assert_eq "$two" " 0 1025 2000"
    run -0 coracle exec a2 sh -c 'stat -c %u:%g /d/one /d/suid; echo again >/dev/stdout'
    assert_eq "$output" $'5:6\n9:9\nagain'
    wait_for eval '[ "$(coracle exec a2 cat /proc/1/comm)" = sleep ]'
    assert_eq "$(coracle logs a2)" x
    # its ids are free again
    coracle rm -f a1 >/dev/null
    run -0 box --userns auto -- 'tr -s " " </proc/self/uid_map'
    assert_eq "$output" " 0 1 1024"
    run -125 box --userns auto:size=64000 -- true
    assert_output_has "no other container has"
    # the network of another can be had, its processes only with its ids
    run -0 coracle run --rm --userns nomap --network container:a2 owners sh -c 'tr -s " " </proc/self/uid_map'
    assert_eq "${output%% 6*}" " 0 1"
    run -125 coracle run --rm --userns nomap --pid container:a2 owners true
    assert_output_has "another user namespace"
    run -0 coracle run --rm --userns container:a2 --pid container:a2 --network none owners sh -c 'tr -s " " </proc/self/uid_map; cat /proc/1/comm'
    assert_eq "$output" $' 0 1025 2000\nsleep'
    coracle rm -f a2 >/dev/null
    run -0 box --uidmap 0:1:100 --uidmap 100:500:10 -- 'tr -s " " </proc/self/uid_map; tr -s " " </proc/self/gid_map'
    assert_eq "$output" $' 0 1 100\n 100 500 10\n 0 1 100\n 100 500 10'
    run -0 box --uidmap "0:@$(id -u):1" --uidmap +5:500:1 --uidmap 7:8:1 -- 'tr -s " " </proc/self/uid_map'
    assert_eq "$output" $' 0 0 1\n 5 500 1\n 7 8 1'
    run -0 box --uidmap +5:500:1 -- 'head -n 3 /proc/self/uid_map | tr -s " "; tr -s " " </proc/self/gid_map | head -n 1'
    assert_eq "$output" $' 0 0 1\n 1 1 4\n 5 500 1\n 0 0 1'
    run -125 box --userns keep-id --uidmap 0:1:10 -- true
    assert_output_has "mutually exclusive"
    run -125 box --uidmap 5:1:10 -- true
    assert_output_has "no root"
    run -125 box --uidmap 0:1:10 --uidmap 5:20:10 -- true
    assert_output_has "in common"
    run -125 box --subuidname me -- true
    assert_output_has "subordinate ids"
    run -125 box --userns nonsense -- true
    assert_output_has "invalid USER mode"
}

# configured JSON: until the end of the test
configured() {
    mkdir -p "$HOME/.config/coracle"
    echo "$1" >"$HOME/.config/coracle/config.json"
}

@test "defaults of config.json: ids, namespaces, the address of ports; what only a daemon could follow is refused" {
    local map='tr -s " " </proc/self/uid_map'
    configured '{"userns": "auto", "default-ipc-mode": "shareable", "default-cgroupns-mode": "host", "ip": "127.0.0.1"}'
    coracle run -d --name d1 --network none owners sleep 1000 >/dev/null
    run -0 coracle exec d1 sh -c "$map"
    assert_eq "$output" " 0 1 1024"
    run -0 coracle run --rm --network none --pid container:d1 owners sh -c "$map"
    assert_eq "$output" " 0 1 1024"
    run -0 coracle run --rm --network none --userns host owners sh -c "$map"
    [[ $output == " 0 $(id -u) 1"* ]] || fail "not the user's own ids"
    run -0 coracle run --rm --network none --uidmap 0:1:100 owners sh -c "$map"
    assert_eq "$output" " 0 1 100"
    coracle create --name d2 -p 80 --expose 81 -P owners true >/dev/null
    run -0 coracle inspect -f '{{.HostConfig.UsernsMode}} {{.HostConfig.IpcMode}} {{.HostConfig.CgroupnsMode}} {{json (index .HostConfig.PortBindings "80/tcp")}}' d2
    assert_eq "$output" 'auto shareable host [{"HostIp":"127.0.0.1","HostPort":""}]'
    coracle rm -f d1 d2 >/dev/null
    configured '{"icc": false}'
    run -1 coracle ps
    assert_output_has "\"icc\" is for docker's daemon"
    assert_output_has 'get networks of their own'
    configured '{"default-ipc-mode": "host"}'
    run -1 coracle ps
    assert_output_has "default-ipc-mode: expected private or shareable, not 'host'"
    configured '{"ip": "localhost"}'
    run -1 coracle ps
    assert_output_has "ip: 'localhost' is no address"
    rm "$HOME/.config/coracle/config.json"
}
