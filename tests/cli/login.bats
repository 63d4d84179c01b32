#!/usr/bin/env bats
# login, logout, search, and what the configuration says of single registries, against a scripted registry and a real one; what docker's own client makes of the same file.
load ../lib/common
load ../lib/registry

file_setup() {
    registry_start secured tls-basic
    registry_start plain
    scripted_start script
    mkdir -p "$CTR_HOME/bin"
    cat >"$CTR_HOME/bin/docker-credential-scripted" <<'H'
#!/bin/bash
# keeps one secret in a file beside itself, and writes down what it was asked
d=$(dirname "$0")
input=$(cat)
echo "$1 $input" >>"$d/asked"
case $1 in
    store) echo "$input" >"$d/secret" ;;
    erase) rm -f "$d/secret" ;;
    get) cat "$d/secret" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
esac
H
    chmod +x "$CTR_HOME/bin/docker-credential-scripted"
}
file_teardown() { registry_stop_all; }

setup() {
    S=$(registry_addr secured) X=$(registry_addr script) P=$(registry_addr plain)
    rm -rf "$HOME/.docker" "$HOME/.config"
    scripted_set script
}
config() { jq -cS . "$HOME/.docker/config.json"; }
basic() { printf %s "$1" | base64 -w0; }

@test "a password: tried, stored as docker stores it, used, and forgotten" {
    scripted_set script '{"auth": "basic"}'
    run --separate-stderr -0 coracle login -u tester --password-stdin "$X" <<<secret
    assert_eq "$output" "Login Succeeded"
    [[ $stderr == *"WARNING! Your credentials are stored unencrypted in '$HOME/.docker/config.json'."* ]]
    assert_eq "$(config)" "{\"auths\":{\"$X\":{\"auth\":\"$(basic tester:secret)\"}}}"
    assert_eq "$(stat -c %a "$HOME/.docker" "$HOME/.docker/config.json" | paste -s)" "700	600"
    run --separate-stderr -0 coracle login "$X" </dev/null
    [[ $stderr == *"Authenticating with existing credentials... [Username: tester]"* ]]
    run --separate-stderr coracle login -u tester -p wrong "http://$X/v2/"
    assert_status 1
    [[ $stderr == *"WARNING! Using --password via the CLI is insecure. Use --password-stdin."* ]]
    [[ $stderr == *"unauthorized"* ]]
    assert_eq "$(config)" "{\"auths\":{\"$X\":{\"auth\":\"$(basic tester:secret)\"}}}"
    run -0 coracle logout "$X"
    assert_output_has "Removing login credentials for $X"
    assert_eq "$(config)" '{"auths":{}}'
    run -0 coracle logout
    assert_output_has "Removing login credentials for https://index.docker.io/v1/"
    run coracle login "$X" </dev/null
    assert_status 1
    assert_output_has "cannot perform an interactive login from a non TTY device"
}

@test "over TLS with an authority of one's own, which docker's client then finds, too" {
    run coracle login -u tester -p secret "$S"
    assert_status 0 # loopback
    mkdir -p "$HOME/.config/containers/certs.d/$S"
    cp "$(registry_ca)" "$HOME/.config/containers/certs.d/$S/ca.crt"
    coracle login -u tester -p secret "$S"
    run skopeo --insecure-policy list-tags --tls-verify=false --authfile "$HOME/.docker/config.json" "docker://$S/none"
    refute_output_has authentication
    if command -v docker >/dev/null; then # Debian has it in docker.io, which brings a daemon along
        docker logout "$S"
        assert_eq "$(config)" '{"auths":{}}'
    fi
}

