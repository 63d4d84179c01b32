#!/usr/bin/env bats
# pull: from real registries (plain, TLS, basic and token credentials), through mirrors, and through a proxy that misbehaves.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_start secured tls-basic
    proxy_start proxy plain
    static_start files
    ln -s files "$CTR_HOME/static/paced"
    registry_push plain "$(layout tiny):latest" tiny:1
    registry_push plain "$(layout tiny):latest" library/busybox:latest
    registry_push plain "$(layout multi --arch amd64,arm64,arm/v7 --attestation):latest" multi:1
    registry_push plain "$(layout big --layers 3 --size 3000000):latest" big:1
    registry_push plain "$(layout zst --zstd):latest" zst:1
    registry_push secured "$(layout tiny):latest" private/tiny:1
}
file_teardown() { registry_stop_all; }

setup() {
    P=$(registry_addr plain) S=$(registry_addr secured) X=$(registry_addr proxy)
    rm -rf "$HOME/.docker" "$HOME/.config" "$CTR_HOME/static/files/hold"
    no_images
    proxy_fault proxy '[]'
}

configure() {
    mkdir -p "$HOME/.config/coracle"
    echo "$1" >"$HOME/.config/coracle/config.json"
}
digest_of() { skopeo --insecure-policy inspect --tls-verify=false --format '{{.Digest}}' "docker://$1"; }
works() { assert_eq "$(coracle run --rm --network none "$1" echo works 2>&1)" works; }
# Bytes of blobs that the proxy's client was sent since the last proxy_fault, 200 as whole and 206 from its offset; cuts in $1.
requests() { proxy_log proxy | jq -r ".[] | select(.path | test(\"$1\")) | \"\(.method) \(.status) \(.range) \(.auth)\""; }
blob_of() { jq -r ".layers[$2].digest" "$CTR_HOME/layouts/$1/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' "$CTR_HOME/layouts/$1/index.json")"; }

# ---- names ----

@test "by tag: what it says, what it stores, and the image runs" {
    run --separate-stderr -0 coracle pull "$P/tiny:1"
    digest=$(digest_of "$P/tiny:1")
    assert_output_has "Pulling from tiny"
    assert_output_has "Digest: $digest"
    assert_output_has "Status: Downloaded newer image for $P/tiny:1"
    assert_eq "${lines[-1]}" "$P/tiny:1"
    assert_eq "$(coracle image inspect -f '{{index .RepoDigests 0}}' "$P/tiny:1")" "$P/tiny@$digest"
    works "$P/tiny:1"
    assert_eq "$(stat -c %a "$STORE")" 700
}

@test "a second pull is up to date, with one request" {
    coracle pull "$X/tiny:1"
    proxy_fault proxy '[]'
    run -0 coracle pull "$X/tiny:1"
    assert_output_has "Status: Image is up to date for $X/tiny:1"
    assert_eq "$(proxy_log proxy | jq -r '.[] | .method + " " + .path')" "HEAD /v2/tiny/manifests/1"
}

@test "a tag that has moved brings the new image, and the old one loses its name" {
    registry_push plain "$(layout tiny):latest" moving:1
    coracle pull -q "$P/moving:1"
    old=$(coracle images -q --no-trunc)
    registry_push plain "$(layout big --layers 3 --size 3000000):latest" moving:1
    run -0 coracle pull "$P/moving:1"
    assert_output_has "Downloaded newer image"
    new=$(coracle image inspect -f '{{.Id}}' "$P/moving:1")
    [ "$new" != "$old" ]
    assert_eq "$(coracle image inspect -f '{{json .RepoTags}}' "$old")" "[]"
}

