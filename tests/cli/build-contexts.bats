#!/usr/bin/env bats
# build: where files come from: tars, URLs, git repositories, named contexts; ADD of what is fetched.
load ../lib/common
load ../lib/containers
load ../lib/builds

# One web server for the file: its directory is $CTR_HOME/web, its address $WEB.
file_setup() {
    local port
    image busybox >/dev/null
    mkdir -p "$CTR_HOME/web"
    python3 -u -m http.server --bind 127.0.0.1 -d "$CTR_HOME/web" 0 >"$CTR_HOME/web.log" 2>"$CTR_HOME/web.err" 3>&- &
    echo $! >"$CTR_HOME/web.pid"
    wait_for grep -q 'port [0-9]' "$CTR_HOME/web.log"
    port=$(grep -o 'port [0-9]*' "$CTR_HOME/web.log")
    export WEB=http://127.0.0.1:${port#port }
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example
}
file_teardown() { kill "$(cat "$CTR_HOME/web.pid")"; }

# repository NAME: of the current directory, at $WEB/NAME.git; its commit on standard output
repository() {
    git init -q -b main .
    git add -A
    git commit -qm one
    git rev-parse HEAD
    git clone -q --bare . "$CTR_HOME/web/$1.git"
    git -C "$CTR_HOME/web/$1.git" update-server-info
}
files() { in_image "$1" sh -c 'cd /x && find . ! -path "*/.git/*" | sort' | paste -sd ' '; }

@test "a tar on standard input, plain and compressed, or at a URL; the Dockerfile on standard input or at a URL" {
    n=$(unique)
    mkdir -p ctx/sub
    printf 'FROM busybox\nCOPY . /x/\n' >ctx/Dockerfile
    printf 'FROM busybox\nCOPY sub /x/\n' | tee ctx/sub/Other >"$CTR_HOME/web/$n.df"
    printf 'sub/no\n' >ctx/.dockerignore
    printf 'sub/Other\nsub/no\n' >ctx/sub/Other.dockerignore
    echo y >ctx/sub/yes; echo n >ctx/sub/no; ln -s /etc/passwd ctx/out
    tar -C ctx -cf ctx.tar .
    gzip -k ctx.tar; xz -k ctx.tar; zstd -q ctx.tar; bzip2 -k ctx.tar
    for tar in ctx.tar ctx.tar.gz ctx.tar.xz ctx.tar.zst ctx.tar.bz2; do
        coracle build -q -t "$n" - <$tar >/dev/null
    done
    assert_eq "$(files "$n")" ". ./.dockerignore ./Dockerfile ./out ./sub ./sub/Other ./sub/Other.dockerignore ./sub/yes"
    coracle build -q -t "$n" -f sub/Other - <ctx.tar.gz >/dev/null
    assert_eq "$(files "$n")" ". ./Other.dockerignore ./yes"
    cp ctx.tar.gz "$CTR_HOME/web/$n.tar.gz"
    coracle build -q -t "$n" "$WEB/$n.tar.gz" >/dev/null
    assert_eq "$(files "$n")" ". ./.dockerignore ./Dockerfile ./out ./sub ./sub/Other ./sub/Other.dockerignore ./sub/yes"
    run -1 coracle build "$WEB/$n.df"
    assert_output_has 'no build context'
    coracle build -q -t "$n" -f "$WEB/$n.df" ctx >/dev/null
    assert_eq "$(files "$n")" ". ./Other ./Other.dockerignore ./yes"
    printf 'FROM busybox\nCOPY sub/yes /x/\n' | coracle build -q -t "$n" -f - ctx >/dev/null
    assert_eq "$(files "$n")" ". ./yes"
    run -1 coracle build -f - - <ctx.tar
    assert_output_has "can't use stdin for both"
    printf 'FROM busybox\nCOPY out /x\n' >ctx/Dockerfile
    tar -C ctx -cf bad.tar .
    run -1 coracle build - <bad.tar
    assert_output_has '"/out": not found'
    run -1 coracle build "$WEB/none.tar"
    assert_output_has 'status 404'
    run -1 coracle build "ftp://127.0.0.1/x"
    assert_output_has 'a build context is a directory'
    head -c 100 ctx.tar.gz >cut.tar
    run -1 coracle build - <cut.tar
    assert_eq "$(find "$STORE/tmp" -mindepth 1 -name context)" ""
}