@test "a token service: the password is shown to it once, and a refresh token is what is stored" {
    scripted_set script '{"auth": "token", "identity": true}'
    run --separate-stderr -0 coracle login -u tester --password-stdin "$X" <<<secret
    assert_eq "$stderr" ""
    assert_eq "$(config)" "{\"auths\":{\"$X\":{\"auth\":\"$(basic tester:)\",\"identitytoken\":\"refresh-me\"}}}"
    assert_eq "$(scripted_log script '[.[] | select(.auth | tostring | test("Basic")) | .path] | .[]')" "/token?account=tester&client_id=coracle&offline_token=true&service=test"
    coracle login "$X"
    assert_eq "$(scripted_log script '[.[] | select(.form) | .form.refresh_token[0]] | .[]')" refresh-me
    run coracle login -u tester -p wrong "$X"
    assert_status 1
    assert_output_has "unauthorized: incorrect username or password"
}

@test "credential helpers store, get and erase; what else is in the file stays; the file may be a link" {
    mkdir -p "$HOME/dotfiles" "$HOME/.docker"
    cat >"$HOME/dotfiles/docker.json" <<E
{"credsStore": "scripted", "currentContext": "default", "HttpHeaders": {"X": "y"}, "auths": {"other.example": {"auth": "eDp5"}, "https://$X/v2/": {"auth": "b2xkOm9sZA=="}}, "big": 9007199254740993}
E
    ln -s ../dotfiles/docker.json "$HOME/.docker/config.json"
    scripted_set script '{"auth": "basic"}'
    PATH=$CTR_HOME/bin:$PATH run --separate-stderr -0 coracle login -u tester --password-stdin "$X" <<<secret
    assert_eq "$stderr" ""
    assert_eq "$(jq -cS . "$CTR_HOME/bin/secret")" "{\"Secret\":\"secret\",\"ServerURL\":\"$X\",\"Username\":\"tester\"}"
    [ -L "$HOME/.docker/config.json" ]
    assert_eq "$(jq -cS .auths "$HOME/dotfiles/docker.json")" "{\"$X\":{},\"other.example\":{\"auth\":\"eDp5\"}}"
    assert_eq "$(jq -r '.credsStore + .currentContext + .HttpHeaders.X' "$HOME/dotfiles/docker.json")" scripteddefaulty
    assert_eq "$(grep -o '"big": *[0-9]*' "$HOME/dotfiles/docker.json" | grep -o '[0-9]*$')" 9007199254740993
    PATH=$CTR_HOME/bin:$PATH coracle login "$X"
    PATH=$CTR_HOME/bin:$PATH coracle logout "$X"
    [ ! -e "$CTR_HOME/bin/secret" ]
    assert_eq "$(jq -cS .auths "$HOME/dotfiles/docker.json")" '{"other.example":{"auth":"eDp5"}}'
    assert_eq "$(cut -d' ' -f1 "$CTR_HOME/bin/asked" | sort | uniq -c | tr -s ' ' | paste -sd,)" " 1 erase, 2 get, 1 store"
    run coracle login -u tester -p secret "$X"
    assert_status 1
    assert_output_has docker-credential-scripted
}

@test "a terminal: the name is asked for, and the password, which is not seen; an interruption brings the echo back" {
    scripted_set script '{"auth": "basic"}'
    run python3 - "$X" <<'P'
import os, pty, select, signal, sys, termios
def talk(answers):
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("coracle", ["coracle", "login", sys.argv[1]])
    seen = b""
    for question, answer in answers:
        while question not in seen:
            seen += os.read(fd, 4096)
        if question == b"Password: ":
            while termios.tcgetattr(fd)[3] & termios.ECHO:
                select.select([], [], [], 0.01)
        os.write(fd, answer)
    try:
        while True:
            part = os.read(fd, 4096)
            seen += part
            if not part:
                break
    except OSError:
        pass
    echo = bool(termios.tcgetattr(fd)[3] & termios.ECHO)
    return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), echo