@test "by digest: manifest and index; a tag beside a digest does not count" {
    digest=$(digest_of "$P/tiny:1")
    run -0 coracle pull "$P/tiny@$digest"
    assert_output_has "$P/tiny@$digest"
    assert_eq "$(coracle images --format '{{.Repository}} {{.Tag}} {{.Digest}}')" "$P/tiny <none> $digest"
    works "$P/tiny@$digest"
    index=$(curl -sI -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$P/v2/multi/manifests/1" | tr -d '\r' | sed -n 's/^Docker-Content-Digest: //p')
    coracle pull -q "$P/multi:nosuchtag@$index"
    assert_eq "$(coracle image inspect -f '{{.Architecture}}' "$P/multi@$index")" amd64
}

@test "a digest that the registry does not have, a tag that it does not have, a repository that it does not have" {
    run coracle pull "$P/tiny@sha256:$(printf 0%.0s $(seq 64))"
    assert_status 1
    assert_output_has "not found"
    run coracle pull "$P/tiny:nope"
    assert_status 1
    assert_output_has "manifest for $P/tiny:nope not found"
    run coracle pull "$P/none/such"
    assert_status 1
    assert_output_has "not found"
    assert_eq "$(image_ids)" ""
    store_is_clean
}

@test "-q prints the name only, on stdout; errors go to stderr" {
    run --separate-stderr -0 coracle pull -q "$P/tiny:1"
    assert_eq "$output" "$P/tiny:1"
    assert_eq "$stderr" ""
    run --separate-stderr coracle pull -q "$P/tiny:nope"
    assert_status 1
    assert_eq "$output" ""
}

@test "short names go to the mirror, and the image has docker's name" {
    configure "{\"registry-mirrors\": [\"http://$P\"]}"
    run -0 coracle pull busybox
    assert_output_has "Pulling from library/busybox"
    assert_eq "${lines[-1]}" docker.io/library/busybox:latest
    assert_eq "$(coracle images --format '{{.Repository}}:{{.Tag}}')" busybox:latest
    works busybox
    works docker.io/library/busybox:latest
    run -0 coracle pull docker.io/busybox
    assert_output_has "up to date"
}

@test "a mirror that fails is passed over; one that lies is not believed" {
    mkdir -p "$CTR_HOME/static/files/library/busybox/manifests"
    echo '{"not": "a manifest"}' >"$CTR_HOME/static/files/library/busybox/manifests/latest"
    configure "{\"registry-mirrors\": [\"http://localhost:1\", \"http://$(registry_addr static-files)\", \"http://$P\"]}"
    coracle pull -q busybox
    works busybox
}

@test "run pulls what is missing; --pull never does not, --pull always asks again" {
    configure "{\"registry-mirrors\": [\"http://$X\"]}"
    run coracle run --rm --network none --pull never busybox true
    assert_status 125
    assert_output_has "No such image"
    run --separate-stderr -0 coracle run --rm --network none busybox echo hello
    assert_eq "$output" hello
    case $stderr in *"Unable to find image 'busybox:latest' locally"*) ;; *) fail "stderr: $stderr" ;; esac
    proxy_fault proxy '[]'
    coracle run --rm --network none busybox true
    assert_eq "$(proxy_log proxy | jq length)" 0
    coracle run --rm --network none --pull always -q busybox true 2>/dev/null || coracle run --rm --network none --pull always busybox true
    [ "$(proxy_log proxy | jq length)" -ge 1 ]
}

@test "names that are not references are refused before anybody is asked" {
    for name in Upper low/Upper '' 'a b' 'x:' 'localhost:5000/' 'a//b' '../x' 'x@sha256:12' "x:$(printf a%.0s $(seq 129))" 'http://x/y'; do
        run coracle pull "$name"
        assert_status 1
        assert_output_has "invalid reference format"
    done
}

# ---- platforms and formats ----

@test "--platform chooses from an index; attestations are no images" {
    coracle pull -q "$P/multi:1"
    assert_eq "$(coracle image inspect -f '{{.Os}}/{{.Architecture}}' "$P/multi:1")" linux/amd64
    coracle pull -q --platform linux/arm64 "$P/multi:1"
    assert_eq "$(coracle image inspect -f '{{.Architecture}}' "$P/multi:1")" arm64
    coracle pull -q --platform linux/arm/v7 "$P/multi:1"
    assert_eq "$(coracle image inspect -f '{{.Config.Env}}' "$P/multi:1")" '[PATH=/bin:/usr/bin ARCH=arm]'
    run coracle pull --platform linux/s390x "$P/multi:1"
    assert_status 1
    assert_output_has s390x
    assert_output_has linux/arm64
    refute_output_has unknown/unknown
    run coracle pull --platform 'lin ux/x/y/z' "$P/multi:1"
    assert_status 1
}

