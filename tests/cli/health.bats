#!/usr/bin/env bats
# Health checks: HEALTHCHECK of the image and --health-*, run by the container's own monitor.
load ../lib/common

file_setup() { image busybox; }

health() { coracle inspect --format '{{.State.Health.Status}}' "$1"; }
health_is() { [ "$(health "$1")" = "$2" ]; }
status_is() { [ "$(coracle inspect --format '{{.State.Status}}' "$1")" = "$2" ]; }
results() { coracle inspect --format '{{len .State.Health.Log}}' "$1"; }
has_results() { [ "$(results "$1")" -ge "$2" ]; }
shown() { coracle ps -a --format '{{.Status}}' --filter "name=$1"; }

@test "starting, healthy, unhealthy and back: inspect, ps, its filter and the events" {
    begun=$(date +%s)
    coracle run -d --name h1 --health-cmd 'echo looked; test -e /ok' --health-interval 50ms --health-retries 2 \
        --health-start-period 1h --health-start-interval 50ms busybox sleep 1000
    assert_eq "$(health h1)" starting
    [[ "$(shown h1)" == "Up "*" (health: starting)" ]]
    wait_for has_results h1 5
    assert_eq "$(health h1)" starting # failures within the start period do not count
    assert_eq "$(coracle inspect --format '{{.State.Health.FailingStreak}}' h1)" 0
    coracle exec h1 touch /ok
    wait_for health_is h1 healthy
    [[ "$(shown h1)" == "Up "*" (healthy)" ]]
    assert_eq "$(coracle ps --filter health=healthy --format '{{.Names}}')" h1
    coracle exec h1 rm /ok
    wait_for health_is h1 unhealthy
    [[ "$(shown h1)" == "Up "*" (unhealthy)" ]]
    assert_eq "$(coracle ps -q --filter health=healthy --filter health=starting)" ''
    run coracle inspect --format '{{(index .State.Health.Log 4).ExitCode}} {{(index .State.Health.Log 4).Output}}' h1
    assert_eq "${lines[0]}" '1 looked'
    assert_eq "$(results h1)" 5
    run coracle events --since "$begun" --until "$(($(date +%s) + 1))" --filter container=h1 --format '{{.Action}}'
    assert_eq "$(grep '^health_status' <<<"$output" | tr '\n' ' ')" 'health_status: healthy health_status: unhealthy '
    coracle stop h1
    [[ "$(shown h1)" == Exited* ]]
    run coracle ps --filter health=bogus
    assert_status 1
}

@test "the image's HEALTHCHECK counts, options replace its members, NONE and --no-healthcheck switch it off" {
    coracle import --change 'HEALTHCHECK --interval=70ms --retries=7 CMD test -e /ok' \
        --change 'CMD ["sleep","1000"]' "$(image_tar busybox)" checked
    coracle run -d --name i1 checked
    coracle run -d --name i2 --health-cmd true checked
    coracle run -d --name i3 --no-healthcheck checked
    assert_eq "$(coracle inspect --format '{{json .Config.Healthcheck}}' i1)" \
        '{"Test":["CMD-SHELL","test -e /ok"],"Interval":70000000,"Retries":7}'
    assert_eq "$(coracle inspect --format '{{json .Config.Healthcheck}}' i2)" \
        '{"Test":["CMD-SHELL","true"],"Interval":70000000,"Retries":7}'
    assert_eq "$(coracle inspect --format '{{json .Config.Healthcheck}}' i3)" '{"Test":["NONE"]}'
    wait_for health_is i2 healthy
    wait_for health_is i1 unhealthy
    [[ "$(shown i3)" != *health* ]]
    run coracle inspect --format '{{.State.Health}}' i3
    refute_output_has starting
    coracle rm -f i1 i2 i3
}

@test "CMD runs without a shell, as the container's user, in its directory and environment" {
    coracle import --change 'HEALTHCHECK --interval=50ms CMD ["env"]' --change 'CMD ["sleep","1000"]' \
        "$(image_tar busybox)" direct
    coracle run -d --name c1 -e SEEN=yes direct
    coracle run -d --name c2 -u alice -w /tmp --health-cmd 'id -un; pwd' direct
    wait_for has_results c1 1
    wait_for has_results c2 1
    run coracle inspect --format '{{(index .State.Health.Log 0).Output}}' c1
    assert_output_has SEEN=yes
    run coracle inspect --format '{{(index .State.Health.Log 0).Output}}' c2
    assert_eq "${lines[0]} ${lines[1]}" 'alice /tmp'
    coracle rm -f c1 c2
}