@test "git: the branch, tag, commit and directory of a URL; file:// is not read" {
    n=$(unique)
    mkdir repo && cd repo
    mkdir sub && echo one >sub/f && printf 'FROM busybox\nCOPY . /x/\n' | tee Dockerfile >sub/Dockerfile
    first=$(repository "$n")
    git tag v1 && echo two >sub/f && git commit -qam two && git push -q "$CTR_HOME/web/$n.git" main v1
    git -C "$CTR_HOME/web/$n.git" update-server-info
    cd ..
    for ref in "" "#v1:sub" "#$first:sub" "#${first:0:10}:sub"; do
        coracle build -q -t "$n" "$WEB/$n.git$ref" >/dev/null
        case $ref in
        "") want=". ./Dockerfile ./sub ./sub/Dockerfile ./sub/f" ;;
        *) want=". ./Dockerfile ./f" ;;
        esac
        case $ref in *v1* | *"${first:0:10}"*) want+=" one" ;; *) want+=" two" ;; esac
        assert_eq "$(in_image "$n" sh -c 'cd /x; find . | sort; cat f sub/f 2>/dev/null' | paste -sd ' ')" "$want"
    done
    coracle build -q -t "$n" --build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1 "$WEB/$n.git" >/dev/null
    in_image "$n" test -d /x/.git
    run -1 coracle build "$WEB/$n.git#none"
    assert_output_has "failed to fetch $WEB/$n.git#none"
    run -1 coracle build "$WEB/$n.git#:none"
    assert_output_has "none"
    run -1 coracle build "file://$CTR_HOME/web/$n.git"
    assert_output_has "a build context is a directory"
    # a submodule that points at a file of the host
    mkdir evil && cd evil
    printf 'FROM busybox\nCOPY . /x/\n' >Dockerfile
    git init -q -b main . && git -c protocol.file.allow=always submodule --quiet add "$CTR_HOME/web/$n.git" m
    repository "$n-evil" >/dev/null
    run -1 coracle build "$WEB/$n-evil.git"
    assert_output_has "git submodule: "
}

@test "ADD of archives: known by what they hold, not by what they are called" {
    n=$(unique)
    mkdir -p "$T/ar"
    cd "$T"
    echo in >ar/in
    tar -cf plain.gz -C ar in
    tar -czf gz.txt -C ar in
    tar -cjf bz -C ar in
    tar -cJf xz.bin -C ar in
    tar -c --zstd -f zst.zip -C ar in
    echo text >not.tar.gz
    : >empty.tgz
    gzip -c not.tar.gz >text.tar.gz
    head -c 20 gz.txt >cut.tar.gz
    build "$n" <<'E'
FROM busybox
ADD plain.gz /plain/
ADD gz.txt /gz
ADD bz /bz/
ADD xz.bin /xz/
ADD zst.zip /zst/
ADD not.tar.gz empty.tgz text.tar.gz gz.txt /all/
ADD text.tar.gz /name
ADD cut.tar.gz /cut
ADD --unpack=false gz.txt /raw
E
    run -0 in_image "$n" sh -c 'cat /plain/in /gz/in /bz/in /xz/in /zst/in /all/in; echo /all/*; cmp /all/text.tar.gz /name; busybox wc -c </raw; busybox wc -c </cut'
    assert_eq "$output" "in
in
in
in
in
in
/all/empty.tgz /all/in /all/not.tar.gz /all/text.tar.gz
$(stat -c %s gz.txt)
20"
    refused 'not a sound tar archive' <<<'FROM busybox
ADD --unpack text.tar.gz /x/'
}

