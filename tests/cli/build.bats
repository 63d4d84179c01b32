#!/usr/bin/env bats
# build: Dockerfiles become images.
load ../lib/common
load ../lib/containers
load ../lib/builds

file_setup() { image busybox >/dev/null; }

@test "RUN, COPY, ENV, ARG, WORKDIR, USER and the rest of the config" {
    n=$(unique)
    mkdir -p dir/deep
    echo a >a; echo b >dir/b; ln -s b dir/link; chmod 640 dir/b; echo c >dir/deep/c
    build "$n" --build-arg V=given --label from=cli <<'E'
ARG BASE=busybox
FROM ${BASE:-none} AS first
ARG V=default
ENV A=1 B="x $V" C=$A
RUN echo "$A-$V" >/ran && echo "$PWD"
WORKDIR /w
WORKDIR sub
COPY a dir/ ./
COPY --chown=5:6 --chmod=600 dir /owned/
COPY <<X <<'Y' /here/
v=$V
X
$V
Y
RUN <<E2
set -e
echo one >/script
echo two >>/script
E2
SHELL ["/bin/sh", "-ec"]
RUN true
USER 7:8
EXPOSE 80 53/udp
VOLUME /data
LABEL k="v w"
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD true
ENTRYPOINT ["cat"]
CMD ["/ran"]
E
    assert_eq "$(coracle run --rm --network none "$n")" "1-given"
    assert_eq "$(config "$n" Env | jq -c '.[-3:]')" '["A=1","B=x given","C="]'
    assert_eq "$(config "$n" WorkingDir)" '"/w/sub"'
    assert_eq "$(config "$n" User)" '"7:8"'
    assert_eq "$(config "$n" ExposedPorts)" '{"53/udp":{},"80/tcp":{}}'
    assert_eq "$(config "$n" Volumes)" '{"/data":{}}'
    assert_eq "$(config "$n" Labels)" '{"from":"cli","k":"v w"}'
    assert_eq "$(config "$n" StopSignal)" '"SIGINT"'
    assert_eq "$(config "$n" Healthcheck)" '{"Interval":5000000000,"Retries":2,"Test":["CMD-SHELL","true"]}'
    assert_eq "$(config "$n" Entrypoint)$(config "$n" Cmd)" '["cat"]["/ran"]'
    run -0 in_image -u 0 "$n" sh -c 'busybox stat -c "%n %a %u:%g" a b link deep/c /owned /owned/b /here/X; cat /here/X /here/Y /script; busybox readlink link'
    assert_eq "$output" "a 644 0:0
b 640 0:0
link 777 0:0
deep/c 644 0:0
/owned 600 5:6
/owned/b 600 5:6
/here/X 644 0:0
v=given
\$V
one
two
b"
    run -0 coracle history --no-trunc --format '{{.CreatedBy}}' "$n"
    assert_output_has 'RUN |1 V=given /bin/sh -c echo "$A-$V" >/ran && echo "$PWD" # buildkit'
    assert_output_has 'COPY --chown=5:6 --chmod=600 dir /owned/ # buildkit'
    assert_output_has 'ENTRYPOINT ["cat"]'
    assert_eq "$(coracle ps -aq)" ""
}

@test "the cache: what is unchanged is not done again, and is the same image" {
    n=$(unique)
    echo 1 >f; echo 1 >g
    file='FROM busybox
RUN echo a >/a
COPY f /f
RUN echo b >/b
ARG LATE
RUN echo c >/c
COPY g /g'
    build "$n" <<<"$file"
    assert_eq "$(cached)" 0
    id=$(coracle images -q --no-trunc "$n")
    touch -d '2001-01-01' f
    build "$n" <<<"$file"
    assert_eq "$(cached)" 5
    assert_eq "$(coracle images -q --no-trunc "$n")" "$id"
    echo 2 >g
    build "$n" <<<"$file"
    assert_eq "$(cached)" 4
    chmod 600 f
    build "$n" <<<"$file"
    assert_eq "$(cached)" 1
    build "$n" --build-arg LATE=1 <<<"$file"
    assert_eq "$(cached)" 3
    build "$n" --no-cache <<<"$file"
    assert_eq "$(cached)" 0
    build "$n" <<<"$file"
    assert_eq "$(cached)" 5
    coracle rmi -f "$n" >/dev/null
    [ "$(coracle system df --format '{{.Type}} {{.TotalCount}}' | sed -n 's/^Build Cache //p')" -ge 5 ]
    run -0 coracle builder prune -f
    assert_output_has "Total reclaimed space:"
    assert_eq "$(coracle builder prune -af | tail -1)" "Total reclaimed space: 0B"
    assert_eq "$(coracle system df --format '{{.Type}} {{.TotalCount}} {{.Size}}' | tail -1)" "Build Cache 0 0B"
    build "$n" <<<"$file"
    assert_eq "$(cached)" 0
}

