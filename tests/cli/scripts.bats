#!/usr/bin/env bats
# scripts: what scripts that were written for docker or podman do, where no other file looks at it.
load ../lib/common

file_setup() { image busybox; }

@test "context: one, which is shown, listed, looked at and used; another one is not found" {
    assert_eq "$(coracle context show)" default
    run -0 coracle context ls
    [[ ${lines[0]} =~ ^NAME\ +DESCRIPTION\ +DOCKER\ ENDPOINT\ +ERROR$ ]] || fail "${lines[0]}"
    [[ ${lines[1]} =~ ^default\ \*\  ]] || fail "${lines[1]}"
    assert_eq "$(coracle context ls -q)" default
    assert_eq "$(coracle context ls --format '{{.Name}} {{.Current}}')" "default true"
    assert_eq "$(coracle context inspect -f '{{.Name}}')" default
    run -0 --separate-stderr coracle context use default
    assert_eq "$output" default
    run -1 coracle context use other
    assert_output_has 'context "other": context not found'
    run -0 coracle --context default ps
    run -1 coracle -c other ps
    assert_output_has 'context "other": context not found'
}

@test "buildx's builders: one, which is listed, looked at and used; what would make others says why not" {
    local here
    here=linux/$(coracle version -f '{{.Client.Arch}}')
    run -0 coracle buildx ls
    [[ ${lines[0]} =~ ^NAME/NODE\ +DRIVER/ENDPOINT\ +STATUS\ +BUILDKIT\ +PLATFORMS$ ]] || fail "${lines[0]}"
    [[ ${lines[1]} =~ ^default\*\  && ${lines[2]} == *" running "*" $here"* ]] || fail "$output"
    assert_eq "$(coracle buildx ls --format json | jq -r '.Name + " " + .Nodes[0].Platforms[0]')" "default $here"
    run -0 coracle buildx inspect --bootstrap
    [[ $output == *$'\nPlatforms: '*" $here"* ]] || fail "$output"
    coracle buildx inspect default >/dev/null
    coracle buildx use default
    assert_eq "$(coracle buildx version)" "coracle v$(coracle version -f '{{.Client.Version}}')"
    run -1 coracle buildx inspect other
    assert_output_has 'no builder "other" found'
    run -1 coracle buildx create --use
    assert_output_has 'the one builder is "default"'
}

@test "version and info: docker's fields, by the names of its structs too, and the lines that scripts look for" {
    assert_eq "$(coracle version -f '{{.Client.APIVersion}} {{.Server.APIVersion}} {{.Client.Context}}')" "1.50 1.50 default"
    assert_eq "$(coracle info -f '{{.Driver}} {{.Swarm.LocalNodeState}} {{.ClientInfo.Context}} {{.OSType}}')" "overlay2 inactive default linux"
    run -0 --separate-stderr coracle info
    for line in 'Client: coracle' ' Context: default' ' Server Version: ' ' Storage Driver: overlay2' '  rootless' " Docker Root Dir: $STORE"; do
        grep -q "^$line" <<<"$output" || fail "no line '$line'"
    done
}

@test "rows as JSON have their keys in order; inspect knows .ID for Id" {
    id=$(coracle create --name row busybox true)
    assert_eq "$(coracle ps -a --format json | jq -c keys_unsorted)" "$(coracle ps -a --format json | jq -c keys)"
    assert_eq "$(coracle ps -a --format '{{json .}}' | jq -c keys_unsorted)" "$(coracle ps -a --format json | jq -c keys)"
    assert_eq "$(coracle inspect -f '{{.ID}}' row)" "$id"
    coracle rm row
}

