# builds.bash: for tests of `coracle build`, after containers.bash: the context is the test's own directory.

# build NAME [OPTION…]: the Dockerfile on standard input; the image is NAME. What it said is in $T/log.
build() {
    local name=$1
    shift
    cat >"$T/Dockerfile"
    coracle build -t "$name" "$@" "$T" >"$T/log" 2>&1 || { cat "$T/log"; return 1; }
}
# refused TEXT [OPTION…]: it does not build, and says TEXT
refused() {
    local text=$1
    shift
    cat >"$T/Dockerfile"
    run -1 coracle build "$@" "$T"
    assert_output_has "$text"
}
config() { coracle image inspect "$1" | jq -cS ".[0].Config.$2"; }
in_image() { coracle run --rm --network none --entrypoint '' "$@"; }
cached() { grep -c CACHED "$T/log" || true; }
