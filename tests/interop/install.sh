#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 180
#
# `make install` gives what a stranger needs: with DESTDIR and PREFIX into a folder of its own, then, outside of the
# tree, programs are built by pkg-config against what was installed, and run: one of the examples, and one in the style of
# programs written for Demikernel (its types, its flags, all calls inside of assert).
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-$PWD/build}
tree=$PWD
[ -e "$build/libdemikernel.so" ] || { echo "1..0 # SKIP no $build/libdemikernel.so"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}
prefix=/opt/demi
root=$work/root$prefix
number=0 failed=0

ok() { # name, command...: what it printed is shown only if it failed
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >"$work/out" 2>&1; then
        echo "ok $number - $name"
    else
        sed 's/^/# /' "$work/out"
        echo "not ok $number - $name"
        failed=1
    fi
}

install_it() { make --no-print-directory B="$build" DESTDIR="$work/root" PREFIX=$prefix "$1"; }
ok 'make install' install_it install
all_there() {
    local file
    for file in lib/libdemikernel.so lib/libdemikernel.so.1 lib/libdemikernel.a lib/pkgconfig/demikernel.pc \
        include/demi/{cc,types,libos,sga,wait,version,ext,tls}.h include/demi/demi.hpp share/man/man3/demi_wait.3 share/man/man7/demikernel.7 \
        share/man/man5/demikernel.conf.5 share/man/man5/demikernel-log.5 share/man/man1/demi-log.1 bin/demi-log share/man/man1/demikv-{server,check-rdb,check-aof,check-conf}.1; do
        [ -e "$root/$file" ] || { echo "missing: $file"; return 1; }
    done
    [ ! -e "$build/demikv-server" ] || [ -x "$root/bin/demikv-server" -a -x "$root/bin/demikv-check-rdb" -a -x "$root/bin/demikv-check-aof" -a -x "$root/bin/demikv-check-conf" ]
}
ok 'everything is in its place' all_there
every_call_has_a_page() { # by its own name, and the page that it leads to names it
    local name page missing=0
    for name in $(nm -D --defined-only --extern-only "$root/lib/libdemikernel.so.1" | awk 'NF == 3 && $2 != "A" { sub("@.*", "", $3); print $3 }'); do
        page=$root/share/man/man3/$name.3
        [ ! -e "$page" ] || page=$root/share/man/$(sed -n '1s/^\.so //p;1q' "$page" | grep . || echo "man3/$name.3")
        grep -qs "^\.Nm $name\( ,\)*\$" "$page" || { echo "no page: $name"; missing=1; }
    done
    [ -n "$name" ] && return $missing
}
ok 'man finds every exported call by its name' every_call_has_a_page
nothing_shadowed() { ! find "$work/root" -name 'redis-*' | grep .; }
ok 'nothing takes the name of a system program' nothing_shadowed

# pkg-config's sysroot stands for the DESTDIR that a package builder would strip off.
export PKG_CONFIG_PATH=$root/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root
cflags=$(pkg-config --cflags demikernel)
libs=$(pkg-config --libs demikernel)
static_libs=$(pkg-config --static --libs-only-l demikernel | sed 's/-ldemikernel//')
ok 'pkg-config knows the version' pkg-config --exact-version=1.1.0 demikernel

only_demi() { # library, nm's options
    local strangers
    strangers=$(nm $2 --defined-only --extern-only "$root/lib/$1" | awk 'NF == 3 && $2 != "A" { sub("@.*", "", $3); print $3 }' | grep -v '^demi_')
    [ -z "$strangers" ] || { echo "$strangers"; return 1; }
}
ok 'the static library exports demi_* and nothing else' only_demi libdemikernel.a ''
ok 'and so does the shared one' only_demi libdemikernel.so.1 -D
same_names() {
    [ "$(nm --defined-only --extern-only "$root/lib/libdemikernel.a" | awk 'NF == 3 { print $3 }' | sort)" = \
        "$(nm -D --defined-only --extern-only "$root/lib/libdemikernel.so.1" | awk 'NF == 3 && $2 != "A" { sub("@.*", "", $3); print $3 }' | sort)" ]
}
ok 'the same names' same_names
needed() { # each library that is named has something to give, and nothing else is needed
    local name
    readelf -d "$root/lib/libdemikernel.so.1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libpthread|libdl|ld-linux.*)\.so' && return 1
    for name in $static_libs; do
        case $name in
        -lpthread | -ldl) ;;
        -l:liburing.a) nm "$root/lib/libdemikernel.a" 2>/dev/null | grep -q ' U io_uring_' || { echo "$name"; return 1; } ;;
        *) echo "$name"; return 1 ;;
        esac
    done
}
ok 'Libs.private names what is used' needed
elsewhere() { # PREFIX, LIBDIR or empty, libdir and folder of the configuration that are expected
    local at=$work/elsewhere
    rm -rf "$at"
    make --no-print-directory B="$build" DESTDIR="$at" PREFIX="$1" ${2:+LIBDIR="$2"} install || return 1
    [ -e "$at$3/libdemikernel.so.1" ] && [ -e "$at$4/demikv.conf.example" ] || { find "$at" -name '*demik*'; return 1; }
    [ "$(PKG_CONFIG_SYSROOT_DIR= PKG_CONFIG_PATH=$at$3/pkgconfig pkg-config --variable=libdir demikernel)" = "$3" ] || return 1
    make --no-print-directory B="$build" DESTDIR="$at" PREFIX="$1" ${2:+LIBDIR="$2"} uninstall || return 1
    ! find "$at" -type f -o -type l | grep .
}
ok 'LIBDIR is where libraries go' elsewhere /opt/demi /opt/demi/lib64 /opt/demi/lib64 /opt/demi/etc
ok 'also outside of the prefix' elsewhere /opt/demi /srv/lib /srv/lib /opt/demi/etc
ok 'PREFIX=/usr has its configuration in /etc' elsewhere /usr /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /etc