@test "the cache: a context of many files, of which what they were is known; one that only looks unchanged is read" {
    n=$(unique)
    mkdir many; for i in {1..99}; do echo "$i" >"many/$i"; done
    build "$n" <<<$'FROM scratch\nCOPY many /many'
    # what is younger than two seconds is not noted: wait for the file system's own clock, not by ours
    old() { touch now && [ "$(stat -c %Z now)" -gt $(($(stat -c %Z many/99) + 3)) ]; }
    wait_for old
    build "$n" <<<$'FROM scratch\nCOPY many /many'
    assert_eq "$(cached)" 1
    [ -n "$(ls "$STORE/builds/stats")" ]
    build "$n" <<<$'FROM scratch\nCOPY many /many'
    assert_eq "$(cached)" 1
    touch -r many/50 time; echo 05 >many/50; touch -r time many/50
    build "$n" <<<$'FROM scratch\nCOPY many /many'
    assert_eq "$(cached)" 0
    mv many/7 seven; cp -p seven many/7
    build "$n" <<<$'FROM scratch\nCOPY many /many'
    assert_eq "$(cached)" 1
    coracle builder prune -af >/dev/null
    [ ! -e "$STORE/builds/stats" ]
}

@test "stages: only what the target needs, --target, COPY --from of a stage, an image, a directory" {
    n=$(unique)
    mkdir other; echo o >other/o
    file='FROM busybox AS broken
RUN exit 9
FROM busybox AS a
RUN echo a >/a && chown 3:4 /a && chmod 4755 /a
FROM a AS b
RUN cat /a >/b
FROM scratch AS last
COPY --from=b /b /x/b
COPY --from=2 /a /x/
COPY --from=busybox /bin/busybox /bin/sh
COPY --from=named o /x/o'
    build "$n" --build-context named="$T/other" <<<"$file"
    run -0 in_image "$n" sh -c 'busybox() { /bin/sh "$@"; }; cat /x/b /x/o; stat -c "%a %u:%g" /x/a'
    assert_eq "$output" "a
o
4755 3:4"
    build "$n" --target a <<<"$file"
    in_image "$n" test ! -e /b
    run -1 coracle build --target broken "$T"
    assert_output_has 'process "/bin/sh -c exit 9" did not complete successfully: exit code: 9'
    run -1 coracle build --target none "$T"
    assert_output_has 'target stage "none" could not be found'
}

