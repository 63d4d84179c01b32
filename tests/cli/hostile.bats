#!/usr/bin/env bats
# Registries and token services that lie, at every step of pull, push and login. Whatever they do: said in words, soon, in little
# memory, with nothing in the store and no credential where it does not belong.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    scripted_start evil
    scripted_start other
    scripted_start sealed --tls
    X=$(registry_addr evil)
    head -c 300000 /dev/urandom >"$CTR_HOME/tmp/noise"
    tar -C "$CTR_HOME/tmp" -cf "$CTR_HOME/tmp/made.tar" noise
    coracle import "$CTR_HOME/tmp/made.tar" "$X/good/thing:1"
    coracle push -q "$X/good/thing:1"
    coracle rmi "$X/good/thing:1"
}
file_teardown() { registry_stop_all; }

setup() {
    X=$(registry_addr evil) O=$(registry_addr other) T=$(registry_addr sealed)
    rm -rf "$HOME/.docker" "$HOME/.config"
    docker_auth "$HOME/.docker" "$X" tester:secret
    scripted_set other
    deep=$(printf '[%.0s' $(seq 3000))
    zeros=$(printf 0%.0s $(seq 64))
}

# table COMMAND…: lines "rules|words": the command fails with words, within a time, and leaves nothing. @ in the rules is ", {at}
# is @, and {O} the other server. Settings before a ^ are those of the server. Rules hold always.
table() {
    local rules want settings
    while IFS='|' read -r rules want; do
        settings=
        case $rules in *^*) settings="${rules%%^*}, " rules=${rules#*^} ;; esac
        rules=${rules//\{O\}/$O}
        rules=${rules//\{zeros\}/$zeros}
        rules=${rules//\{deep\}/$deep}
        rules=${rules//@/\"} settings=${settings//@/\"}
        scripted_set "${SERVER:-evil}" "{\"always\": true, ${settings//\{at\}/@}\"rules\": [${rules//\{at\}/@}]}" || fail "bad rules: $rules"
        run timeout -k 1 "$(patience 60)" "$@"
        [ "$status" = 1 ] || fail "$rules"
        case $output in *"$want"*) ;; *) fail "$rules: the output lacks: $want" ;; esac
        refute_output_has secret
    done
}

@test "manifests: another digest, another type, too long, too deep, too many headers, and every status" {
    table coracle pull "$X/good/thing:1" <<'E'
{@match@: @manifests@, @replace@: @{}@}|arrived with the digest
{@match@: @manifests@, @replace@: @{}@, @header@: {@Docker-Content-Digest@: null}}|missing
{@match@: @manifests@, @header@: {@Docker-Content-Digest@: @sha256:{zeros}@}}|arrived with the digest
{@match@: @manifests@, @header@: {@Content-Type@: @application/vnd.oci.image.index.v1+json@}}|as "application/vnd.oci.image.index
{@match@: @manifests@, @replace@: @{deep}@, @header@: {@Docker-Content-Digest@: null}}|nested
{@match@: @manifests@, @endless@: true}|more than the 4194304 bytes expected
{@match@: @manifests@, @fat@: 200000}|bytes of headers
{@match@: @manifests@, @status@: 403}|access denied
{@match@: @manifests@, @status@: 404, @body@: @{deep}@}|not found
{@match@: @manifests@, @status@: 416}|less of it
{@match@: @manifests@, @status@: 429, @headers@: {@Retry-After@: @3600@}}|limits how often
{@match@: @manifests@, @status@: 500, @headers@: {@Retry-After@: @3600@}}|status 500
{@match@: @manifests@, @status@: 302, @headers@: {@Location@: @file:///etc/passwd@}}|file: URL refused
{@match@: @manifests@, @status@: 302, @headers@: {@Location@: @http://tester:x{at}{O}/@}}|unusable URL
{@match@: @manifests@, @status@: 302}|redirects to nowhere
{@match@: @manifests@, @status@: 200, @body@: @@}|manifest
E
    assert_eq "$(image_ids)" ""
    store_is_clean
}

@test "blobs: another digest, too short, too long, without end, every status; and pages of tags" {
    table coracle pull "$X/good/thing:1" <<'E'
{@match@: @GET .*blobs@, @replace@: @{}@, @times@: 1}|digest
{@match@: @GET .*blobs@, @status@: 401, @headers@: {@WWW-Authenticate@: @Basic realm=x@}, @endless@: true}|unauthorized
{@match@: @GET .*blobs@, @endless@: true}|bytes expected
{@match@: @GET .*blobs@, @fat@: 200000}|bytes of headers
{@match@: @GET .*blobs@, @status@: 403}|access denied
{@match@: @GET .*blobs@, @status@: 404}|not found
{@match@: @GET .*blobs@, @skip@: 1, @status@: 403}|access denied
{@match@: @GET .*blobs@, @skip@: 1, @status@: 404}|not found
{@match@: @GET .*blobs@, @skip@: 1, @status@: 416}|less of it
{@match@: @GET .*blobs@, @skip@: 1, @status@: 429, @headers@: {@Retry-After@: @3600@}}|limits how often
{@match@: @GET .*blobs@, @skip@: 1, @status@: 500, @headers@: {@Retry-After@: @3600@}}|status 500
{@match@: @GET .*blobs@, @skip@: 1, @endless@: true}|bytes expected
{@match@: @GET .*blobs@, @skip@: 1, @status@: 307, @headers@: {@Location@: @gopher://x/@}}|URL refused
E
    assert_eq "$(image_ids)" ""
    table coracle pull -a "$X/good/thing" <<'E'
{@match@: @tags/list@, @status@: 200, @body@: @{\@tags\@: [\@../../x\@]}@}|which is none
{@match@: @tags/list@, @status@: 200, @body@: @{\@tags\@: {deep}@}|nested
{@match@: @tags/list@, @endless@: true}|bytes expected
E
    no_images # and no blob, and no layer
}

@test "token services: in clear to a stranger, no token, one that ends a header, without end; and challenges that are none" {
    table coracle pull "$X/good/thing:1" <<'E'
@auth@: @token@, @realm@: @http://token.example/t@^|sent in clear
@auth@: @token@, @realm@: @file:///etc/passwd@^|unusable token service
@auth@: @token@, @realm@: @http://localhost{at}evil.example/t@^|unusable token service
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @{}@}|gives no token
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @{\@token\@: 7}@}|gives no token
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @{\@token\@: \@a\\r\\nX: y\@}@}|a token that is none
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @not json@}|token
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @{deep}@}|nested
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @{\@token\@: \@good-for-nothing\@}@}|unauthorized
@auth@: @token@^{@match@: @/token@, @status@: 401}|unauthorized
@auth@: @token@^{@match@: @/token@, @status@: 404}|token
@auth@: @token@^{@match@: @/token@, @endless@: true}|more than the 262144 bytes expected
@auth@: @token@^{@match@: @/token@, @fat@: 200000}|bytes of headers
@auth@: @token@^{@match@: @/token@, @status@: 302, @headers@: {@Location@: @file:///etc/passwd@}}|URL refused
{@match@: @manifests@, @status@: 401}|denied
{@match@: @manifests@, @status@: 401, @headers@: {@WWW-Authenticate@: @Bearer realm=\@x@}}|malformed
{@match@: @manifests@, @status@: 401, @headers@: {@WWW-Authenticate@: @Negotiate@}}|unauthorized
E
    # another host is asked, but never with what we are
    for code in 302 307; do
        scripted_set evil "{\"auth\": \"token\", \"rules\": [{\"match\": \"/token\", \"status\": $code, \"headers\": {\"Location\": \"http://$O/stolen\"}}]}"
        run coracle pull "$X/good/thing:1"
        assert_status 1
    done
    docker_auth "$HOME/.docker" "$X" "" refresh-me
    scripted_set evil "{\"auth\": \"token\", \"rules\": [{\"match\": \"/token\", \"status\": 307, \"headers\": {\"Location\": \"http://$O/stolen\"}}]}"
    run coracle pull "$X/good/thing:1"
    assert_status 1
    assert_eq "$(scripted_log other '[.[] | [.method, .auth, .form, .got]] | unique | tostring')" '[["GET",null,null,0]]'
    assert_eq "$(image_ids)" ""
}

@test "push: places elsewhere get no credential, and none that is no place; lies about what has arrived; every status" {
    coracle import "$CTR_HOME/tmp/made.tar" "$X/to/push:1"
    table coracle push "$X/to/push:1" <<'E'
{@match@: @POST@, @header@: {@Location@: @file:///etc/passwd@}}|file: URL refused
{@match@: @POST@, @header@: {@Location@: null}}|names no place
{@match@: @POST@, @header@: {@Location@: @http://a:b{at}{O}/x@}}|unusable URL
{@match@: @POST@, @endless@: true}|bytes expected
{@match@: @POST@, @fat@: 200000}|bytes of headers
{@match@: @POST@, @status@: 201}|status 201
{@match@: @POST@, @status@: 302, @headers@: {@Location@: @http://{O}/@}}|status 302
{@match@: @HEAD .*blobs@, @status@: 403}|push access denied
{@match@: @HEAD .*blobs@, @status@: 500, @headers@: {@Retry-After@: @3600@}}|status 500
{@match@: @PUT .*uploads@, @status@: 403}|push access denied
{@match@: @PUT .*uploads@, @status@: 400, @body@: @{deep}@}|status 400
{@match@: @PUT .*uploads@, @status@: 503, @headers@: {@Retry-After@: @3600@}}|status 503
{@match@: @PUT .*uploads@, @take@: 100, @least@: 100000}, {@match@: @GET .*uploads@, @header@: {@Range@: @0-99999999999@}}|says that it has
{@match@: @HEAD .*manifests@, @status@: 404}, {@match@: @PUT .*manifests@, @header@: {@Docker-Content-Digest@: @sha256:{zeros}@}}|has stored
{@match@: @HEAD .*manifests@, @status@: 404}, {@match@: @PUT .*manifests@, @endless@: true}|bytes expected
{@match@: @HEAD .*manifests@, @status@: 404}, {@match@: @PUT .*manifests@, @status@: 403}|push access denied
{@match@: @HEAD .*manifests@, @status@: 404}, {@match@: @PUT .*manifests@, @status@: 500, @headers@: {@Retry-After@: @3600@}}|status 500
@auth@: @token@, @realm@: @http://token.example/t@^|sent in clear
{@match@: @HEAD .*manifests@, @status@: 404}, {@match@: @HEAD .*blobs@, @status@: 401, @headers@: {@WWW-Authenticate@: @Basic realm=x@}}|push access denied
E
    # a place on another host gets the blob, and nothing that says who we are
    scripted_set other '{"always": true, "rules": [{"match": "PUT", "status": 403}]}'
    coracle tag "$X/to/push:1" "$X/to/elsewhere:1"
    scripted_set evil "{\"auth\": \"basic\", \"rules\": [{\"match\": \"POST\", \"times\": -1, \"header\": {\"Location\": \"http://$O/v2/x/blobs/uploads/1\"}}]}"
    run coracle push "$X/to/elsewhere:1"
    assert_status 1
    assert_eq "$(scripted_log other '[.[].auth] | unique | tostring')" "[null]"
    # and a place without TLS nothing at all
    coracle tag "$X/to/push:1" "$T/to/push:1"
    scripted_set other
    SERVER=sealed table coracle push "$T/to/push:1" <<'E'
{@match@: @POST@, @header@: {@Location@: @http://{O}/x@}}|from https to http refused
{@match@: @PUT@, @status@: 307, @headers@: {@Location@: @http://{O}/x@}}|from https to http refused
E
    assert_eq "$(scripted_log other length)" 0
    no_images
}

@test "login: what a registry sends elsewhere, or says without end, is not believed, and nothing is stored" {
    rm -rf "$HOME/.docker"
    table coracle login -u tester -p sesame "$X" <<'E'
@auth@: @token@, @realm@: @http://token.example/t@^|sent in clear
@auth@: @token@^{@match@: @/token@, @endless@: true}|unauthorized
@auth@: @token@^{@match@: @/token@, @status@: 200, @body@: @{\@token\@: \@x\@}@}|unauthorized
@auth@: @basic@^|unauthorized
@auth@: @basic@^{@match@: @v2@, @status@: 401}|unauthorized
@auth@: @basic@^{@match@: @v2@, @status@: 404}|not found
@auth@: @basic@^{@match@: @v2@, @status@: 302, @headers@: {@Location@: @file:///etc/passwd@}}|URL refused
@auth@: @basic@^{@match@: @v2@, @endless@: true}|unauthorized
E
    [ ! -e "$HOME/.docker" ]
    scripted_set other
    scripted_set evil "{\"auth\": \"basic\", \"rules\": [{\"match\": \"v2\", \"skip\": 1, \"status\": 307, \"headers\": {\"Location\": \"http://$O/v2/\"}}]}"
    run coracle login -u tester -p sesame "$X" # whatever comes of it
    assert_eq "$(scripted_log other '[.[].auth] | unique | tostring')" "[null]"
}

@test "an answer that drips is given up when its time is over, however often a byte comes" {
    scripted_set evil '{"rules": [{"match": "v2", "drip": 0.02, "replace": "'"$(printf 'x%.0s' $(seq 3000))"'"}]}'
    run -0 python3 - "$(dirname "$(readlink -f "$(command -v coracle)")")/coracle-fetch" "http://$X/v2/" <<'P'
import json, os, socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.argv[1]], close_fds=False, preexec_fn=lambda: os.dup2(theirs.fileno(), 3))
ours.sendall(json.dumps({"id": 1, "url": sys.argv[2], "method": "GET", "headers": [], "max": 4096, "size": -1, "offset": 0,
                         "file": False, "bell": False, "seconds": 1, "attempts": 1}).encode() + b"\n")
answer = json.loads(ours.makefile().readline())
print(answer["status"], answer["size"] < 3000, answer["curl"], answer["error"])
ours.close()
child.wait()
P
    assert_output_has " True 28 "
}