@test "zstd, gzip and plain layers, docker's and OCI's manifests: the same files" {
    registry_push plain "$(layout unpacked --plain):latest" unpacked:1
    skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false --format v2s2 "docker://$P/tiny:1" "docker://$P/v2s2:1"
    for name in tiny zst unpacked v2s2; do coracle pull -q "$P/$name:1"; done
    want=$(tree "$(layer_dir "$P/tiny:1" 0)")
    for name in zst unpacked v2s2; do
        assert_eq "$(tree "$(layer_dir "$P/$name:1" 0)")" "$want"
        works "$P/$name:1"
    done
    # equal layers are on the disk once
    assert_eq "$(ls "$STORE/layers" | wc -l)" 2
}

@test "an image with the same layer twice, and one with the layers of another" {
    registry_push plain "$(layout same --layers 3 --same):latest" same:1
    coracle pull -q "$P/same:1"
    works "$P/same:1"
    run -0 coracle pull "$P/tiny:1"
    assert_output_has "Already exists"
}

# ---- TLS and credentials ----

login() { docker_auth "$HOME/.docker" "$S" "${1:-tester:secret}"; }

@test "credentials of docker's config.json, over TLS" {
    login
    coracle pull -q "$S/private/tiny:1"
    works "$S/private/tiny:1"
}

@test "no credentials, wrong credentials, damaged credentials: said, with the way out, and nothing is stored" {
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has "pull access denied"
    assert_output_has "hint:"
    login tester:wrong
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has unauthorized
    refute_output_has wrong
    echo "{\"auths\":{\"$S\":{\"auth\":\"!!!\"}}}" >"$HOME/.docker/config.json"
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has damaged
    echo '{"auths":' >"$HOME/.docker/config.json"
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has config.json
    assert_eq "$(image_ids)" ""
    store_is_clean
}

@test "DOCKER_CONFIG names another directory" {
    docker_auth "$BATS_TEST_TMPDIR/cfg" "$S" tester:secret
    DOCKER_CONFIG=$BATS_TEST_TMPDIR/cfg coracle pull -q "$S/private/tiny:1"
}

@test "credential helpers: asked for this registry only, and by a pipe" {
    mkdir -p "$BATS_TEST_TMPDIR/bin" "$HOME/.docker"
    cat >"$BATS_TEST_TMPDIR/bin/docker-credential-test" <<H
#!/bin/sh
read -r server
echo "\$1 \$server \$#" >>"$BATS_TEST_TMPDIR/asked"
echo '{"ServerURL":"'"\$server"'","Username":"tester","Secret":"secret"}'
H
    chmod +x "$BATS_TEST_TMPDIR/bin/docker-credential-test"
    echo "{\"credHelpers\":{\"$S\":\"test\"}}" >"$HOME/.docker/config.json"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH coracle pull -q "$S/private/tiny:1"
    assert_eq "$(sort -u "$BATS_TEST_TMPDIR/asked")" "get $S 1"
    : >"$BATS_TEST_TMPDIR/asked"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH coracle pull -q "$P/tiny:1"
    assert_eq "$(cat "$BATS_TEST_TMPDIR/asked")" ""
    coracle rmi "$S/private/tiny:1"
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has "docker-credential-test"
    printf '#!/bin/sh\necho no luck\nexit 3\n' >"$BATS_TEST_TMPDIR/bin/docker-credential-test"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has "no luck"
    echo '{"credsStore":"../../bin/sh"}' >"$HOME/.docker/config.json"
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has unusable
}

@test "tokens: anonymous, with a password, with a refresh token; a token that expires is fetched anew" {
    proxy_start anonymous plain --token anonymous
    coracle pull -q "$REGISTRY/tiny:1"
    proxy_start token plain --token tester:secret
    T=$REGISTRY
    run coracle pull "$T/tiny:1"
    assert_status 1
    assert_output_has "hint:"
    docker_auth "$HOME/.docker" "$T" tester:secret
    coracle pull -q "$T/tiny:1"
    proxy_expire token
    coracle pull -q "$T/zst:1"
    docker_auth "$HOME/.docker" "$T" "" refresh-me
    coracle pull -q "$T/big:1"
    assert_eq "$(proxy_log token | jq -r '.[] | select(.method == "POST") | .path')" /token
    registry_stop token
    registry_stop anonymous
}

@test "a token that expires between the layers" {
    proxy_start token plain --token tester:secret
    docker_auth "$HOME/.docker" "$REGISTRY" tester:secret
    proxy_fault token '[{"match": "GET .*/blobs/", "skip": 1, "status": 401, "headers": {"WWW-Authenticate": "Bearer realm=\"http://'"$REGISTRY"'/token\",service=\"test\""}, "no_auth": true}]'
    coracle pull -q "$REGISTRY/big:1"
    works "$REGISTRY/big:1"
    registry_stop token
}

