#!/usr/bin/env bats
# How builds are carried out: side by side, unseen, leaving nothing when they are killed; and how they are shown.
load ../lib/common
load ../lib/containers
load ../lib/terminal

file_setup() { image busybox >/dev/null; }
teardown() { term_close; }

# begin WORD: a build in the background, until a command of it has said WORD; its pid is $build
begin() {
    rm -f log # the one of the build before has the word, too
    coracle build -t killed . >log 2>&1 &
    build=$!
    wait_for grep -qs " $1\$" log || fail "no $1" "$(cat log)"
}
gone() { ! pgrep -f "$1" >/dev/null; }
next_command() { coracle build -q - <<<"FROM busybox" >/dev/null && gone "$1"; }
store_clean() { [ -z "$(ls "$STORE/tmp")" ] && nothing_runs; }

@test "a build that is killed leaves no container, no process, no image, and what it left on disk goes with the next command" {
    n=1$RANDOM$RANDOM
    # a program that changes its ids is not tied to its parent any more: that is what a killed build could lose
    cat >Dockerfile <<E
FROM busybox
RUN cp /bin/busybox /busybox-become && chmod 4755 /busybox-become && echo 'echo ready' >/say
USER 1000
RUN sh /say && exec /busybox-become sleep $n
E
    for signal in KILL TERM INT; do
        begin ready
        assert_eq "$(coracle ps -aq)" ""
        kill -$signal $build
        code=0
        wait $build || code=$?
        assert_eq $code $((128 + $(kill -l $signal)))
        [ $signal != KILL ] || wait_for next_command "sleep $n"
        wait_for gone "sleep $n" || fail "the command outlived SIG$signal"
        wait_for store_clean || fail "after SIG$signal: $(ls "$STORE/tmp"; left_processes)"
        assert_eq "$(coracle images -q killed)" ""
    done
    assert_eq "$(coracle events --since 1h --until 0s --filter type=container)" ""
    coracle system check >/dev/null
}

# await FILE: waits, in a step, for a file of the cache mount
await() { echo "i=0; until [ -e /c/$1 ]; do i=\$((i+1)); [ \$i -lt 2400 ] || exit 1; sleep 0.05; done"; }

@test "stages that do not need each other are built side by side; one that fails ends the others" {
    n=1$RANDOM$RANDOM
    cat >Dockerfile <<E
FROM busybox AS a
RUN --mount=type=cache,id=$n,target=/c touch /c/a; $(await b); echo a >/a
FROM busybox AS b
RUN --mount=type=cache,id=$n,target=/c touch /c/b; $(await a); echo b >/b
FROM busybox AS unneeded
RUN exit 9
FROM a
COPY --from=b /b /
RUN cat /a /b >/both
E
    coracle build -t both . >log 2>&1 || fail "$(cat log)"
    assert_eq "$(coracle run --rm --network none both cat /both)" "a
b"
    assert_eq "$(grep unneeded log)" ""
    cat >Dockerfile <<E
FROM busybox AS a
RUN --mount=type=cache,id=x$n,target=/c $(await b); exit 7
FROM busybox AS b
RUN --mount=type=cache,id=x$n,target=/c touch /c/b; exec sleep $n
FROM a
COPY --from=b /b /
E
    run -1 coracle build .
    assert_output_has 'did not complete successfully: exit code: 7'
    assert_output_has 'Dockerfile:2'
    assert_output_has 'CANCELED'
    wait_for gone "sleep $n" || fail "the other stage went on"
}

