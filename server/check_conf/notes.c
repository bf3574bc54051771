/* SPDX-License-Identifier: MIT
 *
 * The differences are those of server/README.md ("Where it differs"), the options without effect those of
 * server/conf/README.md, which tests/tools/options.py holds to the sources, and this table to them.
 */
#include "server/check_conf/notes.h"

#include <strings.h>

#define NO_CLUSTER "there is no cluster mode here"

const struct option_note option_notes[] = {
    /* refused by the server's table, which says what; here is what to do */
    {"cluster-enabled", "!no", VERDICT_REFUSED, NULL,
     "Run one server with replicas (replicaof, redis-sentinel), or leave the keys of this node in its cluster."},
    {"io-threads", "!1", VERDICT_REFUSED, NULL,
     "Leave the line out: one loop does the work of several I/O threads here (libos, libos-spin-us)."},
    {"io-threads-do-reads", "!no", VERDICT_REFUSED, NULL, "Leave the line out, as that of io-threads."},

    /* without effect */
    {"cluster-*", NULL, VERDICT_NO_EFFECT, NO_CLUSTER, NULL},
    {"activerehashing", NULL, VERDICT_NO_EFFECT, "tables always move on in small steps as they grow and shrink", NULL},
    {"jemalloc-bg-thread", NULL, VERDICT_NO_EFFECT, "the heap is not jemalloc's", NULL},
    {"dynamic-hz", NULL, VERDICT_NO_EFFECT, "housekeeping runs hz times a second, however many clients there are",
     NULL},
    {"disable-thp", NULL, VERDICT_NO_EFFECT, "regions of memory use explicit huge pages, or none", NULL},
    {"ignore-warnings", NULL, VERDICT_NO_EFFECT, "none of the warnings that it names stops this server", NULL},
    {"tls-cluster", "yes", VERDICT_NO_EFFECT, NO_CLUSTER, NULL},
    {"enable-module-command", "!no", VERDICT_NO_EFFECT, "modules cannot be loaded here: MODULE LOAD is refused", NULL},

    /* something else */
    {"save", NULL, VERDICT_DIFFERS, "a snapshot is written while clients are served, by no second process",
     "What INFO calls copy-on-write is the memory that it keeps: snapshot-memory-limit bounds it."},
    {"appendfsync", "always", VERDICT_DIFFERS,
     "a reply to a command that changed something waits for the disk, other replies do not", NULL},
    {"appendfsync", NULL, VERDICT_DIFFERS,
     "the log is written behind the commands: SIGKILL may lose what came in the last moment, as a power cut may lose "
     "a second",
     "Where an acknowledged write must never be lost: appendfsync always."},
    {"maxmemory", "!0", VERDICT_DIFFERS,
     "what counts is what this server's heap holds: the same data are another number of bytes than in Redis",
     "Compare used_memory of both with your data before you lower it."},
    {"maxmemory-eviction-tenacity", NULL, VERDICT_DIFFERS,
     "it is for a turn of the loop with all its commands, not for each command", NULL},
    {"lazyfree-lazy-eviction", "no", VERDICT_DIFFERS,
     "values of over 512 elements that are evicted are freed by a helper thread all the same", NULL},
    {"sanitize-dump-payload", "!yes", VERDICT_DIFFERS,
     "whatever could harm the server is looked for and refused anyway", NULL},
    {"activedefrag", "yes", VERDICT_DIFFERS, "it works with this server's own heap, no jemalloc is needed", NULL},
    {"maxmemory-clients", "!0", VERDICT_DIFFERS,
     "a client without a limit of its output is served on until it is closed, instead of being made to read first",
     NULL},
    {"aof_rewrite_cpulist", "!", VERDICT_DIFFERS, "it places threads, not a second process", NULL},
    {"bgsave_cpulist", "!", VERDICT_DIFFERS, "it places threads, not a second process", NULL},
    {"oom-score-adj-values", NULL, VERDICT_DIFFERS,
     "the third value, that of background processes, is for nobody: there are none", NULL},
    {"tls-port", "!0", VERDICT_DIFFERS, "TLS is a plug-in, libdemikernel-tls.so, which is loaded when it is used",
     "Debian: install libdemikernel-tls1."},
    {"tls-replication", "yes", VERDICT_DIFFERS,
     "TLS is a plug-in, libdemikernel-tls.so, which is loaded when it is used", "Debian: install libdemikernel-tls1."},
    {"socket-mark-id", "!0", VERDICT_DIFFERS, "it holds for kernel sockets (libos posix, uring) only", NULL},
    {"bind-source-addr", "!", VERDICT_DIFFERS, "it takes an address, not a name", NULL},
    {"enable-debug-command", "!no", VERDICT_RISK, "DEBUG can stop the server and show what is in it",
     "Leave it at no where others than you reach the server."},
    {"enable-protected-configs", "!no", VERDICT_RISK,
     "whoever may say CONFIG SET chooses where files are written (dir, dbfilename)", "Leave it at no."},
    {"replica-read-only", "no", VERDICT_RISK,
     "what clients write to a replica stays there and is lost at the next copy", NULL},
};
const unsigned option_note_count = sizeof option_notes / sizeof *option_notes;

static bool name_fits(const char *pattern, struct bytes name)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*') return bytes_is_word(name, pattern);
    return name.n >= n - 1 && !strncasecmp(name.p, pattern, n - 1);
}

static bool value_fits(const char *pattern, struct bytes value)
{
    if (!pattern) return true;
    return *pattern == '!' ? !bytes_is_word(value, pattern + 1) : bytes_is_word(value, pattern);
}

const struct option_note *option_note_find(struct bytes option, struct bytes value)
{
    for (unsigned i = 0; i < option_note_count; i++)
        if (name_fits(option_notes[i].option, option) && value_fits(option_notes[i].value, value))
            return &option_notes[i];
    return NULL;
}
