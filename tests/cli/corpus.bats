#!/usr/bin/env bats
# corpus: more than a thousand command lines whose verdict is known: docker's client said it, or we did and somebody has looked at it.
load ../lib/common

@test "command lines are judged as recorded" {
    run python3 "$TESTS_DIR/corpus/check.py" compare "$TESTS_DIR"/corpus/*.cases
    assert_status 0
}

@test "docker's client judges them as recorded" {
    docker --version 2>/dev/null | grep -q ' 28\.2\.' || skip "no docker client 28.2 here"
    ! sanitized || skip "nothing of ours runs here"
    run python3 "$TESTS_DIR/corpus/check.py" oracle "$TESTS_DIR"/corpus/*.cases
    assert_status 0
}