mkdir -p "$work/away/demi/examples"
cp "$tree/demi/examples/"*.[ch] "$work/away/demi/examples/"
cat >"$work/away/upstream.c" <<'EOT'
#include <assert.h>
#include <demi/libos.h>
#include <demi/sga.h>
#include <demi/wait.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 64
#define ROUNDS 100

static void must_complete(demi_qresult_t *qr, demi_qtoken_t qt, demi_opcode_t opcode)
{
    assert(demi_wait(qr, qt, NULL) == 0);
    assert(qr->qr_opcode == opcode);
}

static void push_and_wait(int qd, demi_sgarray_t *sga, demi_qresult_t *qr)
{
    demi_qtoken_t qt = (demi_qtoken_t)-1;
    assert(demi_push(&qt, qd, sga) == 0);
    must_complete(qr, qt, DEMI_OPC_PUSH);
}

static void server(int argc, char *const argv[], struct sockaddr_in *addr)
{
    demi_qresult_t qr = {0};
    demi_qtoken_t qt = (demi_qtoken_t)-1;
    demi_sgarray_t sga = {0};
    int sockqd = -1, recv_qd = -1;
    const struct demi_args args = {.argc = argc, .argv = argv, .callback = NULL};

    assert(demi_init(&args) == 0);
    assert(demi_socket(&sockqd, AF_INET, SOCK_STREAM, 0) == 0);
    assert(demi_bind(sockqd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)) == 0);
    assert(demi_listen(sockqd, 16) == 0);
    assert(demi_accept(&qt, sockqd) == 0);
    must_complete(&qr, qt, DEMI_OPC_ACCEPT);
    recv_qd = qr.qr_value.ares.qd;
    for (size_t bytes = 0; bytes < SIZE * ROUNDS;) {
        assert(demi_pop(&qt, recv_qd) == 0);
        must_complete(&qr, qt, DEMI_OPC_POP);
        assert(qr.qr_value.sga.sga_segs[0].sgaseg_len != 0);
        memcpy(&sga, &qr.qr_value.sga, sizeof(demi_sgarray_t));
        bytes += sga.sga_segs[0].sgaseg_len;
        push_and_wait(recv_qd, &sga, &qr);
        assert(demi_sgafree(&sga) == 0);
    }
}

static void client(int argc, char *const argv[], const struct sockaddr_in *addr)
{
    demi_qresult_t qr = {0};
    demi_qtoken_t qt = (demi_qtoken_t)-1;
    demi_sgarray_t sga = {0};
    int sockqd = -1;

    assert(demi_init(argc, argv) == 0); /* as in Demikernel 1.1 to 1.5 */
    assert(demi_socket(&sockqd, AF_INET, SOCK_STREAM, 0) == 0);
    assert(demi_connect(&qt, sockqd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)) == 0);
    must_complete(&qr, qt, DEMI_OPC_CONNECT);
    for (int i = 0; i < ROUNDS; i++) {
        size_t bytes = 0;
        sga = demi_sgaalloc(SIZE);
        assert(sga.sga_segs[0].sgaseg_buf != NULL);
        memset(sga.sga_segs[0].sgaseg_buf, 1, SIZE);
        push_and_wait(sockqd, &sga, &qr);
        assert(demi_sgafree(&sga) == 0);
        while (bytes < SIZE) {
            assert(demi_pop(&qt, sockqd) == 0);
            must_complete(&qr, qt, DEMI_OPC_POP);
            for (uint32_t b = 0; b < qr.qr_value.sga.sga_segs[0].sgaseg_len; b++)
                assert(((const char *)qr.qr_value.sga.sga_segs[0].sgaseg_buf)[b] == 1);
            bytes += qr.qr_value.sga.sga_segs[0].sgaseg_len;
            assert(demi_sgafree(&qr.qr_value.sga) == 0);
        }
    }
    printf("%d round trips\n", ROUNDS);
}