@test "ADD of URLs and repositories: names, times, modes, owners, checksums; what is not fetched again" {
    n=$(unique)
    printf data >"$CTR_HOME/web/$n.bin"
    touch -d '2001-02-03 04:05:06 UTC' "$CTR_HOME/web/$n.bin"
    mkdir arc && echo a >arc/a && tar -C arc -czf "$CTR_HOME/web/$n.tgz" .
    mkdir repo && (cd repo && echo r >r && mkdir d && echo s >d/s && repository "$n") >commit
    sum=$(sha256sum <"$CTR_HOME/web/$n.bin" | cut -d' ' -f1)
    file="FROM busybox
ARG URL=$WEB/$n
ADD \$URL.bin /x/
ADD --chmod=u=rw,go=r --chown=3:4 $WEB/$n.bin?q=1#f /x/named
ADD --checksum=sha256:$sum $WEB/$n.bin /x/sum
ADD $WEB/$n.tgz /x/
ADD --unpack=true $WEB/$n.tgz /x/un
ADD $WEB/$n.git /x/git
ADD --keep-git-dir=true --checksum=$(cat commit) $WEB/$n.git#main:d /x/sub/"
    build "$n" <<<"$file"
    assert_eq "$(in_image "$n" sh -c 'cd /x; stat -c "%n %a %u:%g %Y" *.bin named sum *.tgz | sed "s/^t[^.]*//"; ls -A un git sub')" "$(printf '.bin 600 0:0 981173106\nnamed 644 3:4 981173106\nsum 600 0:0 981173106\n.tgz 600 0:0 %s\ngit:\nd\nr\n\nsub:\ns\n\nun:\na' "$(stat -c %Y "$CTR_HOME/web/$n.tgz")")"
    touch -d '2002-01-01' "$CTR_HOME/web/$n.bin"
    build "$n" <<<"$file"
    assert_eq "$(cached)" 7
    printf other >"$CTR_HOME/web/$n.bin"
    build "$n" <<<"${file/ --checksum=sha256:$sum/}"
    assert_eq "$(cached)" 0
    refused 'digest mismatch sha256:' <<<"FROM busybox"$'\n'"ADD --checksum=sha256:$sum $WEB/$n.bin /y"
    refused 'expected checksum to match abcdef0123' <<<"FROM busybox"$'\n'"ADD --checksum=abcdef0123 $WEB/$n.git /y"
    while IFS='|' read -r line want; do refused "$want" <<<"FROM busybox"$'\n'"$line"; done <<E
ADD --checksum=x $WEB/$n.bin /y|invalid checksum digest format
ADD --checksum=sha512:ab $WEB/$n.bin /y|only sha256 is computed
ADD --checksum=sha256:$sum commit /y|checksum requires HTTP(S) or Git sources
ADD --keep-git-dir $WEB/$n.bin /y|--keep-git-dir is for
ADD $WEB/ /y/|could not determine the filename
ADD $WEB/none /y|status 404
ADD file://$T/commit /y|not found
COPY $WEB/$n.bin /y|not found
COPY --chmod=u+q commit /y|invalid chmod parameter
E
}

@test "named contexts: a directory with its .dockerignore, a tar, a repository, an OCI layout; in the place of images and stages" {
    n=$(unique)
    mkdir other && echo o >other/o && echo i >other/i && echo i >other/.dockerignore
    tar -C other -czf "$CTR_HOME/web/$n.tar.gz" o
    mkdir repo && (cd repo && echo r >r && repository "$n") >/dev/null
    coracle save --format oci-dir -o layout busybox
    build "$n" --build-context "dir=$T/other" --build-context "tar=$WEB/$n.tar.gz" --build-context "git=$WEB/$n.git" \
        --build-context "base=oci-layout://$T/layout" --build-context "stage=$T/other" --build-context "image:latest=docker-image://busybox" <<'E'
FROM busybox AS stage
RUN exit 9
FROM image AS i
FROM stage AS files
COPY --from=tar o /two
FROM base
COPY --from=dir . /x/dir/
COPY --from=tar . /x/tar/
COPY --from=git . /x/git/
COPY --from=files . /x/files/
COPY --from=i /bin/busybox /x/
E
    assert_eq "$(files "$n")" ". ./busybox ./dir ./dir/.dockerignore ./dir/o ./files ./files/.dockerignore ./files/o ./files/two ./git ./git/r ./tar ./tar/o"
    refused 'unable to prepare context' --build-context "no=$T/none" <<<$'FROM busybox\nCOPY --from=no . /x'
}
