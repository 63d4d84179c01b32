#!/usr/bin/env bats
# trust: the signature policy of podman and skopeo, obeyed by pull, run and load; what is not understood is refused.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_push plain "$(layout tiny):latest" team/app:1
    registry_push plain "$(layout tiny):latest" other/app:1
    registry_push plain "$(layout more --size 2000):latest" team/unsigned:1
    K=$BATS_FILE_TMPDIR
    skopeo --insecure-policy inspect --tls-verify=false --format '{{.Digest}}' "docker://$(registry_addr plain)/team/app:1" >"$K/digest"
    for k in ours theirs; do
        openssl ecparam -name prime256v1 -genkey -noout -out "$K/$k.key" && openssl pkey -in "$K/$k.key" -pubout -out "$K/$k.pub"
    done
    openssl genrsa -out "$K/rsa.key" 2048 2>/dev/null && openssl pkey -in "$K/rsa.key" -pubout -out "$K/rsa.pub"
    openssl genrsa -out "$K/weak.key" 1024 2>/dev/null && openssl pkey -in "$K/weak.key" -pubout -out "$K/weak.pub"
    for k in ours theirs; do
        mkdir -m 700 -p "$K/gpg-$k"
        gpg-agent --homedir "$K/gpg-$k" --daemon >/dev/null 3>&- # gpg gives up on one that it starts itself after five seconds
        gpg --homedir "$K/gpg-$k" --batch -q --passphrase '' --quick-gen-key "$k@test" rsa2048 sign never 2>/dev/null
        gpg --homedir "$K/gpg-$k" --export "$k@test" >"$K/$k.gpg"
        gpg --homedir "$K/gpg-$k" --armor --export "$k@test" >"$K/$k.asc"
    done
}
file_teardown() {
    for k in ours theirs; do gpgconf --homedir "$BATS_FILE_TMPDIR/gpg-$k" --kill all; done
    [ ! -e "$BATS_FILE_TMPDIR/aside.pid" ] || kill "$(cat "$BATS_FILE_TMPDIR/aside.pid")"
    registry_stop_all
}

setup() {
    P=$(registry_addr plain) K=$BATS_FILE_TMPDIR
    D=$(cat "$K/digest")
    rm -rf "$HOME/.config/containers" "$HOME/.local/share/containers/sigstore"
    no_images
}

policy() {
    mkdir -p "$HOME/.config/containers"
    cat >"$HOME/.config/containers/policy.json"
}
# rules JSON…: the requirements for our repository; everything else is rejected
rules() { policy <<<"{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"$P/team\":[$1]}}}"; }
sigstore() { echo "{\"type\":\"sigstoreSigned\",\"keyPath\":\"$K/$1.pub\",\"signedIdentity\":${2:-{\"type\":\"matchRepository\"\}}}"; }
gpgkeys() { echo "{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"$K/$1\"${2:+,\"signedIdentity\":$2}}"; }
payload() { # TYPE REFERENCE DIGEST
    printf '{"critical":{"identity":{"docker-reference":"%s"},"image":{"docker-manifest-digest":"%s"},"type":"%s"},"optional":{}}' "$2" "$3" "$1"
}
COSIGN="cosign container image signature" ATOMIC="atomic container signature"

put_blob() { # FILE REPO: its digest
    local digest where
    digest=sha256:$(sha256sum "$1" | cut -c1-64)
    where=$(curl -fsS -o /dev/null -D - -X POST "http://$P/v2/$2/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //ip')
    curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$1" "$where&digest=$digest"
    echo "$digest"
}
# cosign KEY FILE [PAYLOAD]: signs FILE, and pushes the signature, of PAYLOAD if it is another, as cosign does
cosign() {
    local sig payload=${3:-$2} digest config d=$BATS_TEST_TMPDIR
    sig=$(openssl dgst -sha256 -sign "$K/$1.key" "$2" | base64 -w0)
    digest=$(put_blob "$payload" team/app)
    echo '{}' >"$d/config" && config=$(put_blob "$d/config" team/app)
    jq -cn --arg s "$sig" --arg p "$digest" --arg c "$config" --argjson n "$(stat -c %s "$payload")" '{schemaVersion:2,
        mediaType:"application/vnd.oci.image.manifest.v1+json",
        config:{mediaType:"application/vnd.oci.image.config.v1+json",digest:$c,size:3},
        layers:[{mediaType:"application/vnd.dev.cosign.simplesigning.v1+json",digest:$p,size:$n,
                 annotations:{"dev.cosignproject.cosign/signature":$s}}]}' >"$d/manifest"
    curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$d/manifest" \
        "http://$P/v2/team/app/manifests/sha256-${D#*:}.sig"
}
simple_dir() { echo "${S:-$HOME/.local/share/containers/sigstore}/team/app@sha256=${D#*:}"; }
# gpg_sign KEY N FILE
gpg_sign() {
    mkdir -p "$(simple_dir)"
    gpg --homedir "$K/gpg-$1" --batch -q --yes --sign --output "$(simple_dir)/signature-$2" "$3"
}