text, code, echo = talk([(b"Username: ", b"tester\n"), (b"Password: ", b"\x03")])
print("interrupted", code, echo)
text, code, echo = talk([(b"Username: ", b"tester\n"), (b"Password: ", b"secret\n")])
print("answered", code, echo, "secret" in text, "Login Succeeded" in text)
P
    assert_output_has "interrupted 130 True"
    assert_output_has "answered 0 True False True"
}

@test "flags that contradict each other, files that are damaged, and names that are none: nothing is asked, nothing written" {
    while IFS='|' read -r args want; do
        run coracle login $args </dev/null
        assert_status 1
        assert_output_has "$want"
    done <<E
-p x --password-stdin $X|conflicting options: cannot specify both --password and --password-stdin
--password-stdin $X|the --password-stdin option requires --username to be set
-u x -p x bad_name/../x:y:z|invalid registry address
-u a:b -p x $X|a user name has no colon
-u x $X|cannot perform an interactive login
E
    [ ! -e "$HOME/.docker/config.json" ]
    mkdir -p "$HOME/.docker"
    echo '{"auths": ' >"$HOME/.docker/config.json"
    run coracle login -u tester -p secret "$X"
    assert_status 1
    assert_output_has "docker's config.json"
    assert_eq "$(cat "$HOME/.docker/config.json")" '{"auths": '
}

@test "search: an index, a catalog; columns, formats, filters and limits" {
    scripted_set script '{"search": [{"name": "one", "description": "The first of them, with a description that is longer than forty-five characters", "star_count": 12, "is_official": true}, {"name": "two\u001b[31m", "description": "x", "star_count": 3}]}'
    run -0 coracle search "$X/some thing&n=9"
    assert_eq "$(tr -s ' ' <<<"${lines[0]}")" "NAME DESCRIPTION STARS OFFICIAL"
    assert_eq "$(tr -s ' ' <<<"${lines[1]}")" "one The first of them, with a description that i… 12 [OK]"
    refute_output_has $'\033'
    assert_eq "$(scripted_log script '.[-1].path')" "/v1/search?q=some%20thing%26n%3D9&n=25"
    assert_eq "$(coracle search --no-trunc --format '{{.Name}}: {{.Description}} {{.StarCount}}' -f stars=5 -f is-official=true "$X/x")" \
        "one: The first of them, with a description that is longer than forty-five characters 12"
    assert_eq "$(coracle search --format '{{.Name}}' --limit 1 "$X/x")" one
    while IFS='|' read -r args want; do
        run coracle search $args "$X/x"
        assert_status 1
        assert_output_has "$want"
    done <<E
--limit 101|limit 101 is outside the range of [1, 100]
-f stars=many|invalid filter 'stars=many'
-f nothing=1|invalid filter 'nothing'
E
    for name in apple pine/apple pear; do curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' -d '{}' "http://$X/v2/$name/manifests/1"; done
    scripted_set script '{"rules": [{"match": "v1/search", "status": 404, "times": -1}]}'
    assert_eq "$(coracle search --format '{{.Name}}' "$X/apple" | paste -s)" "apple	pine/apple"
    run -0 coracle search "$P/anything"
    assert_eq "$output" "NAME      DESCRIPTION   STARS     OFFICIAL"
}