@test "logs of several containers: by id or name, in colors, the latest; followed they come as they are written" {
    id=$(coracle run -d --name one busybox sh -c 'echo out; echo err >&2; printf part')
    coracle wait one >/dev/null
    coracle run -i --name two busybox sh -c 'read x; echo "two $x"' <<<first >/dev/null
    run -0 --separate-stderr coracle logs --names one two
    assert_eq "$output" $'one out\none part\ntwo two first'
    assert_eq "$stderr" "one err"
    run -0 --separate-stderr coracle logs one two
    assert_eq "${lines[0]}" "${id:0:12} out"
    assert_eq "$(coracle logs --names --color two)" $'\033[33mtwo\033[0m two first'
    assert_eq "$(coracle logs -l)" "two first"
    assert_eq "$(coracle logs --names -n 1 one two 2>/dev/null)" $'one part\ntwo two first'
    run -1 coracle logs one nosuch
    assert_output_has "No such container: nosuch"
    run -1 coracle logs
    assert_output_has "requires 1 argument"
    coracle create -i --name talk busybox cat
    mkfifo "$BATS_TEST_TMPDIR/in"
    coracle start -ai talk <"$BATS_TEST_TMPDIR/in" >/dev/null 3>&- &
    exec 8>"$BATS_TEST_TMPDIR/in"
    wait_for eval '[ "$(coracle inspect -f "{{.State.Running}}" talk)" = true ]'
    coracle logs -f --names one talk >"$BATS_TEST_TMPDIR/out" 2>/dev/null 3>&- 8>&- &
    follower=$!
    echo live >&8
    wait_for grep -qx "talk live" "$BATS_TEST_TMPDIR/out"
    exec 8>&-
    wait $follower
    assert_eq "$(sort "$BATS_TEST_TMPDIR/out")" $'one out\none part\ntalk live'
    coracle rm -f one two talk
}

died_with() {
    coracle events --since "$1" --until 0s -f container=back -f event=exec_die --format '{{.Actor.Attributes.exitCode}}' | grep -qx "$2"
}

@test "exec -d: its end is an event with the exit code; who reads our output need not wait for it" {
    since=$(date +%s)
    coracle run -d --name back busybox sleep 1000
    out=$(coracle exec -i back cat </dev/null; coracle exec -d back sh -c 'until [ -e /go ]; do sleep 0.01; done; exit 7')
    assert_eq "$out" ""
    coracle exec -dt back sh -c 'until [ -e /go ]; do echo x; sleep 0.01; done; exit 8'
    run -127 coracle exec -d back nosuch
    assert_output_has 'executable file not found in $PATH'
    coracle exec back touch /go
    wait_for died_with "$since" 7 || fail "$(coracle events --since "$since" --until 0s)"
    wait_for died_with "$since" 8 || fail "$(coracle events --since "$since" --until 0s)"
    coracle rm -f back
}

@test "two updates at once of one container both hold" {
    coracle create --name both busybox true
    for i in $(seq 10 19); do
        coracle update --blkio-weight "$i" both >/dev/null 2>&1 3>&- &
        first=$!
        coracle update --restart "on-failure:$i" both >/dev/null 2>&1
        wait $first
        assert_eq "$(coracle inspect -f '{{.HostConfig.BlkioWeight}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' both)" "$i $i"
    done
    coracle rm both
}

@test "--replace: the anonymous volumes of the container that was go with it, named ones stay" {
    coracle create --name old -v /anonymous -v kept:/named busybox true
    assert_eq "$(coracle volume ls -q | wc -l)" 2
    coracle create --replace --name old busybox true
    assert_eq "$(coracle volume ls -q)" kept
    coracle rm old
    coracle volume rm kept
}

@test "mount: in unshare, the root of a container that runs and of one that does not; gone with the namespace" {
    coracle create --name still -v kept:/data busybox true
    coracle run -d --name live busybox sh -c 'echo live >/file; sleep 1000'
    wait_for coracle exec live test -s /file
    run -125 coracle mount still
    assert_output_has "run 'coracle unshare'"
    run -0 coracle unshare sh -ec '
        at=$(coracle mount still)
        ls -d "$at/bin" >/dev/null
        echo "made $at" >"$at/made"
        [ "$(coracle mount still)" = "$at" ]
        cat "$(coracle mount live)/file"
        echo changed >"$(coracle container mount live)/file"
        coracle mount | wc -l
        coracle mount --notruncate | grep -c "^[0-9a-f]\{64\}  /"
        coracle umount still
        coracle mount --format json'
    assert_eq "$(head -3 <<<"$output")" $'live\n2\n2'
    assert_eq "$(sed -n '4p' <<<"$output")" still
    assert_eq "$(sed '1,4d' <<<"$output" | jq -c '.[].Names')" '["live"]'
    assert_eq "$(coracle exec live cat /file)" changed
    assert_eq "$(coracle unshare coracle mount)" ""
    run -125 coracle unshare coracle umount still
    assert_output_has "container still is not mounted here"
    assert_eq "$(coracle cp still:/made - | tar -xOf - | cut -d' ' -f1)" made
    coracle rm -f still live
    coracle volume rm kept
}