@test "a registry that wants the password at another host in clear does not get it" {
    proxy_start greedy plain --token tester:secret --realm http://192.0.2.1/token
    docker_auth "$HOME/.docker" "$REGISTRY" tester:secret
    run timeout "$(patience 60)" coracle pull "$REGISTRY/tiny:1"
    assert_status 1
    assert_output_has "in clear"
    registry_stop greedy
}

@test "certificates: an authority of one's own is used, a wrong one is refused" {
    login
    mkdir -p "$HOME/.config/docker/certs.d/$S"
    cp "$(registry_ca)" "$HOME/.config/docker/certs.d/$S/ca.crt"
    coracle pull -q "$S/private/tiny:1"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj "/CN=another" -keyout /dev/null -out "$HOME/.config/docker/certs.d/$S/ca.crt" 2>/dev/null
    run coracle pull "$S/private/tiny:1"
    assert_status 1
    assert_output_has certificate
    assert_output_has "hint:"
}

@test "a host that is not loopback: TLS is checked, plain http needs the configuration" {
    registry_ca >/dev/null
    cp "$REGISTRY_BASE/ca/ca.crt" "$CTR_HOME/tmp/"
    proxy_start outside plain --tls "$REGISTRY_BASE/ca/server.crt" "$REGISTRY_BASE/ca/server.key"
    T=registry.test:${REGISTRY##*:} H=registry.test:${P##*:}
    run nested 'echo 127.0.0.1 registry.test other.test >>"$D/hosts"' "
        coracle pull $T/tiny:1 && echo UNVERIFIED
        coracle pull $H/tiny:1 && echo CLEAR
        mkdir -p ~/.config/containers/certs.d/$T ~/.config/coracle
        cp $CTR_HOME/tmp/ca.crt ~/.config/containers/certs.d/$T/
        coracle pull -q $T/tiny:1
        mkdir -p ~/.config/containers/certs.d/other.test:${T##*:}
        cp $CTR_HOME/tmp/ca.crt ~/.config/containers/certs.d/other.test:${T##*:}/
        coracle pull -q other.test:${T##*:}/tiny:1 && echo WRONGNAME
        echo '{\"insecure-registries\": [\"$H\"]}' >~/.config/coracle/config.json
        coracle pull -q $H/tiny:1
        coracle run --rm --network none $H/tiny:1 echo runs"
    assert_output_has "$T/tiny:1"
    assert_output_has "hint: put the registry's authority"
    assert_output_has 'plain http must be named in "insecure-registries"'
    refute_output_has UNVERIFIED
    refute_output_has CLEAR
    refute_output_has WRONGNAME
    assert_eq "${lines[-2]}" "$H/tiny:1"
    assert_eq "${lines[-1]}" runs
    registry_stop outside
}

# ---- configuration, environment, terminal ----

@test "a proxy of the environment is used, for hosts that no_proxy does not name" {
    layout tiny >/dev/null
    static_repo tiny library/tiny
    static_reset files
    F=$(registry_addr static-files)
    configure '{"registry-mirrors": ["http://registry.invalid"], "insecure-registries": ["registry.invalid"]}'
    http_proxy=http://$F coracle pull -q tiny:1
    works tiny:1
    [ "$(static_log files | grep -c 'GET http://registry.invalid/v2/library/tiny/')" -ge 3 ] || fail "$(static_log files)"
    no_images
    static_reset files
    http_proxy=http://$F no_proxy=registry.invalid run coracle pull tiny:1
    assert_status 1
    assert_output_has "resolve"
    assert_eq "$(static_log files)" ""
}

@test "a configuration that is damaged is named, with the place" {
    for text in '{"registry-mirrors": ' '{"registry-mirrors": "http://x"}' '{"registry-mirrors": [1]}' '[]'; do
        configure "$text"
        run coracle pull busybox
        assert_status 1
        assert_output_has "config.json"
    done
    configure '{"registry-mirrors": ["http://mirror.invalid"]}'
    run coracle pull busybox
    assert_status 1
    assert_output_has "insecure-registries"
}

@test "--root and CORACLE_ROOT name another store; without a runtime directory it works too" {
    coracle --root "$BATS_TEST_TMPDIR/r" pull -q "$P/tiny:1"
    assert_eq "$(image_ids)" ""
    assert_eq "$(CORACLE_ROOT=$BATS_TEST_TMPDIR/r coracle images --format '{{.Repository}}')" "$P/tiny"
    unshare --map-auto --map-root-user rm -rf "$BATS_TEST_TMPDIR/r"
    env -u XDG_RUNTIME_DIR coracle pull -q "$P/tiny:1"
    works "$P/tiny:1"
    run env HOME=/nonexistent coracle pull "$P/tiny:1"
    assert_status 1
    assert_output_has /nonexistent
    mkdir "$BATS_TEST_TMPDIR/notastore"
    touch "$BATS_TEST_TMPDIR/notastore/file"
    run coracle --root "$BATS_TEST_TMPDIR/notastore" pull "$P/tiny:1"
    assert_status 1
    assert_output_has "neither empty nor a coracle store"
    assert_eq "$(ls "$BATS_TEST_TMPDIR/notastore")" file
}

@test "on a terminal: progress that is redrawn, and the same last lines" {
    run -0 script -qec "coracle pull $P/big:1" /dev/null
    assert_output_has $'\e['
    assert_output_has "Pull complete"
    assert_output_has "Status: Downloaded newer image for $P/big:1"
    run -0 coracle pull "$P/tiny:1"
    refute_output_has $'\e'
    run bash -c "coracle pull $P/zst:1 >/dev/full"
    assert_status 1
    assert_output_has "no space left on device"
}

@test "a hundred layers" {
    layout tall --layers 100 >/dev/null
    static_repo tall tall
    F=$(registry_addr static-files)
    coracle pull -q "$F/tall:1"
    assert_eq "$(coracle run --rm --network none "$F/tall:1" sh -c 'cat /layer1 /layer50 /layer99' 2>&1)" $'layer 1\nlayer 50\nlayer 99'
    store_is_clean
}

# ---- a registry that is busy, gone, or far away ----

# Hundredths of a second, by a clock that nobody sets.
monotonic() { cut -d' ' -f1 /proc/uptime | tr -d .; }

@test "429 and 503 are waited out; Retry-After is respected" {
    proxy_fault proxy '[{"match": "GET .*/manifests/", "status": 503}, {"match": "GET .*/blobs/", "status": 429, "headers": {"Retry-After": "1"}}]'
    begun=$(monotonic)
    coracle pull -q "$X/tiny:1"
    [ $(($(monotonic) - begun)) -ge 100 ]
    works "$X/tiny:1"
}

@test "a registry that only ever says 429 or 500" {
    proxy_fault proxy '[{"match": "GET", "times": -1, "status": 429, "headers": {"Retry-After": "100000"}}]'
    run timeout "$(patience 90)" coracle pull "$X/tiny:1"
    assert_status 1
    assert_output_has toomanyrequests
    proxy_fault proxy '[{"match": "GET .*/manifests", "times": -1, "status": 418, "body": "{\"errors\":[{\"code\":\"TEAPOT\",\"message\":\"short\\u001b[31m and stout\"}]}"}]'
    run timeout "$(patience 90)" coracle pull "$X/tiny:1"
    assert_status 1
    assert_output_has 418
    assert_output_has "and stout"
    refute_output_has $'\e'
}

@test "an unreachable registry is said at once, not tried again" {
    for where in localhost:1 127.0.0.1:1 no-such-host.invalid; do
        run timeout "$(patience 90)" coracle pull "$where/x"
        assert_status 1
        assert_output_has "${where%:*}"
    done
}

@test "redirects: followed to another host without the password; not to file:, not for ever" {
    proxy_start basic plain --basic tester:secret
    docker_auth "$HOME/.docker" "$REGISTRY" tester:secret
    B=$REGISTRY
    proxy_fault basic "[{\"match\": \"GET .*/blobs/\", \"times\": -1, \"redirect\": \"http://127.0.0.1:${X##*:}{path}\"}]"
    coracle pull -q "$B/tiny:1"
    works "$B/tiny:1"
    assert_eq "$(requests blobs | sort -u)" "GET 200 null null"
    assert_eq "$(proxy_log basic | jq -r '.[] | select(.path | test("blobs")) | .auth' | sort -u)" Basic
    no_images
    for to in file:///etc/passwd ftp://localhost/x gopher://localhost/x "http://$B/v2/{path}/../loop"; do
        proxy_fault basic "[{\"match\": \"GET .*/blobs/|loop\", \"times\": -1, \"redirect\": \"$to\"}]"
        run timeout "$(patience 60)" coracle pull "$B/tiny:1"
        assert_status 1
        assert_output_has redirect
    done
    assert_eq "$(image_ids)" ""
    registry_stop basic
}

@test "https does not become http on the way" {
    registry_ca >/dev/null
    proxy_start downgrade plain --tls "$REGISTRY_BASE/ca/server.crt" "$REGISTRY_BASE/ca/server.key"
    T=$REGISTRY
    proxy_fault downgrade "[{\"match\": \"GET .*/blobs/\", \"times\": -1, \"redirect\": \"http://$X{path}\"}]"
    run timeout "$(patience 60)" coracle pull "$T/tiny:1"
    assert_status 1
    assert_output_has redirect
    assert_eq "$(requests blobs)" ""
    registry_stop downgrade
}

# ---- broken downloads ----

@test "connections that break: resumed by Range within one pull, and no byte is fetched twice" {
    blob=$(blob_of big 2)
    size=$(stat -c %s "$CTR_HOME/layouts/big/blobs/sha256/${blob#*:}")
    proxy_fault proxy "[{\"match\": \"GET .*$blob\", \"times\": 3, \"cut\": 700000}]"
    coracle pull -q "$X/big:1"
    works "$X/big:1"
    assert_eq "$(requests "$blob" | cut -d' ' -f1-3)" "$(printf 'GET 200 null\nGET 206 bytes=700000-\nGET 206 bytes=1400000-\nGET 206 bytes=2100000-')"
    assert_eq "$(sha256sum <"$STORE/blobs/sha256/${blob#*:}" | cut -d' ' -f1)" "${blob#*:}"
    [ "$size" -gt 2100000 ]
    store_is_clean
}

@test "a pull that gave up leaves nothing to see; the next one goes on where it stopped" {
    blob=$(blob_of big 2)
    proxy_fault proxy "[{\"match\": \"GET .*$blob\", \"times\": 1, \"cut\": 1000000}, {\"match\": \"GET .*$blob\", \"times\": -1, \"status\": 404}]"
    run coracle pull "$X/big:1"
    assert_status 1
    assert_output_has "${blob:0:19}"
    assert_eq "$(image_ids)" ""
    assert_eq "$(coracle image inspect "$X/big:1" 2>/dev/null)" "[]"
    [ "$(stat -c %s "$STORE/blobs/partial/${blob#*:}")" = 1000000 ]
    proxy_fault proxy '[]'
    coracle pull -q "$X/big:1"
    assert_eq "$(requests "$blob" | cut -d' ' -f1-3)" "GET 206 bytes=1000000-"
    works "$X/big:1"
    store_is_clean
}

@test "a server that ignores or misunderstands Range costs bytes, not correctness" {
    blob=$(blob_of big 2)
    for how in ignore_range wrong_range; do
        proxy_fault proxy "[{\"match\": \"GET .*$blob\", \"cut\": 500000}, {\"match\": \"GET .*$blob\", \"$how\": true}]"
        coracle pull -q "$X/big:1"
        works "$X/big:1"
        no_images
    done
    store_is_clean
}

@test "partial bytes that are wrong are dropped, not resumed for ever" {
    blob=$(blob_of big 2)
    mkdir -p "$STORE/blobs/partial"
    head -c 600000 /dev/urandom >"$STORE/blobs/partial/${blob#*:}"
    coracle pull -q "$X/big:1" || coracle pull -q "$X/big:1"
    works "$X/big:1"
    store_is_clean
}

@test "Ctrl-C, SIGTERM, SIGHUP: soon over, exit code 128+n, nothing visible, no debris, and resumable" {
    layout slow --layers 2 --size 2000000 >/dev/null
    static_repo slow slow
    static_start paced --rate 4000000
    signals=(- INT TERM HUP)
    for i in 1 2 3; do
        static_reset paced
        echo $((i * 300000 + 700000)) >"$CTR_HOME/static/files/hold" # it is not through before the signal
        # a shell's background jobs ignore SIGINT; env gives it back
        env --default-signal=INT coracle pull "$REGISTRY/slow:1" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
        pid=$!
        wait_for partial_larger_than $((i * 300000))
        kill -"${signals[i]}" "$pid"
        rc=0
        wait "$pid" || rc=$?
        assert_eq "$rc" $((128 + $(kill -l "${signals[i]}")))
        assert_eq "$(image_ids)" ""
        wait_for tmp_is_empty || fail "debris"
    done
    rm "$CTR_HOME/static/files/hold"
    coracle pull -q "$REGISTRY/slow:1"
    works "$REGISTRY/slow:1"
    store_is_clean
}
partial_larger_than() { [ "$(stat -c %s "$STORE"/blobs/partial/* 2>/dev/null | sort -n | tail -1)" -gt "$1" ] 2>/dev/null; }
# static_repo LAYOUT REPO: lays a layout out for the static registry as REPO:1
static_repo() {
    local d=$CTR_HOME/static/files l=$CTR_HOME/layouts/$1 top f
    mkdir -p "$d/$2/manifests" "$d/blobs"
    top=$(jq -r '.manifests[0].digest[7:]' "$l/index.json")
    cp "$l/blobs/sha256/$top" "$d/$2/manifests/1"
    for f in "$l"/blobs/sha256/*; do cp "$f" "$d/blobs/sha256:${f##*/}"; done
}

@test "eight pulls of the same image at once fetch each layer once, and all succeed" {
    layout slow --layers 2 --size 2000000 >/dev/null
    static_repo slow slow
    static_start paced --rate 4000000
    static_reset paced
    pids=()
    for n in 1 2 3 4 5 6 7 8; do
        coracle pull -q "$REGISTRY/slow:1" >"$BATS_TEST_TMPDIR/$n" 2>&1 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || fail "$(cat "$BATS_TEST_TMPDIR"/[1-8])"; done
    works "$REGISTRY/slow:1"
    assert_eq "$(static_log paced | awk '/blobs/ && $6 > 100000' | grep -o 'sha256:[0-9a-f]*' | sort | uniq -d)" ""
    sent=$(static_log paced | awk '/blobs/ { n += $6 } END { print n }')
    size=$(cat "$CTR_HOME"/layouts/slow/blobs/sha256/* | wc -c)
    [ "$sent" -le $((size * 105 / 100)) ] || fail "$sent bytes of $size"
    store_is_clean
}

@test "images that are removed meanwhile do not take a pull's layers along" {
    layout slow --layers 2 --size 2000000 >/dev/null
    static_repo slow slow
    static_start paced --rate 2500000
    echo 600000 >"$CTR_HOME/static/files/hold" # there is more to come, while images go
    coracle pull -q "$REGISTRY/slow:1" >"$BATS_TEST_TMPDIR/a" 2>&1 3>&- &
    pid=$!
    wait_for partial_larger_than 500000
    for i in 1 2 3 4 5; do
        [ $i != 3 ] || rm "$CTR_HOME/static/files/hold"
        coracle import "$(image_tar busybox)" "other:$i" >/dev/null
        coracle rmi "other:$i" >/dev/null
    done
    wait "$pid" || fail "$(cat "$BATS_TEST_TMPDIR/a")"
    works "$REGISTRY/slow:1"
    coracle import "$(image_tar busybox)" other:6 >/dev/null
    coracle rmi other:6 >/dev/null
    store_settles
    works "$REGISTRY/slow:1"
    store_is_clean
}

# ---- the store ----

@test "a disk that is full at any size: each time said, and what is there is whole" {
    run nested 'for s in $(seq 200 900 8000); do mkdir -p "$D/disks/$s"; mount -t tmpfs -o size=${s}k,mode=755,uid=1000,gid=1000 tmpfs "$D/disks/$s"; done
        for s in 5 20 40 60 80; do mkdir -p "$D/disks/inodes$s"; mount -t tmpfs -o nr_inodes=$s,size=20m,mode=755,uid=1000,gid=1000 tmpfs "$D/disks/inodes$s"; done' "
        for d in \$D/disks/*; do
            export CORACLE_ROOT=\$d
            rc=0
            said=\$(coracle pull -q $P/big:1 2>&1) || rc=\$?
            shown=\$(coracle images -q 2>/dev/null)
            for i in \$(seq 600); do [ -n \"\$(ls \$d/tmp 2>/dev/null)\" ] || break; sleep 0.05; done
            case \$rc,\$said in
            0,*) [ \"\$(coracle run --rm --network none $P/big:1 echo whole 2>/dev/null)\" = whole ] || [ \"\${d##*/}\" = inodes80 ] || ! coracle create $P/big:1 >/dev/null 2>&1 || echo BAD \$d does not run ;;
            1,*'no space left on device'*) [ -z \"\$shown\" ] || echo BAD \$d shows \$shown ;;
            *) echo BAD \$d: \$rc \$said ;;
            esac
            [ -z \"\$(ls \$d/tmp 2>/dev/null)\" ] || echo BAD \$d debris
            echo \$rc
        done"
    refute_output_has BAD
    assert_output_has 1
    assert_output_has 0
    [ "${#lines[@]}" = 14 ] || fail "${#lines[@]} sizes"
}

@test "a store on a read-only file system: reading works, writing says why not" {
    coracle pull -q "$P/tiny:1"
    run nested "cp -r $STORE/. \$D/disk 2>/dev/null || true; chown -R 1000:1000 \$D/disk; mount --bind \$D/disk \$D/disk; mount -o remount,bind,ro \$D/disk" "
        export CORACLE_ROOT=\$D/disk
        coracle images --format '{{.Repository}}'
        coracle image inspect -f '{{.Os}}' $P/tiny:1
        coracle save $P/tiny:1 | tar -t | grep -c blobs/sha256/.
        coracle ps -q
        coracle pull $P/zst:1; echo exit \$?
        coracle rmi $P/tiny:1; echo exit \$?"
    assert_eq "$(printf '%s\n' "${lines[@]:0:3}")" "$(printf '%s\n' "$P/tiny" linux 4)"
    assert_output_has "read-only file system"
    assert_eq "$(grep -c '^exit 1' <<<"$output")" 2
}

@test "a full disk: said, the image that was there still runs, nothing is left half-done" {
    run nested 'mount -t tmpfs -o size=6m,mode=755 tmpfs "$D/disk"' "
        export CORACLE_ROOT=\$D/disk
        coracle pull -q $P/tiny:1
        coracle pull -q $P/big:1
        echo exit \$?
        coracle images --format '{{.Repository}}'
        for i in \$(seq 600); do [ -n \"\$(ls \$D/disk/tmp)\" ] || break; sleep 0.05; done
        ls \$D/disk/tmp | wc -l
        coracle run --rm --network none $P/tiny:1 echo alive
        coracle rmi $P/tiny:1 >/dev/null && coracle pull -q $P/tiny:1 && coracle run --rm --network none $P/tiny:1 echo again"
    assert_output_has "no space left on device"
    assert_output_has "exit 1"
    assert_eq "$(printf '%s\n' "${lines[@]}" | tail -5)" "$(printf '%s\n' "$P/tiny" 0 alive "$P/tiny:1" again)"
}

@test "a read-only store can be read; writing says why not" {
    coracle pull -q "$P/tiny:1"
    chmod -R a-w "$STORE"
    run coracle images --format '{{.Repository}}'
    assert_eq "$output" "$P/tiny"
    run coracle pull "$P/zst:1"
    chmod -R u+w "$STORE"
    assert_status 1
    assert_output_has denied
    works "$P/tiny:1"
}

@test "no subordinate ids, and no newuidmap: said, with the way out" {
    run nested ': >"$D/subuid"; : >"$D/subgid"' "coracle pull $P/tiny:1; echo exit \$?; coracle images -q"
    assert_output_has "no subordinate user ids for user 'tester'"
    assert_output_has "hint: run 'sudo usermod --add-subuids"
    assert_eq "${lines[-1]}" "exit 1"
    run nested 'rm "$D/bin"/new?idmap; mount -t tmpfs tmpfs /usr/sbin; for d in ${PATH//:/ } /bin /sbin; do for p in newuidmap newgidmap; do [ ! -e $d/$p ] || mount --bind /dev/null $d/$p; done; done' \
        "coracle pull $P/tiny:1; echo exit \$?"
    assert_output_has "'newuidmap' not found"
    assert_output_has "package 'uidmap"
    assert_eq "${lines[-1]}" "exit 1"
}

@test "the helpers, started by hand, say what they are and end" {
    for helper in fetch unpack; do
        run timeout "$(patience 60)" "$CORACLE_BIN/coracle-$helper"
        assert_status 2
        assert_output_has "is a helper of coracle"
        run timeout "$(patience 60)" "$CORACLE_BIN/coracle-$helper" 3</dev/null
        assert_status 2
    done
}
