#!/usr/bin/env bats
# build: RUN --mount, every type and option of the reference.
load ../lib/common
load ../lib/containers
load ../lib/builds

file_setup() { image busybox >/dev/null; }

@test "bind: the context, a stage, an image, a named context; read-only, or written to and forgotten; its content counts" {
    n=$(unique)
    mkdir -p src/sub ../other
    echo one >src/f; echo two >src/sub/g; echo hidden >src/h; echo o >"$BATS_TEST_TMPDIR/../other/o"
    printf 'src/h\n' >.dockerignore
    ln -s /etc/passwd out
    file='FROM busybox AS tools
RUN mkdir -p /opt/t && echo tool >/opt/t/x && chown 3:4 /opt/t/x
FROM scratch AS empty
FROM busybox
WORKDIR /w
RUN --mount=target=/src,source=src cat /src/f /src/sub/g >a; ls /src >>a; ! touch /src/new
RUN --mount=type=bind,src=src/f,dst=rel/f cat rel/f >b
RUN --mount=type=bind,from=tools,source=/opt,target=/opt,rw stat -c %u:%g /opt/t/x >c; echo more >>/opt/t/x; cat /opt/t/x >>c
RUN --mount=type=bind,from=tools,source=opt/t/x,target=/x cat /x >d
RUN --mount=from=busybox,target=/other test -x /other/bin/busybox
RUN --mount=from=named,target=/named,readwrite=true touch /named/new && ls /named >e
RUN --mount=from=empty,target=/nothing ls -A /nothing | wc -l >f'
    build "$n" --build-context "named=$BATS_TEST_TMPDIR/../other" <<<"$file"
    assert_eq "$(in_image "$n" sh -c 'cd /w; cat a b c d e f; ls -A /src /opt /x /other /named /nothing 2>/dev/null')" $'one\ntwo\nf\nsub\none\n3:4\ntool\nmore\ntool\nnew\no\n0'
    assert_eq "$(ls "$BATS_TEST_TMPDIR/../other")" o
    build "$n" --build-context "named=$BATS_TEST_TMPDIR/../other" <<<"$file"
    assert_eq "$(cached)" 9
    echo changed >src/h # is not of the context
    touch src/f
    build "$n" --build-context "named=$BATS_TEST_TMPDIR/../other" <<<"$file"
    assert_eq "$(cached)" 9
    echo three >src/sub/g
    build "$n" --build-context "named=$BATS_TEST_TMPDIR/../other" <<<"$file"
    assert_eq "$(cached)" 2
    assert_eq "$(in_image "$n" sed -n 2p /w/a)" three
    for case in 'source=none,target=/x|"/none": not found' 'source=out,target=/x|"/out": not found' 'source=src/h,target=/x|"/src/h": not found' \
        'source=../../../etc,target=/x|"/etc": not found' 'source=src|target is required' 'target=/|invalid mount target' 'target=/x,mode=7|unexpected key' \
        'target=/x,from=$V|cannot contain variables' 'type=x,target=/x|unsupported mount type "x"' 'target=/x,what=1|unexpected key' 'target=/x,ro=2|invalid value for ro: 2'; do
        refused "${case##*|}" <<<"FROM busybox"$'\n'"RUN --mount=${case%|*} true"
    done
}

@test "cache: id, sharing, owner, mode, what it begins with; tmpfs with a size" {
    n=$(unique)
    build "$n" <<E
FROM busybox AS seed
RUN mkdir /d && echo seed >/d/s
FROM busybox
ARG WHERE=/c
RUN --mount=type=cache,id=$n,target=\$WHERE,sharing=locked echo x >>/c/x
RUN --mount=type=cache,id=$n,dst=/c,ro cp /c/x /x && ! touch /c/y
RUN --mount=type=cache,id=$n,target=/c,uid=5,gid=6,mode=0711 stat -c '%u:%g %a' /c >/own && ls -A /c >>/own
RUN --mount=type=cache,id=$n,target=/c,from=seed,source=/d cat /c/s >/s && echo more >>/c/s
RUN --mount=type=cache,id=$n,target=/c,from=seed,source=/d,sharing=private wc -l </c/s >>/s
RUN --mount=type=tmpfs,target=/t,size=1m stat -f -c '%S %b' /t >/size
USER 5:6
RUN --mount=type=cache,id=$n,target=/c,uid=5,gid=6,mode=0711 touch /c/mine
E
    assert_eq "$(in_image "$n" cat /x /own /s)" $'x\n5:6 711\nseed\n2'
    assert_eq "$(in_image "$n" sh -c 'read s b </size; echo $((s * b))')" 1048576
    in_image "$n" test ! -e /c -a ! -e /t
    # locked: one after the other; private: each has its own
    for mode in locked private; do
        for i in 1 2; do
            mkdir -p "$i"
            printf 'FROM busybox\nARG I\nRUN --mount=type=cache,id=%s,target=/c,sharing=%s mkdir /c/busy && sleep 0.3 && rmdir /c/busy\n' "$n-$mode" $mode >"$i/Dockerfile"
            coracle build -q --build-arg I=$mode$i "$i" >"$i/log" 2>&1 3>&- &
            pids[i]=$!
        done
        wait "${pids[1]}" && wait "${pids[2]}" || fail "$mode: $(cat 1/log 2/log)"
    done
    refused 'invalid value for sharing: some' <<<$'FROM busybox\nRUN --mount=type=cache,target=/c,sharing=some true'
    refused 'source without from' <<<$'FROM busybox\nRUN --mount=type=cache,target=/c,source=/d true'
    refused 'invalid value for size: much' <<<$'FROM busybox\nRUN --mount=type=tmpfs,target=/c,size=much true'
    refused "unexpected key 'size' for mount type 'cache'" <<<$'FROM busybox\nRUN --mount=type=cache,target=/c,size=1 true'
}