@test "mount: files that are mounted somewhere are not given to a second overlay; a restart takes them" {
    # one shell gets at the mounts of another in the same user namespace: a container has it, two seconds may be over
    coracle run -d --name keeps busybox sleep 1000
    coracle create --name m1 busybox sh -c 'cat /made; exec sleep 1000'
    mkfifo "$TMPDIR/go"
    # holds CONTAINER TEXT: a shell that has it mounted until a line comes, and says so
    holds() {
        coracle unshare sh -c 'at=$(coracle mount "$1") && echo "$2" >"$at/made" && cd "$at" && echo "$at" >"$3/ready" && read -r _ <"$3/go"; cd /
            coracle umount "$1"; echo >"$3/unmounted"; read -r _ <"$3/go"' - "$1" "$2" "$TMPDIR" >/dev/null 3>&- &
        wait_for test -s "$TMPDIR/ready"
        rm "$TMPDIR/ready"
    }
    lets_go() { echo >"$TMPDIR/go" && wait_for test -e "$TMPDIR/unmounted" && rm "$TMPDIR/unmounted"; }
    holds m1 one
    run -1 coracle start m1
    assert_output_has "the container's files are mounted by 'coracle mount'"
    # who only wants the files goes by way of the mount that there is, from outside and from another such shell
    assert_eq "$(coracle cp m1:/made - | tar -xOf -)" one
    echo said >"$TMPDIR/said"
    coracle cp "$TMPDIR/said" m1:/said
    assert_eq "$(coracle unshare sh -c 'cat "$(coracle mount m1)/said"')" said
    assert_eq "$(coracle export m1 | tar -xOf - made said | sort)" $'one\nsaid'
    lets_go
    coracle start m1
    wait_for eval '[ "$(coracle logs m1)" = one ]'
    echo >"$TMPDIR/go"
    # unmounted while it runs; and mounted beyond its end
    coracle unshare sh -ec 'coracle mount m1; coracle umount m1' >/dev/null
    assert_eq "$(coracle exec m1 cat /made)" one
    holds m1 two
    assert_eq "$(coracle exec m1 cat /made)" two
    coracle kill m1
    coracle wait m1 # until then it is running, and starting it is nothing to do
    run -1 coracle start m1
    lets_go
    coracle start m1
    echo >"$TMPDIR/go"
    coracle rm -f m1
    coracle run -d --name m2 --restart always busybox sh -c 'until [ -e /end ]; do sleep 0.05; done; rm /end'
    coracle unshare sh -c 'coracle mount m2 >"$1/ready"; read -r _ <"$1/go"; ls "$(cat "$1/ready")"; coracle mount | wc -l' - "$TMPDIR" >"$TMPDIR/seen" 3>&- &
    wait_for test -s "$TMPDIR/ready"
    coracle exec m2 touch /end
    wait_for eval '[ "$(coracle inspect -f "{{.RestartCount}} {{.State.Status}}" m2)" = "1 running" ]'
    echo >"$TMPDIR/go"
    wait $!
    assert_eq "$(cat "$TMPDIR/seen")" 0
    coracle rm -f m2 keeps
}

@test "init: what a start would fail of is said before it; the container stays created" {
    mkdir "$BATS_TEST_TMPDIR/source"
    coracle create --name first -v "$BATS_TEST_TMPDIR/source:/source" busybox cat /source/file
    assert_eq "$(coracle container init first)" first
    assert_eq "$(coracle inspect -f '{{.State.Status}}' first)" created
    echo text >"$BATS_TEST_TMPDIR/source/file"
    assert_eq "$(coracle start -a first)" text
    rm -r "$BATS_TEST_TMPDIR/source"
    run -125 coracle init first
    assert_output_has "source"
    coracle rm first
    coracle run -d --name first busybox sleep 1000
    run -125 coracle init first
    assert_output_has "is running"
    coracle rm -f first
}

