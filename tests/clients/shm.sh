#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 180
#
# Our server with a path of shared memory beside TCP and a Unix socket, and on shared memory alone: our load generator talks
# to it by the library, redis-cli beside it; clients that are killed, and a server that is.
set -u
folder=$(mktemp -d) || exit 1
server=${DEMIKV_SERVER:-build/demikv-server}
load=${BUILD:-build}/tools/bench/load
"$server" --port 0 --unixsocket "$folder/u" --shm-path "$folder/p" --shm-path-perm 700 --dir "$folder" --save "" >"$folder/log" 2>&1 &
pid=$!
others=""
trap 'kill -9 $pid $others 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 400); do [ -S "$folder/p" ] && break; sleep 0.05; done
count=0
ok() { # claim; the status before is the verdict
    local passed=$?
    count=$((count + 1))
    if [ $passed -eq 0 ]; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        tail -5 "$folder/out" 2>/dev/null | sed 's/^/# /'
    fi
}
shm() { LIBOS=shm timeout 60 "$load" -s "$folder/p" "$@" >"$folder/out" 2>&1; }
ask() { timeout 20 redis-cli -s "$folder/u" "$@"; }

lines=$(ask info server | grep '^listener')
grep -q "^listener1:name=unix,bind=$folder/u" <<<"$lines" && grep -q "^listener3:name=shm,bind=$folder/p" <<<"$lines"
ok "INFO shows the listeners"
[ "$(stat -c %a "$folder/p")" = 700 ]
ok "the path has the permissions that were asked for"
for test in get set incr lpush sadd zadd hset mset ping; do
    shm -t $test -c 20 -n 2000
    ok "$test over shared memory"
done
shm -t get -c 1000 -n 20000
ok "1,000 connections at once"
shm -t set -d 1000000 -c 3 -n 60
ok "values of 1 MB"
for i in 1 2 3 4 5; do
    LIBOS=shm "$load" -s "$folder/p" -t set -P 16 -c 20 -n 100000000 >"$folder/out" 2>&1 &
    victim=$!
    sleep 0.$i
    kill -9 $victim
    wait $victim 2>/dev/null
done
for _ in $(seq 200); do [ "$(ask client list | grep -c "$folder/p:0")" = 0 ] && break; sleep 0.05; done
[ "$(ask client list | grep -c "$folder/p:0")" = 0 ]
ok "clients that were killed are gone"
shm -t get -c 5 -n 1000
ok "and others are served"
timeout 20 redis-cli -s "$folder/p" ping >"$folder/out" 2>&1 && false || ! grep -q PONG "$folder/out"
ok "who speaks to the path as to a Unix socket is refused"
timeout 20 "$server" --port 0 --shm-path "$folder/p" --dir "$folder" --save "" >"$folder/out" 2>&1
[ $? -eq 1 ] && grep -q "another process listens" "$folder/out" && shm -t get -c 5 -n 1000
ok "a second server does not take the path from the first"
LIBOS=shm timeout 60 "$load" -s "$folder/p" -t get -c 5 -n 100000000 >"$folder/out" 2>&1 &
victim=$!
sleep 0.5
kill -9 $pid
wait $pid 2>/dev/null
wait $victim
[ $? -eq 3 ]
ok "a killed server is noticed by its clients"

"$server" --libos shm --port 7421 --unixsocket "$folder/u2" --shm-path "$folder/p" --dir "$folder" --save "" >"$folder/log" 2>&1 &
pid=$!
for _ in $(seq 400); do [ -S "$folder/u2" ] && break; sleep 0.05; done
LIBOS=catloop timeout 60 "$load" -p 7421 -t get -c 20 -n 2000 >"$folder/out" 2>&1
ok "a server on shared memory alone, found by address and port"
shm -t get -c 5 -n 1000
ok "a path that was left by the killed one is taken over"
[ "$(timeout 20 redis-cli -s "$folder/u2" ping)" = PONG ]
ok "whose operator has a Unix socket of the kernel's"
echo "1..$count"
