#!/usr/bin/env bats
# diff, cp and export: the files of containers from outside, of running and of stopped ones, under every driver.
load ../lib/common
load ../lib/containers

# owner, mode, size and name of everything below a directory, sorted
listing() { (cd "$1" && find . -mindepth 1 -printf '%y %m %P %l\n' | sort); }
# use_driver NAME: the storage driver for containers that start from now on
use_driver() {
    mkdir -p "$HOME/.config/coracle"
    printf '{"storage-driver":"%s"}' "$1" >"$HOME/.config/coracle/config.json"
}

# ---- diff ----

changes='mkdir -p /data/sub && echo x >/data/sub/f && rm /bin/ls && echo more >>/etc/passwd && rm -r /usr && mkdir /usr &&
    echo new >/usr/here && ln -s /etc /link && chmod 700 /home && touch /etc/group.new && rm /etc/group.new'
wanted_diff='C /bin
D /bin/ls
A /data
A /data/sub
A /data/sub/f
C /etc
C /etc/passwd
C /home
A /link
C /usr
D /usr/bin
A /usr/here'

@test "diff: nothing at first, then docker's letters in order; running and stopped" {
    c=$(unique)
    container "$c"
    assert_eq "$(coracle diff "$c")" ""
    inside "$c" sh -c "$changes"
    assert_eq "$(coracle diff "$c")" "$wanted_diff"
    coracle stop -t 0 "$c" >/dev/null
    assert_eq "$(coracle container diff "$c")" "$wanted_diff"
}

@test "diff: the same with the copy driver and with fuse-overlayfs" {
    for driver in copy fuse-overlayfs; do
        [ "$driver" != fuse-overlayfs ] || { [ -w /dev/fuse ] && command -v fuse-overlayfs >/dev/null; } || continue
        c=$(unique)
        use_driver "$driver"
        container "$c"
        assert_eq "$(coracle diff "$c")" ""
        inside "$c" sh -c "$changes"
        assert_eq "$(coracle diff "$c")" "$wanted_diff"
    done
}

@test "diff: a file that was opened for writing and not written has not changed" {
    c=$(unique)
    container "$c"
    inside "$c" sh -c ': >>/etc/passwd'
    run coracle diff "$c"
    refute_output_has passwd
    inside "$c" sh -c 'chown 5 /etc/passwd'
    assert_eq "$(coracle diff "$c")" $'C /etc\nC /etc/passwd'
}

@test "diff: a directory that replaced a file, and a file that replaced a directory" {
    c=$(unique)
    container "$c"
    inside "$c" sh -c 'rm /etc/group && mkdir /etc/group && touch /etc/group/x && rm -r /usr && echo >/usr'
    assert_eq "$(coracle diff "$c")" $'C /etc\nC /etc/group\nA /etc/group/x\nC /usr'
}

@test "diff: errors" {
    run coracle diff nobody
    assert_status 1
    assert_output_has "No such container: nobody"
    run coracle diff
    assert_status 1
    assert_output_has "requires"
}

# ---- cp: what docker's documentation says of each kind of source and destination ----

# The table for both directions: source kind × destination kind × slash. Rows: source, destination, what is there then.
cp_table='file|new|new=text
file|new/|error: no such directory
file|old|old=text
file|dir|dir/file=text
file|dir/|dir/file=text
file|dir/.|dir/file=text
file|none/x|error: none
dir1|new|new/a=text
dir1/|new|new/a=text
dir1/.|new|new/a=text
dir1|new/|new/a=text
dir1|old|error: cannot copy directory
dir1|dir|dir/dir1/a=text
dir1/|dir|dir/dir1/a=text
dir1/.|dir|dir/a=text
dir1/.|dir/|dir/a=text
link|new|new->file
link|dir|dir/link->file
dirlink/|new|new/a=text
dirlink/.|dir|dir/a=text
missing|new|error: missing
file/|new|error: file
-L link|new|new=text
-L link|dir|dir/link=text
-L dirlink|dir|dir/dirlink/a=text'

make_sources() { echo "mkdir -p $1/dir1 && cd $1 && echo -n text >file && echo -n text >dir1/a && ln -s file link && ln -s dir1 dirlink"; }
make_dests() { echo "rm -rf $1 && mkdir -p $1/dir && cd $1 && echo -n before >old"; }