@test "secret: made of a file, a stream and a variable; listed, looked at, replaced, removed" {
    printf topsecret >"$BATS_TEST_TMPDIR/file"
    first=$(coracle secret create first "$BATS_TEST_TMPDIR/file")
    [[ $first =~ ^[0-9a-f]{25}$ ]] || fail "$first"
    printf text | coracle secret create -l kind=pipe second - >/dev/null
    PW=hunter2 coracle secret create --env third PW >/dev/null
    run -1 coracle secret create first "$BATS_TEST_TMPDIR/file"
    assert_output_has "first: secret name in use"
    assert_eq "$(coracle secret create --replace first "$BATS_TEST_TMPDIR/file")" "$first"
    assert_eq "$(coracle secret ls --format '{{.Name}} {{.Driver}}')" $'first file\nsecond file\nthird file'
    assert_eq "$(coracle secret ls -q -f id="${first:0:12}")" "$first"
    assert_eq "$(coracle secret ls --format '{{.Name}}' -f label=kind=pipe)" second
    assert_eq "$(coracle secret inspect "$first" | jq -c '.[0].Spec')" '{"Name":"first","Driver":{"Name":"file","Options":{}},"Labels":{}}'
    assert_eq "$(coracle secret inspect --showsecret -f '{{.SecretData}}' third)" hunter2
    coracle secret exists second
    run -1 coracle secret exists nobody
    assert_eq "$output" ""
    for bad in 'a/b' '' '.x'; do
        run -1 coracle secret create "$bad" "$BATS_TEST_TMPDIR/file"
        assert_output_has "secret name"
    done
    run -1 coracle secret create empty /dev/null
    assert_output_has "secret data must be larger than 0 and less than 512000 bytes"
    head -c 512001 /dev/zero >"$BATS_TEST_TMPDIR/large"
    run -1 coracle secret create large "$BATS_TEST_TMPDIR/large"
    assert_output_has "secret data must be larger than 0 and less than 512000 bytes"
    assert_eq "$(find "$STORE/secrets" -type f -perm 600 | wc -l) $(stat -c %a "$STORE/secrets")" "3 700"
    assert_eq "$(coracle secret rm -a | wc -l)" 3
    run -1 coracle secret rm first
    assert_output_has "no such secret"
    coracle secret rm --ignore first
}

@test "--secret: a file of a tmpfs or a variable; not in inspect, diff, export or an image, and the container's own" {
    printf topsecret | coracle secret create pass - >/dev/null
    printf 'a variable' | coracle secret create word - >/dev/null
    coracle run -d --name has --secret pass --secret pass,target=/opt/own,uid=7,gid=8,mode=0400 --secret word,type=env,target=WORD \
        busybox sh -c 'cat /run/secrets/pass >/dev/null && touch /ready; sleep 1000'
    wait_for coracle exec has test -e /ready
    run -0 coracle exec has sh -c 'cat /run/secrets/pass; echo " $WORD"; stat -c "%u:%g %a" /opt/own /run/secrets/pass; echo x 2>/dev/null >/run/secrets/pass || echo read-only'
    assert_eq "$output" $'topsecret a variable\n7:8 400\n0:0 444\nread-only'
    run -0 coracle inspect has
    refute_output_has topsecret
    refute_output_has "a variable"
    coracle diff has | grep -q secrets/ && fail "$(coracle diff has)"
    run -0 bash -c 'coracle export has | grep -ac topsecret || true'
    assert_eq "$output" 0
    coracle commit has image-of-it >/dev/null
    assert_eq "$(coracle run --rm image-of-it sh -c 'ls /run/secrets | wc -l; env | grep -c WORD')" $'0\n0'
    coracle secret rm -a >/dev/null
    coracle restart -t 0 has
    assert_eq "$(coracle exec has cat /run/secrets/pass)" topsecret
    coracle rm -f has
    coracle rmi image-of-it
    for bad in gone 'gone,type=x' 'gone,mode=9' 'gone,nothing' 'gone,type=env,uid=1' ''; do
        run -125 coracle run --rm --secret "$bad" busybox true
    done
    run -125 coracle run --rm --secret gone busybox true
    assert_output_has 'no secret with name or id "gone": no such secret'
    assert_eq "$(coracle ps -aq)" ""
}