@test "secret: file and variable, owner and mode; ssh: an agent that another user of the image talks to" {
    n=$(unique)
    printf geheim >key
    build "$n" --secret "id=k,src=$T/key" --secret id=HOME <<'E'
FROM busybox
RUN --mount=type=secret,id=k,uid=5,gid=6,mode=0440 stat -c '%u:%g %a' /run/secrets/k >/own
RUN --mount=type=secret,source=k,target=/x/key,env=KEY test "$(cat /x/key)" = "$KEY"
RUN --mount=type=secret,id=HOME,env=AT test -n "$AT" -a ! -e /run/secrets/HOME
RUN --mount=type=secret,id=none true
USER 5:6
RUN --mount=type=secret,target=/run/k,id=k,uid=5 test -r /run/k
E
    assert_eq "$(in_image "$n" sh -c 'cat /own; ls -d /run/* /x 2>/dev/null')" "5:6 440"
    ! grep -rq geheim "$STORE"
    refused 'secret none: not found' <<<$'FROM busybox\nRUN --mount=type=secret,id=none,required true'
    refused "both source and id" <<<$'FROM busybox\nRUN --mount=type=secret,id=a,src=b true'
    refused "one of source, target required" <<<$'FROM busybox\nRUN --mount=type=secret true'
    # an agent that says who asks: it answers its own user alone; socat waits half a second for an answer when it has asked, by default
    cat >agent.py <<'E'
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + ".new")
s.listen(8)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    c, _ = s.accept()
    uid = struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    if c.recv(100) == b"end\n":
        break
    c.sendall(b"mine\n" if uid == os.getuid() else b"another's\n")
    c.close()
E
    python3 agent.py "$T/agent" 3>&- &
    agent=$!
    wait_for test -S agent
    image tools tools >/dev/null
    SSH_AUTH_SOCK=$T/agent build "$n" --ssh default --ssh "two=$T/agent" <<'E'
FROM tools
RUN --mount=type=ssh echo ask | socat -t 600 - "UNIX:$SSH_AUTH_SOCK" >/a && echo "$SSH_AUTH_SOCK" >>/a
RUN --mount=type=ssh,id=two,uid=7,gid=8,mode=0640,target=/s,required stat -c '%u:%g %a' /s >>/a
RUN --mount=type=ssh,id=three test -z "$SSH_AUTH_SOCK"
USER 7:8
RUN --mount=type=ssh,id=two,uid=7 echo ask | socat -t 600 - "UNIX:$SSH_AUTH_SOCK" >/tmp/b
E
    assert_eq "$(in_image "$n" cat /a /tmp/b)" $'mine\n/run/buildkit/ssh_agent.0\n7:8 640\nmine'
    in_image "$n" test ! -e /run/buildkit
    echo end | socat - "UNIX:$T/agent"
    wait "$agent"
    refused 'unset ssh forward key two' <<<$'FROM busybox\nRUN --mount=type=ssh,id=two,required true'
    SSH_AUTH_SOCK= refused 'SSH_AUTH_SOCK is not set' --ssh default <<<$'FROM busybox\nRUN --mount=type=ssh true'
    refused 'is not the socket of an agent' --ssh "default=$T/key" <<<$'FROM busybox\nRUN --mount=type=ssh true'
}