# check PATH WANT: "name=content" or "name->target" below a directory
check() {
    local dir=$1 want=$2
    case $want in
    *'->'*) [ "$(readlink "$dir/${want%%->*}")" = "${want#*->}" ] ;;
    *) [ -f "$dir/${want%%=*}" ] && [ ! -L "$dir/${want%%=*}" ] && [ "$(cat "$dir/${want%%=*}")" = "${want#*=}" ] ;;
    esac
}

@test "cp out of a container: every kind of source and destination" {
    c=$(unique)
    container "$c"
    inside "$c" sh -c "$(make_sources /s)"
    while IFS='|' read -r from to want; do
        sh -c "$(make_dests "$T/d")"
        opt= && case $from in -L*) opt=-L from=${from#-L } ;; esac
        run coracle cp $opt "$c:/s/$from" "$T/d/$to"
        case $want in
        error:*)
            [ "$status" = 1 ] || fail "cp $opt C:$from $to: wanted an error"
            assert_output_has "${want#error: }"
            assert_eq "$(cat "$T/d/old")" before
            ;;
        *) { [ "$status" = 0 ] && check "$T/d" "$want"; } || fail "cp $opt C:$from $to: $(listing "$T/d")" ;;
        esac
    done <<<"$cp_table"
}

@test "cp into a container: every kind of source and destination" {
    c=$(unique)
    container "$c" -v "$T:/host"
    sh -c "$(make_sources "$T/s")"
    while IFS='|' read -r from to want; do
        inside "$c" sh -c "$(make_dests /d)"
        opt= && case $from in -L*) opt=-L from=${from#-L } ;; esac
        run coracle cp $opt "$T/s/$from" "$c:/d/$to"
        rm -rf "$T/seen"
        inside "$c" cp -a /d /host/seen
        case $want in
        error:*)
            [ "$status" = 1 ] || fail "cp $opt $from C:$to: wanted an error"
            assert_output_has "${want#error: }"
            assert_eq "$(cat "$T/seen/old")" before
            ;;
        *) { [ "$status" = 0 ] && check "$T/seen" "$want"; } || fail "cp $opt $from C:$to: $(listing "$T/seen")" ;;
        esac
    done <<<"$cp_table"
}

@test "cp between two containers, and within one; running and stopped" {
    a=$(unique) b=$(unique)
    container "$a"
    container "$b"
    inside "$a" sh -c 'mkdir /from && echo one >/from/f && chown -R 7:8 /from'
    coracle cp "$a:/from" "$b:/to"
    assert_eq "$(inside "$b" stat -c '%u:%g %n' /to /to/f)" $'0:0 /to\n0:0 /to/f'
    coracle cp -a "$a:/from" "$b:/kept"
    assert_eq "$(inside "$b" stat -c '%u:%g %n' /kept /kept/f)" $'7:8 /kept\n7:8 /kept/f'
    coracle cp "$a:/from/." "$a:/again"
    coracle stop -t 0 "$a" "$b" >/dev/null
    coracle cp "$a:/again/f" "$b:/stopped"
    coracle cp "$b:/stopped" "$b:/twice"
    coracle start "$b" >/dev/null
    assert_eq "$(inside "$b" cat /stopped /twice)" $'one\none'
}

@test "cp: owners are root inside and the user outside; -a keeps the numbers" {
    c=$(unique)
    container "$c"
    echo x >f
    chmod 4751 f
    coracle cp f "$c:/root/"
    assert_eq "$(inside "$c" stat -c '%u:%g %a' /root/f)" "0:0 4751"
    inside "$c" chown 1000:1000 /etc/passwd
    coracle cp "$c:/etc/passwd" p
    assert_eq "$(stat -c %u p)" "$(id -u)"
    coracle cp -a f "$c:/root/kept"
    assert_eq "$(inside "$c" stat -c '%u:%g' /root/kept)" "$(id -u):$(id -g)"
}