@test "registries in the configuration: mirrors in their order, headers for one registry alone, and what makes no sense" {
    mkdir -p "$HOME/.config/coracle"
    configure() { echo "$1" >"$HOME/.config/coracle/config.json"; }
    tar -C "$CTR_HOME/bin" -cf "$CTR_HOME/tmp/some.tar" .
    coracle import "$CTR_HOME/tmp/some.tar" "$X/team/app:1" >/dev/null
    configure "{\"registries\": {\"$X\": {\"headers\": {\"X-Team\": \"blue\"}}}}"
    coracle push -q "$X/team/app:1"
    assert_eq "$(scripted_log script '[.[].headers["X-Team"]] | unique | tostring')" '["blue"]'
    coracle rmi "$X/team/app:1" >/dev/null
    # the registry is not there at all; the first mirror fails; the second has it, and hears nothing of the registry's header
    configure "{\"registries\": {\"gone.example\": {\"mirrors\": [\"http://localhost:1\", \"http://$X\"], \"headers\": {\"X-Team\": \"blue\"}}}}"
    scripted_set script
    run -0 coracle pull gone.example/team/app:1
    assert_eq "${lines[-1]}" gone.example/team/app:1
    assert_eq "$(scripted_log script '[.[].headers["X-Team"]] | unique | tostring')" '[null]'
    # a redirect takes the headers nowhere
    configure "{\"registries\": {\"$X\": {\"headers\": {\"X-Team\": \"blue\"}}}}"
    scripted_set script "{\"rules\": [{\"match\": \"manifests\", \"times\": -1, \"status\": 307, \"headers\": {\"Location\": \"http://127.0.0.1:${X##*:}/elsewhere\"}}]}"
    run coracle pull "$X/team/app:1"
    assert_status 1
    assert_eq "$(scripted_log script '[.[] | [.path, .headers["X-Team"]]] | unique | tostring')" '[["/elsewhere",null],["/v2/team/app/manifests/1","blue"]]'
    while IFS='|' read -r text want; do
        configure "{\"registries\": {\"x.example\": $text}}"
        run coracle pull x.example/y
        [ "$status" != 0 ]
        assert_output_has "$want"
    done <<'E'
{"mirror": []}|unknown key "mirror"
{"headers": {"Authorization": "Basic x"}}|is no header that can be sent
{"headers": {"X": "a\nb"}}|is no header that can be sent
{"mirrors": ["http://mirror.example"]}|uses plain http
{"ca": ["ca.crt"]}|absolute paths
{"cert": "/client.cert"}|the absolute paths of both
[]|expected an object
E
}

@test "the configuration's own authority for one registry; names that stand for repositories" {
    mkdir -p "$HOME/.config/coracle"
    configure() { echo "$1" >"$HOME/.config/coracle/config.json"; }
    configure "{\"registries\": {\"$S\": {\"ca\": [\"/etc/ssl/certs/ca-certificates.crt\"]}}}"
    run coracle login -u tester -p secret "$S"
    assert_status 1
    assert_output_has certificate
    configure "{\"registries\": {\"$S\": {\"ca\": [\"$(registry_ca)\"]}}}"
    coracle login -u tester -p secret "$S"
    # a bare name; with a path or a registry it is what it says
    tar -C "$CTR_HOME/bin" -cf "$CTR_HOME/tmp/some.tar" .
    coracle import "$CTR_HOME/tmp/some.tar" "$P/team/base:1" >/dev/null
    coracle push -q "$P/team/base:1"
    coracle rmi "$P/team/base:1" >/dev/null
    configure "{\"short-name-aliases\": {\"base\": \"$P/team/base\"}}"
    run -0 coracle pull -q base:1
    assert_eq "$output" "$P/team/base:1"
    id=$(coracle image inspect -f '{{.Id}}' base:1)
    coracle tag base:1 base:2
    assert_eq "$(coracle images --format '{{.Repository}}:{{.Tag}}' | grep team/base | sort | paste -sd' ')" "$P/team/base:1 $P/team/base:2"
    coracle push -q base:2
    assert_eq "$(coracle image inspect -f '{{.Id}}' "$P/team/base:2")" "$id"
    run coracle image inspect docker.io/library/base:1
    assert_status 1
    coracle save base:1 >"$CTR_HOME/tmp/base.tar"
    coracle rmi base:1 base:2 >/dev/null
    for bad in '{"a/b": "x/y"}' '{"a": "x"}' '{"a": "x/y:1"}'; do
        configure "{\"short-name-aliases\": $bad}"
        run coracle images
        assert_status 1
        assert_output_has short-name-aliases
    done
    rm "$HOME/.config/coracle/config.json"
}