@test "the context: .dockerignore, patterns, --exclude, --parents, archives, nothing outside" {
    n=$(unique)
    mkdir -p src/sub node; echo 1 >src/a.c; echo 2 >src/b.o; echo 3 >src/sub/c.c; echo 4 >node/x; echo 5 >secret
    ln src/a.c src/hard; ln -s /etc/passwd out; ln -s ../../../../../etc/passwd src/up
    tar -C src -czf a.tar.gz a.c sub
    printf '**/*.o\nnode\n!node/x\nsecret\n# comment\nDockerfile\nlog\n' >.dockerignore
    build "$n" <<'E'
FROM busybox
COPY . /all/
COPY src/*.c /c/
COPY --exclude=sub src /ex/
COPY --parents src/sub/*.c /par/
COPY --parents src/./sub/*.c ./src/./a.c /piv/
COPY --chmod=u=rwX,go= src /mode/
ADD a.tar.gz /un/
COPY a.tar.gz /
E
    run -0 in_image "$n" sh -c 'cd /all && busybox find . | busybox sort; ls /c /ex /un /a.tar.gz; cat /par/src/sub/c.c /piv/sub/c.c /piv/a.c; busybox stat -c %a /mode/sub /mode/a.c; busybox stat -c %h /all/src/hard; busybox readlink /all/src/up'
    assert_eq "$output" ".
./.dockerignore
./a.tar.gz
./node
./node/x
./out
./src
./src/a.c
./src/hard
./src/sub
./src/sub/c.c
./src/up
/a.tar.gz

/c:
a.c

/ex:
a.c
hard
up

/un:
a.c
sub
3
3
1
700
600
2
../../../../../etc/passwd"
    refused '"/out": not found' <<<$'FROM busybox\nCOPY out /'
    refused '"/secret": not found' <<<$'FROM busybox\nCOPY secret /'
    refused '"/etc/passwd": not found' <<<$'FROM busybox\nCOPY ../../../../../../etc/passwd /'
    refused '"/src/up": not found' <<<$'FROM busybox\nCOPY src/up /'
    refused 'destination must be a directory and end with a /' <<<$'FROM busybox\nCOPY src node /x'
}

@test "an error is shown where it is, a failing command with its last lines" {
    refused "Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> COPPY a b
   3 |     
--------------------
coracle: failed to build: failed to solve: dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)" <<<$'FROM busybox\nCOPPY a b'
    refused "------
 > [2/2] RUN echo told; exit 4:" <<<$'FROM busybox\nRUN echo told; exit 4'
    assert_output_has 'did not complete successfully: exit code: 4'
    run -1 --separate-stderr coracle build -q "$T"
    assert_eq "$output" ""
    [[ $stderr == *"told"*"Dockerfile:2"* ]]
    refused 'RUN --security=insecure is not allowed' <<<$'FROM busybox\nRUN --security=insecure true'
    refused 'variable expansion is not supported for --from' <<<$'FROM busybox\nCOPY --from=$X a b'
    rm Dockerfile
    run -1 coracle build "$T"
    assert_output_has 'failed to read dockerfile: open Dockerfile: no such file or directory'
    run -1 coracle build "$T/none"
    assert_output_has 'not found'
    assert_eq "$(coracle ps -aq)" ""
}

@test "ONBUILD, -f, standard input, -q, --iidfile, --metadata-file, several tags" {
    n=$(unique)
    echo a >a
    build "$n" <<<$'FROM busybox\nONBUILD ARG X=1\nONBUILD COPY a /a\nONBUILD RUN echo $X >/x'
    assert_eq "$(config "$n" OnBuild)" '["ARG X=1","COPY a /a","RUN echo $X >/x"]'
    printf 'FROM %s\n' "$n" >other
    run -0 --separate-stderr coracle build -q -f other --iidfile id --metadata-file meta -t "$n:1" -t "reg.example/x:$n" .
    assert_eq "$(cat id)" "$output"
    assert_eq "$(jq -r '."containerimage.config.digest"' meta)" "$output"
    assert_eq "$(coracle images -q --no-trunc "reg.example/x:$n")" "$output"
    assert_eq "$(in_image "$n:1" cat /a /x)" $'a\n1'
    assert_eq "$(config "$n:1" OnBuild)" null
    printf 'FROM busybox\nENV Z=1\n' | coracle build -q -t "$n:2" - >/dev/null
    assert_eq "$(config "$n:2" 'Env[-1]')" '"Z=1"'
}

@test "RUN --mount: secrets leave nothing, caches last, tmpfs; --network none" {
    n=$(unique)
    echo geheim >key
    build "$n" --secret "id=k,src=$T/key" --secret id=e,env=HOME <<'E'
FROM busybox
RUN --mount=type=secret,id=k cat /run/secrets/k | busybox wc -c >/n
RUN --mount=type=secret,id=e,env=VALUE test -n "$VALUE" && test ! -e /run/secrets/e
RUN --mount=type=tmpfs,target=/t echo x >/t/x && grep -q '/t tmpfs' /proc/mounts
RUN --network=none --mount=type=cache,id=c1,target=/c echo x >>/c/x && ! busybox ip route | grep .
E
    in_image "$n" test ! -e /run/secrets/k -a ! -e /t/x -a ! -e /c/x
    assert_eq "$(in_image "$n" cat /n)" 7
    ! grep -rq geheim "$STORE"
    build "$n" <<<$'FROM busybox\nRUN --mount=type=cache,id=c1,target=/d cp /d/x /x'
    assert_eq "$(in_image "$n" cat /x)" x
    refused 'secret none: not found' <<<$'FROM busybox\nRUN --mount=type=secret,id=none,required=true true'
}