int main(int argc, char *const argv[])
{
    struct sockaddr_in addr = {0};
    assert(argc >= 4);
    addr.sin_family = AF_INET;
    addr.sin_port = htons((unsigned short)atoi(argv[3]));
    assert(inet_pton(AF_INET, argv[2], &addr.sin_addr) == 1);
    if (strcmp(argv[1], "--server") == 0)
        server(argc, argv, &addr);
    else
        client(argc, argv, &addr);
    return 0;
}
EOT
cd "$work/away" || exit 1
strict='-std=c99 -Wall -Wextra -Werror -O3'
ok "a program in Demikernel's style builds" $cc $strict $cflags upstream.c -o upstream $libs
ok 'and is linked with what was installed' sh -c "ldd_out=\$(LD_LIBRARY_PATH=$root/lib ldd upstream); echo \"\$ldd_out\"; echo \"\$ldd_out\" | grep -q 'libdemikernel.so.1 => $root/lib/'"
ok 'it builds with the static library' $cc $strict $cflags upstream.c -o upstream-static "$root/lib/libdemikernel.a" $static_libs
example() { $cc -std=c99 -D_POSIX_C_SOURCE=199309L -Wall -Wextra -Werror -O3 -I. $cflags "demi/examples/$1.c" -o "$1" $libs; }
for name in tcp-ping-pong tcp-echo udp-echo queue-tasks; do ok "the example $name builds" example $name; done
ok 'the example cpp-echo builds' ${CXX:-c++} -std=c++20 -Wall -Wextra -Werror -O1 $cflags "$tree/demi/examples/cpp-echo.cpp" -o cpp-echo $libs

# Both ends on a port of this machine; the client is tried until the server listens.
export LD_LIBRARY_PATH=$root/lib
unset LIBOS CONFIG_PATH
port=22100
talk() { # program, extra arguments for both, "endless" if the server serves on
    local program=$1 arguments=$2 endless=$3 server status=1
    port=$((port + 1))
    $program --server 127.0.0.1 $port $arguments >"$work/server" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        timeout 20 $program --client 127.0.0.1 $port $arguments && { status=0; break; }
        kill -0 $server 2>/dev/null || break
        sleep 0.1
    done
    if [ "$endless" = endless ]; then
        kill $server
    elif [ $status -eq 0 ]; then
        wait $server || { status=1; echo "server: exit status $?"; }
    else
        kill $server
    fi
    wait $server 2>/dev/null
    cat "$work/server"
    return $status
}
ok "a program in Demikernel's style runs" talk ./upstream '' ends
ok 'and with the static library' talk ./upstream-static '' ends
ok 'the example tcp-ping-pong runs' talk ./tcp-ping-pong '64 500' ends
ok 'the example tcp-echo runs' talk ./tcp-echo '1000 500' endless
ok 'the example cpp-echo runs' talk ./cpp-echo '1000 500' endless
ok 'the example udp-echo runs' talk ./udp-echo '100 200' endless
ok 'the example queue-tasks runs' ./queue-tasks 50

# The programs of demi/README.md, the echo server and the client, are whole.
awk '/^```c$/ { n++; on = 1; next } /^```$/ { on = 0 } on { print > ("readme" n ".c") }' "$tree/demi/README.md"
awk '/^```cpp$/ { on = 1; next } /^```$/ { on = 0 } on { print > "readme.cpp" }' "$tree/demi/README.md"
ok "demi/README.md's program builds: readme.cpp" ${CXX:-c++} -std=c++20 -Wall -Wextra -Werror -O1 $cflags readme.cpp -o readme $libs
for program in readme1 readme2; do
    ok "demi/README.md's program builds: $program" $cc -std=gnu11 -Wall -Wextra -Werror -O2 $cflags $program.c -o $program $libs
done

cd "$tree" || exit 1
ok 'make uninstall' install_it uninstall
nothing_left() { ! find "$work/root" -type f -o -type l | grep .; }
ok 'leaves nothing behind' nothing_left

echo "1..$number"
exit $failed
