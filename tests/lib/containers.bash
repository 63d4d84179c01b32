# containers: for tests of a container's files: a directory to work in, containers that run and do nothing, and none of them left.
T= # the test's own directory, which is the current one

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T" || return
}
# container NAME [OPTION…]: one that runs and does nothing
container() {
    local name=$1
    shift
    image busybox >/dev/null
    coracle run -d --name "$name" --network none "$@" busybox sleep 100000 >/dev/null
}
inside() { coracle exec "$@"; }
teardown() {
    local id
    rm -f "$HOME/.config/coracle/config.json"
    for id in $(coracle ps -aq); do coracle rm -f "$id" >/dev/null; done
}