accepted() { coracle pull -q "$P/team/app:${1:-1}" >/dev/null; coracle rmi "$P/team/app:1" >/dev/null; }
rejected() { # MESSAGE [IMAGE]
    run coracle pull -q "${2:-$P/team/app:1}"
    assert_status 1
    assert_output_has "$1"
    assert_eq "$(coracle images -q)" ""
}

@test "no policy and insecureAcceptAnything accept; reject rejects, before the registry is asked" {
    accepted
    rules '{"type":"insecureAcceptAnything"}'
    accepted
    rejected "is rejected by policy" "$P/other/app:1"
    rejected "is rejected by policy" "unreachable.invalid/x:1"
    run coracle run --rm --network none "$P/other/app:1" true
    assert_status 125
    assert_output_has "is rejected by policy"
    rules '{"type":"insecureAcceptAnything"},{"type":"reject"}'
    rejected "is rejected by policy"
}

@test "a policy that cannot be used refuses everything" {
    for text in '{' '{}' '[]' '{"default":[]}' '{"default":[{"type":"insecureAcceptAnything"}],"more":1}' \
        '{"default":[{"type":"unknown"}]}' '{"default":[{"type":"reject","x":1}]}' \
        '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}' \
        '{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}' \
        '{"default":[{"type":"signedBy","keyType":"X","keyPath":"/k"}]}' \
        '{"default":[{"type":"sigstoreSigned","keyPath":"/k","keyData":"eA=="}]}' \
        '{"default":[{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{"type":"exactReference"}}]}' \
        '{"default":[{"type":"insecureAcceptAnything"}],"transports":{"oci":{"":[]}}}'; do
        policy <<<"$text"
        rejected "signature policy"
    done
    rm "$HOME/.config/containers/policy.json" && mkdir "$HOME/.config/containers/policy.json"
    rejected "signature policy"
    rmdir "$HOME/.config/containers/policy.json"
    rules "$(sigstore none)"
    rejected "none.pub"
    rules '{"type":"sigstoreSigned","fulcio":{},"rekorPublicKeyPath":"/k"}'
    rejected "cannot be checked here"
}

@test "cosign's signatures: our key and our repository, nothing else" {
    p=$BATS_TEST_TMPDIR/p
    rules "$(sigstore ours)"
    rejected "no signature exists"
    payload "$COSIGN" "$P/team/app" "$D" >"$p"
    cosign ours "$p"
    accepted
    rules "$(sigstore ours),$(sigstore rsa)"
    rejected "not by a key of the policy"
    rules "$(sigstore theirs)"
    rejected "not by a key of the policy"
    rules "$(sigstore weak)"
    rejected "2048 bits"
    # cosign names no tag, which is less than this asks for; podman says the same
    rules "$(sigstore ours '{"type":"matchRepoDigestOrExact"}')"
    rejected "the signature is for"
    accepted_by_digest=$(coracle pull -q "$P/team/app@$D") && coracle rmi "$P/team/app@$D" >/dev/null
    rules "$(sigstore ours '{"type":"exactRepository","dockerRepository":"elsewhere.test/team/app"}')"
    rejected "the signature is for"
    cosign theirs "$p"
    rules "$(sigstore ours)"
    rejected "not by a key of the policy"
    payload "$COSIGN" "$P/team/app" "$D" | sed 's/"optional":{}/"optional":{"a":1}/' >"$p.other"
    cosign ours "$p" "$p.other"
    rejected "not by a key of the policy"
    payload "$COSIGN" "$P/other/app" "$D" >"$p"
    cosign ours "$p"
    rejected "the signature is for $P/other/app"
    payload "$COSIGN" "$P/team/app" "sha256:$(printf 0%.0s {1..64})" >"$p"
    cosign ours "$p"
    rejected "the signature is for the manifest sha256:0000"
    payload "$ATOMIC" "$P/team/app" "$D" >"$p"
    cosign ours "$p"
    rejected "is of type"
    payload "$COSIGN" "$P/team/app" "$D" | sed 's/"critical":{/"critical":{"more":1,/' >"$p"
    cosign ours "$p"
    rejected "critical"
    payload "$COSIGN" "$P/team/app" "$D" >"$p"
    cosign rsa "$p"
    rules "$(sigstore rsa)"
    accepted
    rules "{\"type\":\"sigstoreSigned\",\"keyData\":\"$(base64 -w0 "$K/rsa.pub")\",\"signedIdentity\":{\"type\":\"matchRepository\"}}"
    accepted
    # what is here already is held against the policy, too
    coracle pull -q "$P/team/app:1" >/dev/null
    rules "$(sigstore ours)"
    run coracle pull -q "$P/team/app:1"
    assert_status 1
    assert_output_has "not by a key of the policy"
}