@test "a check that takes too long is killed with what it started, and counts as a failure" {
    coracle run -d --name t1 --health-cmd 'echo begun; sleep 7771 & sleep 7772' --health-interval 1h --health-timeout 200ms \
        --health-retries 1 busybox sleep 1000
    run coracle healthcheck run t1
    assert_status 1
    assert_eq "$output" unhealthy
    assert_eq "$(health t1)" unhealthy
    run coracle inspect --format '{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}' t1
    assert_eq "$output" '-1 Health check exceeded timeout (200ms)'
    wait_for eval '! coracle exec t1 ps -o args | grep "sleep 777"' # what has been killed goes when it gets to it
    coracle rm -f t1
}

@test "much output and bytes that are no text: 4096 bytes are kept, and inspect stays JSON" {
    coracle run -d --name o1 --health-interval 1h --health-cmd 'printf "\377\000a"; yes | head -c 300000' busybox sleep 1000
    run coracle healthcheck run o1
    assert_status 0
    coracle inspect o1 | python3 -c 'import json, sys
out = json.load(sys.stdin)[0]["State"]["Health"]["Log"][0]["Output"]
assert out.endswith("..."), out[-20:]
assert out.startswith("\ufffd\ufffda"), out[:20]
assert len(out) == 4096 + 3, len(out)'
    coracle rm -f o1
}

@test "a test that cannot be executed fails and says why" {
    coracle import --change 'HEALTHCHECK --interval=1h --retries=1 CMD ["/no/such"]' --change 'CMD ["sleep","1000"]' \
        "$(image_tar busybox)" broken
    coracle run -d --name x1 broken
    run coracle healthcheck run x1
    assert_status 1
    run coracle inspect --format '{{.State.Health.Status}} {{(index .State.Health.Log 0).Output}}' x1
    assert_output_has unhealthy
    assert_output_has /no/such
    coracle rm -f x1
}

@test "--health-on-failure: kill, stop, restart" {
    for action in kill stop restart; do
        coracle run -d --name "f-$action" --health-cmd false --health-interval 50ms --health-retries 2 \
            --health-on-failure $action busybox sleep 1000
    done
    wait_for status_is f-kill exited
    wait_for status_is f-stop exited
    again() { [ "$(coracle inspect --format '{{.RestartCount}}' f-restart)" -ge 2 ]; }
    wait_for again
    coracle rm -f f-kill f-stop f-restart
    coracle run -d --name f-policy --restart on-failure:1 --health-cmd false --health-interval 50ms --health-retries 1 \
        --health-on-failure kill busybox sleep 1000
    wait_for status_is f-policy exited
    assert_eq "$(coracle inspect --format '{{.RestartCount}} {{.State.ExitCode}}' f-policy)" '1 137'
    run coracle run --health-on-failure stop busybox true
    assert_status 125
    assert_output_has 'without a health check'
}

@test "a restart begins with starting again" {
    coracle run -d --name r1 --restart always --health-cmd true --health-interval 50ms busybox sh -c 'while [ ! -e /end ]; do sleep 0.05; done; rm /end'
    wait_for health_is r1 healthy
    coracle exec r1 touch /end || true # the container's end may be its own
    again() { [ "$(coracle inspect --format '{{.RestartCount}}' r1)" = 1 ]; }
    wait_for again
    wait_for health_is r1 healthy
    coracle rm -f r1
}

@test "a paused container is not checked" {
    coracle run -d --name p1 --health-cmd 'date' --health-interval 50ms busybox sleep 1000
    wait_for health_is p1 healthy
    # when checks began: one that had begun before may be written down later
    begins() { coracle inspect --format '{{range .State.Health.Log}}{{println .Start}}{{end}}' p1 | while read -r t && [ "$t" ]; do date -d "$t" +%s%N; done; }
    coracle pause p1
    from=$(date +%s%N)
    run timeout 0.3 tail -f /dev/null # as long as several checks take
    assert_eq "$(begins | awk -v from="$from" '$1 > from')" ""
    till=$(date +%s%N)
    coracle unpause p1
    goes_on() { [ "$(begins | tail -1)" -gt "$from" ]; }
    wait_for goes_on
    assert_eq "$(begins | awk -v from="$from" -v till="$till" '$1 > from && $1 < till')" ""
    coracle rm -f p1
}

@test "one without a check has nothing to run, and refusals are docker's" {
    coracle run -d --name q1 busybox sleep 1000
    run coracle healthcheck run q1
    assert_status 1
    assert_output_has 'no defined healthcheck'
    coracle rm -f q1
    for flag in interval timeout retries start-period start-interval; do
        value=-1s
        [ $flag != retries ] || value=-1
        run coracle run --health-$flag=$value busybox true
        assert_status 125
        assert_output_has "--health-$flag cannot be negative"
    done
    run coracle run --no-healthcheck --health-cmd x busybox true
    assert_output_has '--no-healthcheck conflicts with --health-* options'
    run coracle run --health-cmd x --health-interval 10us busybox true
    assert_output_has 'interval in Healthcheck cannot be less than 1ms'
}