@test "what is shown: plain with numbers, the last 20 lines of what failed, raw JSON, nothing, a terminal only where there is one" {
    cat >Dockerfile <<'E'
FROM busybox AS one
RUN for i in $(seq 1 25); do echo "line $i"; done; printf 'no end'; exit 3
E
    run -1 coracle build --progress plain .
    assert_output_has '[one 2/2] RUN for i in'
    assert_output_has ' line 1'
    told=$(sed '1,/^------$/d; /^------$/,$d' <<<"$output")
    assert_eq "$(sed 1d <<<"$told" | sed -E 's/^[0-9.]+ //')" "$(seq -f 'line %g' 7 25)
no end"
    assert_output_has 'exit code: 3'
    assert_output_has '   2 | >>> RUN for i'
    run -1 --separate-stderr coracle build --progress quiet .
    assert_eq "$output" ""
    case $stderr in *'line 6'*) fail "$stderr" ;; *'line 7'*'exit code: 3'*) ;; *) fail "$stderr" ;; esac
    printf 'FROM busybox\nRUN echo told\n' >Dockerfile
    run -0 --separate-stderr coracle build --progress rawjson .
    assert_eq "$(jq -r '.logs[]?.data' <<<"$stderr" | base64 -d | sed -n 's/^[0-9.]* told$/told/p')" told
    assert_eq "$(jq -r '.vertexes[]?|select(.completed)|.name' <<<"$stderr" | grep -c 'RUN echo told')" 1
    run -1 coracle build --progress tty .
    assert_output_has 'standard error is not a terminal'
    run -1 coracle build --progress loud .
    assert_output_has 'invalid progress mode loud'
}

@test "on a terminal: a line for each step with its time, the last lines of a command below it, no wider than the terminal" {
    n=1$RANDOM$RANDOM
    cat >Dockerfile <<E
FROM busybox
RUN echo a-very-long-word-that-does-not-fit-into-a-terminal-of-forty-columns; echo shown-$n; exec sleep $n
E
    term_open 40 20
    term_type "NO_COLOR=1 coracle build ."
    term_expect " shown-$n"
    term_expect '[+] Building'
    term_expect ' => [2/2] RUN echo'
    [ "$(term_screen | awk '{ if (length > w) w = length } END { print w }')" -le 40 ]
    [ "$(term_screen | grep -c ' => \[1/2\] FROM busybox')" -le 1 ] # drawn in place, and perhaps just now
    term_keys C-c
    term_expect ' => CANCELED [2/2]'
    term_expect 'canceled'
    assert_eq "$(term_screen | grep -c ' => \[1/2\] FROM busybox')" 1
    wait_for gone "sleep $n"
}

@test "--debug-shell: a shell where the command has failed, with what it had and had made; then the build fails" {
    n=$(unique)
    cat >Dockerfile <<E
FROM busybox
ARG A=arg-$n
ENV E=env-$n
WORKDIR /work
USER 7:8
RUN --mount=type=tmpfs,target=/t --mount=type=secret,id=s,target=/s,uid=7 echo left >/tmp/left; exit 3
E
    echo secret-$n >secret
    run -1 coracle build --debug-shell . </dev/null
    assert_output_has 'standard input and output are not a terminal'
    run -1 coracle build .
    assert_output_has 'hint: build with --debug-shell'
    term_open 120 40
    term_type "coracle build -t $n --debug-shell --secret id=s,src=secret .; echo ended=\$?"
    term_expect "has failed with exit code 3. This is /bin/sh in its container"
    term_type 'echo "$A $E $PWD $(id -u):$(id -g) $(cat /tmp/left /s | paste -sd+) $(stat -f -c %T /t)"'
    term_expect "arg-$n env-$n /work 7:8 left+secret-$n tmpfs"
    term_type "exit 5"
    term_expect "exit code: 3"
    term_expect "ended=1"
    run -1 coracle image inspect "$n"
    # an image without a shell
    printf 'FROM busybox AS b\nFROM scratch\nCOPY --from=b /bin/busybox /busybox\nRUN ["/busybox", "false"]\n' >Dockerfile
    term_type "clear; coracle build --debug-shell .; echo then=\$?"
    term_expect "--debug-shell: /bin/sh: "
    term_expect "then=1"
}