@test "simple signing: by the user's own directory, armored and binary keys, several signatures" {
    p=$BATS_TEST_TMPDIR/p
    rules "$(gpgkeys ours.gpg)"
    rejected "no signature exists"
    payload "$ATOMIC" "$P/team/app:1" "$D" >"$p"
    gpg_sign theirs 1 "$p"
    rejected "not by a key of the policy"
    gpg_sign ours 2 "$p"
    accepted
    rules "$(gpgkeys ours.asc)"
    accepted
    rules "{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyData\":\"$(base64 -w0 "$K/ours.gpg")\"}"
    accepted
    rules "$(gpgkeys ours.pub)"
    rejected "no OpenPGP public key"
    rules "$(gpgkeys ours.gpg '{"type":"matchRepository"}')"
    accepted
    rm -r "$(simple_dir)"
    rules "$(gpgkeys ours.gpg)"
    payload "$ATOMIC" "$P/team/app:2" "$D" >"$p"
    gpg_sign ours 1 "$p"
    rejected "the signature is for $P/team/app:2"
    payload "$ATOMIC" "vendor.test/app:1" "$D" >"$p"
    gpg_sign ours 1 "$p"
    rejected "the signature is for vendor.test/app:1"
    rules "$(gpgkeys ours.gpg "{\"type\":\"remapIdentity\",\"prefix\":\"$P/team\",\"signedPrefix\":\"vendor.test\"}")"
    accepted
    rules "$(gpgkeys ours.gpg '{"type":"exactReference","dockerReference":"vendor.test/app:1"}')"
    accepted
    printf 'no signature at all' >"$(simple_dir)/signature-1"
    rejected "no signature of"
}

@test "simple signing: look-aside storage by registries.d, a file or a web server" {
    p=$BATS_TEST_TMPDIR/p
    S=$BATS_FILE_TMPDIR/aside
    mkdir -p "$S"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$S" 0 >"$S.log" 2>/dev/null 3>&- &
    echo $! >"$S.pid"
    port=$(_registry_wait "$S.log" 'port [0-9]+' $!)
    payload "$ATOMIC" "$P/team/app:1" "$D" >"$p"
    gpg_sign ours 1 "$p"
    rules "$(gpgkeys ours.gpg)"
    rejected "no signature exists"
    mkdir -p "$HOME/.config/containers/registries.d"
    printf 'default-docker:\n  lookaside: file:///nowhere\ndocker:\n  # ours\n  "%s/team":\n    sigstore: file://%s/\n' "$P" "$S" \
        >"$HOME/.config/containers/registries.d/a.yaml"
    accepted
    printf 'docker:\n  %s/team:\n    lookaside: http://127.0.0.1:%s\n  %s:\n    lookaside: file:///nowhere\n' "$P" "$port" "$P" \
        >"$HOME/.config/containers/registries.d/a.yaml"
    accepted
    printf 'docker: {a: b}\n' >"$HOME/.config/containers/registries.d/a.yaml"
    rejected "a.yaml: line 1"
}

@test "load: archives are held against the policy of their transport" {
    coracle import "$(image_tar busybox)" saved:1 >/dev/null
    coracle save -o "$BATS_TEST_TMPDIR/a.tar" saved:1
    coracle rmi saved:1 >/dev/null
    policy <<<'{"default":[{"type":"reject"}],"transports":{"docker-archive":{"":[{"type":"insecureAcceptAnything"}]}}}'
    coracle load -qi "$BATS_TEST_TMPDIR/a.tar"
    coracle rmi saved:1 >/dev/null
    policy <<<'{"default":[{"type":"reject"}]}'
    run coracle load -i "$BATS_TEST_TMPDIR/a.tar"
    assert_status 1
    assert_output_has "is rejected by policy"
    policy <<<"{\"default\":[$(gpgkeys ours.gpg)]}"
    run coracle load -i "$BATS_TEST_TMPDIR/a.tar"
    assert_status 1
    assert_output_has "no signature exists"
    assert_eq "$(coracle images -q)" ""
}