@test "cp as tar streams: names and owners are the archive's" {
    c=$(unique)
    container "$c"
    mkdir d && echo one >d/one
    tar --owner=44:44 --group=45:45 -cf - d | coracle cp - "$c:/var"
    assert_eq "$(inside "$c" stat -c '%u:%g' /var/d/one)" 44:45
    tar -czf - d | coracle cp - "$c:/home"
    assert_eq "$(inside "$c" cat /home/d/one)" one
    assert_eq "$(coracle cp "$c:/var/d" - | tar -tvf - | awk '{print $2, $NF}')" $'44/45 d/\n44/45 d/one'
    assert_eq "$(coracle cp "$c:/var/d/." - | tar -tf -)" $'./\n./one'
    run coracle cp - "$c:/etc/passwd" </dev/null
    assert_status 1
    assert_output_has "destination \"$c:/etc/passwd\" must be a directory"
    run bash -c "echo rubbish | coracle cp - $c:/var"
    assert_status 1
    # a parent that is a link inside the container is followed inside it
    inside "$c" ln -s /home /var/away
    mkdir away && echo two >away/two
    tar -cf - away/two | coracle cp - "$c:/var"
    assert_eq "$(inside "$c" cat /home/two)" two
}

@test "cp: times, modes, links, holes, odd names, deep trees and many entries arrive as they were" {
    c=$(unique)
    container "$c"
    mkdir -p tree/sub/empty
    (
        cd tree
        echo plain >plain
        chmod 600 plain
        touch -d '2001-02-03 04:05:06' plain
        ln plain hard
        ln -s ../nowhere dangling
        mkfifo pipe
        truncate -s 5M hole
        echo end >>hole
        echo n >"$(printf 'new\nline')"
        echo u >"größe"
        echo b >"$(printf 'bytes-\xff\xfe')"
        d=deep
        for _ in $(seq 60); do d=$d/a-component-of-some-length-so-that-paths-get-long; done
        mkdir -p "$d" && echo bottom >"$d/f"
        seq 300 | xargs touch
        chmod 1770 sub
    )
    coracle cp tree "$c:/"
    coracle cp "$c:/tree" back
    assert_eq "$(listing back)" "$(listing tree)"
    assert_eq "$(stat -c '%Y %s %h' back/plain)" "$(stat -c '%Y %s %h' tree/plain)"
    cmp tree/hole back/hole
    [ "$(stat -c %b back/hole)" -lt 1000 ]
    [ "$(inside "$c" stat -c %b /tree/hole)" -lt 1000 ]
    diff -r --no-dereference -x pipe tree back
}

@test "cp goes through volumes and bind mounts, of a stopped container, too" {
    c=$(unique)
    mkdir outside
    container "$c" -v "$T/outside:/vol" -v "$T/outside:/ro:ro"
    echo one >f
    coracle cp f "$c:/vol/one"
    assert_eq "$(cat outside/one)" one
    run coracle cp f "$c:/ro/x"
    assert_status 1
    assert_output_has "mounted volume is marked read-only"
    # what is mounted stays mounted
    run coracle cp f "$c:/etc/hosts"
    assert_status 1
    run -0 inside "$c" cat /etc/hosts
    assert_output_has localhost
    coracle stop -t 0 "$c" >/dev/null
    coracle cp f "$c:/vol/two"
    assert_eq "$(cat outside/two)" one
    coracle cp "$c:/vol/." seen
    assert_eq "$(ls seen)" $'one\ntwo'
    run coracle cp f "$c:/ro/x"
    assert_status 1
    [ ! -e outside/x ]
}

@test "cp into a read-only container is refused in docker's words, running and stopped" {
    c=$(unique)
    container "$c" --read-only --tmpfs /tmp
    echo x >f
    run coracle cp f "$c:/root/f"
    assert_status 1
    assert_output_has "container rootfs is marked read-only"
    coracle cp f "$c:/tmp/f"
    assert_eq "$(inside "$c" cat /tmp/f)" x
    coracle stop -t 0 "$c" >/dev/null
    run coracle cp f "$c:/root/f"
    assert_status 1
    assert_output_has "container rootfs is marked read-only"
}

@test "cp: links of the container never lead out of it" {
    c=$(unique)
    container "$c"
    echo secret >secret
    inside "$c" sh -c "mkdir -p /x && ln -s $T /x/abs && ln -s ../../../../../..$T /x/rel && ln -s /proc/1/root /x/proc"
    for way in abs rel; do
        run coracle cp "$c:/x/$way/secret" got
        assert_status 1
        [ ! -e got ]
        run coracle cp secret "$c:/x/$way/planted"
        assert_status 1
        [ ! -e planted ]
    done
    run coracle cp "$c:/x/proc/etc/passwd" got
    assert_status 1
}