@test "a layer is the upper directory: what its tar unpacks to is what is there, whatever the step did" {
    mkdir -p files/sub && echo 1 >files/a && ln files/a files/hard && ln -s a files/link && echo 2 >files/sub/b
    cat >Dockerfile <<'E'
FROM busybox
RUN mkdir -p /d/e /gone/x /opaque/lower && echo 1 >/d/f && echo 2 >/d/e/g && echo 3 >/opaque/lower/h && echo 4 >/gone/x/i && echo 5 >/moved
RUN rm -r /gone/x && rm -r /opaque && mkdir /opaque && echo new >/opaque/n && chmod 700 /d/e && mv /moved /d/moved && touch -r /d/f /d/e/g
RUN touch /d/tmp && rm /d/tmp && : >>/d/f && chmod 755 /d && ln /d/f /d/hard && mkfifo /fifo && chown 1000:1000 /d/e/g && setfattr -n user.x -v y /d/f 2>/dev/null || true
COPY files /files
WORKDIR /some/where
E
    coracle build -q -t layers . >/dev/null
    run -0 coracle system check
    run -0 coracle run --rm --network none layers sh -c 'ls /gone /opaque /d /d/e; cat /d/moved /d/f; stat -c "%h %a %u" /d/f /d/e /d/e/g /files/hard; pwd'
    assert_eq "$output" "/d:
e
f
hard
moved

/d/e:
g

/gone:

/opaque:
n
5
1
2 644 0
1 700 0
1 644 1000
2 644 0
/some/where"
    # the same tree when it has been somewhere else
    coracle run --rm --network none layers find / -xdev ! -path '/proc*' ! -path '/dev*' ! -path '/etc/*' -exec stat -c '%n %a %u:%g %h %s %F' {} + >here
    coracle save -o all.tar layers
    coracle rmi -f layers >/dev/null
    coracle builder prune -af >/dev/null
    coracle load -q -i all.tar >/dev/null
    coracle run --rm --network none layers find / -xdev ! -path '/proc*' ! -path '/dev*' ! -path '/etc/*' -exec stat -c '%n %a %u:%g %h %s %F' {} + >there
    diff <(sort here) <(sort there)
}

@test "the cache: builder du, what prune takes by type, id, age and size; cache mounts go only when they are meant and no build has them" {
    n=mount$RANDOM$RANDOM
    coracle builder prune -af >/dev/null
    printf 'FROM busybox\nRUN --mount=type=cache,id=%s,target=/c head -c 300000 /dev/zero >/c/x\nRUN head -c 200000 /dev/zero >/y\n' $n >Dockerfile
    coracle build -q -t cached . >/dev/null
    run -0 coracle builder du
    assert_output_has "mount $n"
    assert_output_has 'exec.cachemount'
    assert_output_has 'RUN head -c 200000'
    assert_output_has 'Reclaimable:	300kB'
    run -0 coracle system df -v --format '{{range .BuildCache}}{{.CacheType}} {{end}}'
    assert_output_has 'exec.cachemount'
    coracle rmi -f cached >/dev/null
    run -0 coracle builder prune -f --filter until=1h
    assert_output_has 'reclaimed space: 0B'
    run -0 coracle builder prune -f --filter type=none
    assert_output_has 'reclaimed space: 0B'
    run -0 coracle builder prune -af --max-used-space 450kB # 500 kB and two headers: what is oldest
    [ "$(coracle builder du | grep -c -e "mount $n" -e 'RUN head')" = 1 ]
    coracle build -q --no-cache -t cached . >/dev/null
    coracle rmi -f cached >/dev/null
    run -0 coracle builder prune -f
    refute_output_has 'reclaimed space: 0B'
    run -0 coracle builder du
    assert_output_has "mount $n"
    printf 'FROM busybox\nRUN --mount=type=cache,id=%s,target=/c echo ready; exec sleep %s\n' $n 1$RANDOM$RANDOM >Dockerfile
    begin ready
    run -0 coracle builder prune -f --filter type=exec.cachemount
    assert_output_has 'reclaimed space: 0B'
    kill $build
    wait $build || true
    wait_for nothing_runs || fail "$(left_processes)" # who was of the build may have what it had locked
    id=$(coracle builder du | sed -n "s/ .*mount $n.*//p")
    run -0 coracle builder prune -f --filter "id=${id:0:12}"
    assert_output_has "$id"
    run -0 coracle builder du
    refute_output_has "mount $n"
    run -1 coracle builder prune -f --filter colour=red
    assert_output_has "invalid filter 'colour'"
}
