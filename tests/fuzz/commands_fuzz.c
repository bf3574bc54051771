/* SPDX-License-Identifier: MIT
 *
 * Commands of two sessions, in a server with 16 slices: a line is a request, its words quoted as in a configuration
 * file; with '@' in front it is the second session's. Whatever they are, nothing crashes, no assertion fails (debug
 * builds check the slices a command touches), and what the keys hold at the end goes through DUMP and RESTORE.
 *
 * Left out is what ends the process, sleeps, or touches files.
 */
#include <stdint.h>

#include "server/conf/conf.h"
#include "server/db/db.h"
#include "tests/fuzz/keyspace_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_MAX 200
#define KEYS      16
#define COUNT_MAX 5 /* digits of a number: random elements are asked for by the million otherwise */

static bool is_left_out(struct bytes name)
{
    static const char *const names[] = {"debug",        "shutdown", "config", "save",      "bgsave",
                                        "bgrewriteaof", "sync",     "psync",  "replicaof", "slaveof",
                                        "failover",     "module",   "acl",    "monitor",   "pfselftest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bytes_is_word(name, names[i])) return true;
    return false;
}

static bool is_large_number(struct bytes w)
{
    size_t digits = 0;
    for (size_t i = 0; i < w.n; i++) digits += w.p[i] >= '0' && w.p[i] <= '9';
    return digits > COUNT_MAX && digits + 1 >= w.n;
}

/* Counts of elements and offsets of bytes are bounded by what is there, or by proto-max-bulk-len, but not by what an
 * input may cost. */
static bool costs_too_much(const struct bytes *argv, int argc)
{
    static const char *const names[] = {"hrandfield", "srandmember", "zrandmember", "setrange", "setbit", "bitfield"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!bytes_is_word(argv[0], names[i])) continue;
        for (int k = 1; k < argc; k++)
            if (is_large_number(argv[k])) return true;
    }
    return false;
}

static void run_line(struct session *s, struct bytes line)
{
    struct conf_args a;
    if (conf_split(line, &a) != 0) return;
    if (a.argc && !is_left_out(a.argv[0]) && !costs_too_much(a.argv, a.argc)) keyspace_do(s, a.argv, a.argc);
    conf_args_free(&a);
}

static void check_keys(struct keyspace *k)
{
    for (int i = 0; i < KEYS; i++) {
        struct bytes random[] = {BYTES("RANDOMKEY")};
        struct bytes said = keyspace_ask(&k->s, random, 1), key = keyspace_bulk(said);
        if (key.p) keyspace_check_key(&k->s, key);
        mem_free((char *)said.p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keyspace *k = keyspace_new();
    struct reply out;
    struct session other;
    keyspace_session(k, &other, &out);
    const char *at = (const char *)data, *end = at + size;
    for (int i = 0; at < end && i < LINES_MAX; i++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        bool second = *at == '@';
        run_line(second ? &other : &k->s, bytes_of(at + second, (size_t)(stop - at) - second));
        at = stop + 1;
        k->f.w.now_ms += 7;
    }
    struct bytes discard[] = {BYTES("DISCARD")};
    keyspace_do(&k->s, discard, 1);
    check_keys(k);
    keyspace_session_end(&other);
    keyspace_free(k);
    return 0;
}