@test "cp: errors in docker's words" {
    c=$(unique)
    container "$c"
    echo x >f
    while IFS='|' read -r from to want; do
        run coracle cp "$from" "$to"
        assert_status 1
        assert_output_has "$want"
    done <<E
f|g|must specify at least one container source
|$c:/|source can not be empty
f||destination can not be empty
f|nobody:/x|No such container: nobody
nobody:/x|f|No such container: nobody
$c:/none|f|could not find the file /none in container $c
f|$c:/none/f|could not find the file /none in container $c
f|$c:/etc/passwd/x|extraction point is not a directory
$c:/etc|none/x|directory "$T/none" does not exist
none|$c:/|none
$c:/etc|f|cannot copy directory
E
    run coracle cp f
    assert_status 1
    mkdir -p there/passwd in
    run coracle cp "$c:/etc/passwd" there
    assert_output_has 'cannot overwrite directory "passwd" with non-directory "passwd"'
    echo >in/bin
    run coracle cp "$c:/bin" in
    assert_output_has 'cannot overwrite non-directory "bin/" with directory "bin/"'
    # a name with a colon is the user's own when it starts as a path
    echo y >a:b
    coracle cp ./a:b "$c:/root/"
    assert_eq "$(inside "$c" cat /root/a:b)" y
}

@test "cp says what it copied on a terminal only, and not with -q" {
    c=$(unique)
    container "$c"
    echo x >f
    run -0 --separate-stderr coracle cp f "$c:/root/"
    assert_eq "$output$stderr" ""
    assert_eq "$(script -qec "coracle cp f $c:/root/" /dev/null | tr -d '\r')" "Successfully copied 2.05kB to $c:/root/"
    assert_eq "$(script -qec "coracle cp $c:/root/f g" /dev/null | tr -d '\r')" "Successfully copied 2.05kB to $T/g"
    assert_eq "$(script -qec "coracle cp -q f $c:/root/" /dev/null | tr -d '\r')" ""
    head -c 20000000 /dev/zero >large
    run -0 script -qec "coracle cp large $c:/root/" /dev/null
    assert_output_has "Copying to container - 8."
    [[ $output == *$'\r\e[2KSuccessfully copied 20MB to '* ]] || fail "$(cat -v <<<"$output")"
    rm large
}

# ---- races: CVE-2018-15664 and its kin ----

# A directory and a link to the host's directory change places all the time, under one name.
swapping='mkdir -p /w/real && cd /w && echo mine >real/file && ln -s "$OUTSIDE" evil && mv real swap &&
    while :; do mv swap real; mv evil swap; mv swap evil; mv real swap; done'

@test "cp while the container swaps a directory for a link: nothing of the host is read or written" {
    c=$(unique)
    mkdir outside
    echo secret >outside/file
    echo planted >planted
    image busybox >/dev/null
    coracle run -d --name "$c" --network none -e OUTSIDE="$T/outside" busybox sh -c "$swapping" >/dev/null
    end=$((SECONDS + $(rounds 8))) last=$((SECONDS + 60))
    copied=0 planted=0
    # on a busy machine until each way has met the directory itself once
    while [ $SECONDS -lt $end ] || { [ $((copied * planted)) = 0 ] && [ $SECONDS -lt $last ]; }; do
        coracle cp "$c:/w/swap/file" got 2>/dev/null && copied=$((copied + 1)) || true
        coracle cp "$c:/w/swap/." tree 2>/dev/null || true
        coracle cp "$c:/w" whole 2>/dev/null || true
        coracle cp planted "$c:/w/swap/planted" 2>/dev/null && planted=$((planted + 1)) || true
        coracle cp planted "$c:/w/swap/file.new" 2>/dev/null || true
        ! grep -rqs secret got tree whole || fail "the host's file came out"
        rm -rf got tree whole
    done
    [ "$copied" -gt 0 ]
    assert_eq "$(ls outside)" file
    assert_eq "$(cat outside/file)" secret
    there() { inside "$c" sh -c 'ls /w/*/planted' | grep -q planted; } # unless the name has just changed
    wait_for there
}

@test "cp of what the container removes and makes again all the while" {
    local calls=unlinkat,mkdirat i
    c=$(unique)
    container "$c"
    coracle exec -d "$c" sh -c 'mkdir /w; cd /w; while :; do rm -rf file link fifo; echo theirs >file; echo >link; touch fifo; done'
    mkdir w
    echo ours >w/file
    ln -s file w/link
    mkfifo w/fifo
    tar -cf w.tar --format=pax w
    for i in 1 2 3 4 5 6; do
        # each removal comes late: mostly to what is no longer there, or is there again when it has been done
        strace -f -qq -o /dev/null -e trace=$calls -e inject=$calls:delay_enter=3000:delay_exit=3000 coracle cp - "$c:/" <w.tar
    done
}

# ---- export ----

@test "export: the tree that the container has, without its mounts; running and stopped" {
    c=$(unique)
    mkdir vol && echo x >vol/x
    container "$c" -v "$T/vol:/vol"
    inside "$c" sh -c 'mkdir /mine && echo hi >/mine/f && chown 3:4 /mine/f && ln /mine/f /mine/hard && ln -s f /mine/soft && mkfifo /mine/p'
    coracle export "$c" >running.tar
    coracle stop -t 0 "$c" >/dev/null
    coracle export -o stopped.tar "$c"
    for when in running stopped; do tar -tf $when.tar | sed 's,/$,,' | sort >$when; done
    cmp running stopped
    # every name that the container sees on its own file system, and no other
    coracle start "$c" >/dev/null
    inside "$c" find / -xdev -mindepth 1 | sed 's,^/,,' | sort >seen
    places='^dev|^proc|^sys|^etc/host|^etc/resolv|^vol'
    diff <(grep -Ev "$places" seen) <(grep -Ev "$places" running)
    ! grep -Eq '^(vol|proc|sys)/.' running
    run -0 tar --numeric-owner -tvf running.tar mine/f mine/hard mine/soft mine/p
    assert_output_has "3/4"
    assert_output_has "mine/soft -> f"
    assert_output_has "link to mine/"
    coracle import running.tar again >/dev/null
    assert_eq "$(coracle run --rm --network none again cat /mine/hard 2>&1)" hi
}

@test "export and cp out of a container that is removed meanwhile fail, whatever they have got of it" {
    local what
    mkfifo pipe
    for what in 'export C' 'cp C:/ -'; do
        c=$(unique)
        container "$c"
        inside "$c" sh -c 'head -c 3000000 /dev/urandom >/zz'
        coracle ${what/C/$c} >pipe 2>said 3>&- &
        exec 9<pipe
        head -c 512 <&9 >/dev/null # it has begun, and waits for its reader now
        coracle rm -f "$c" >/dev/null
        cat <&9 >/dev/null
        exec 9<&-
        status=0
        wait $! || status=$?
        assert_status 1
        assert_eq "$(cat said)" "coracle: container $c has been removed"
    done
}

@test "export: refuses a terminal; -o leaves no torn file behind" {
    c=$(unique)
    container "$c"
    run script -qec "coracle export $c" /dev/null
    assert_output_has "cowardly refusing to save to a terminal"
    run coracle export -o "$T/none/x.tar" "$c"
    assert_status 1
    run coracle export -o x.tar nobody
    assert_status 1
    assert_eq "$(ls)" ""
}

# ---- unshare ----

@test "unshare: root of the containers' user namespace, with the command's own exit code" {
    c=$(unique)
    container "$c" -v "$T:/vol"
    inside "$c" sh -c 'mkdir -m 700 /vol/theirs && touch /vol/theirs/f && chown -R 1000:1000 /vol/theirs'
    run rm -rf theirs
    [ "$status" != 0 ]
    assert_eq "$(coracle unshare stat -c '%u:%g' theirs/f)" 1000:1000
    [ "$(coracle unshare readlink /proc/self/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ]
    coracle unshare rm -r theirs
    [ ! -e theirs ]
    run coracle unshare sh -c 'exit 7'
    assert_status 7
    run -127 coracle unshare no-such-program
    run coracle unshare /etc/passwd
    assert_status 126
    assert_eq "$(echo 'id -u' | SHELL=/bin/sh coracle unshare)" 0
}
