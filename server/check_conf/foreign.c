/* SPDX-License-Identifier: MIT
 *
 * Names that other versions know. What Redis removed stops every later redis-server, too; what Redis 7.4 and Valkey
 * added is not there in 7.2.4, which this server is like. Sources: the option tables of redis 2.2 to 7.2, the release
 * notes of Redis 7.4 and the configuration of Valkey 7.2 to 8.
 */
#include "server/check_conf/notes.h"

#define GONE  "Leave the line out: Redis itself has not known it for long."
#define NEWER "Leave the line out."

const struct foreign_option foreign_options[] = {
    {"vm-enabled", "Redis 2.0 to 2.4", GONE},
    {"vm-swap-file", "Redis 2.0 to 2.4", GONE},
    {"vm-max-memory", "Redis 2.0 to 2.4", "Leave the line out; maxmemory bounds the data."},
    {"vm-page-size", "Redis 2.0 to 2.4", GONE},
    {"vm-pages", "Redis 2.0 to 2.4", GONE},
    {"vm-max-threads", "Redis 2.0 to 2.4", GONE},
    {"really-use-vm", "Redis 2.4", GONE},
    {"glueoutputbuf", "Redis 1.0 to 2.4", GONE},
    {"hash-max-zipmap-entries", "Redis 2.0 to 2.4", "Write hash-max-listpack-entries."},
    {"hash-max-zipmap-value", "Redis 2.0 to 2.4", "Write hash-max-listpack-value."},
    {"gopher-enabled", "Redis 6.0 and 6.2", "Leave the line out: nobody speaks Gopher any more."},

    {"max-new-connections-per-cycle", "Redis 7.4, Valkey 8.0", NEWER},
    {"max-new-tls-connections-per-cycle", "Redis 7.4, Valkey 8.0", NEWER},
    {"hide-user-data-from-log", "Redis 7.4, Valkey 8.0", NEWER},
    {"cluster-compatibility-sample-ratio", "Redis 8.0", NEWER},
    {"cluster-slot-stats-enabled", "Redis 8.0, Valkey 8.0", NEWER},
    {"lazyexpire-nested-arbitrary-keys", "Redis 8.0", NEWER},
    {"replica-full-sync-buffer-limit", "Redis 8.0", "Leave the line out; see client-output-buffer-limit replica."},
    {"repl-rdb-channel", "Redis 8.0", NEWER},

    {"primaryauth", "Valkey 8.0", "Write masterauth."},
    {"primaryuser", "Valkey 8.0", "Write masteruser."},
    {"server-cpulist", "Valkey 8.0", "Write server_cpulist."},
    {"bio-cpulist", "Valkey 8.0", "Write bio_cpulist."},
    {"aof-rewrite-cpulist", "Valkey 8.0", "Write aof_rewrite_cpulist."},
    {"bgsave-cpulist", "Valkey 8.0", "Write bgsave_cpulist."},
    {"extended-redis-compatibility", "Valkey 7.2", "Leave the line out: clients are told that this is Redis 7.2.4."},
    {"dual-channel-replication-enabled", "Valkey 8.0", NEWER},
    {"availability-zone", "Valkey 8.0", NEWER},
    {"events-per-io-thread", "Valkey 8.0", "Leave the line out, as io-threads."},
    {"prefetch-batch-max-size", "Valkey 8.0", NEWER},
    {"enable-debug-assert", "Valkey 8.0", NEWER},
    {"debug-context", "Valkey 8.0", NEWER},
    {"unixsocketgroup", "Valkey 8.0", "Let the folder belong to that group, and set unixsocketperm."},
    {"cluster-announce-client-ipv4", "Valkey 8.0", NEWER},
    {"cluster-announce-client-ipv6", "Valkey 8.0", NEWER},
    {"cluster-blacklist-ttl", "Valkey 8.0", NEWER},
    {"import-mode", "Valkey 8.1", NEWER},
    {"rdb-version-check", "Valkey 8.1", "Leave the line out: files of versions 1 to 11 are read."},
    {"cluster-manual-failover-timeout", "Valkey 8.1", NEWER},
    {"commandlog-execution-slower-than", "Valkey 8.1", "Write slowlog-log-slower-than."},
    {"commandlog-slow-execution-max-len", "Valkey 8.1", "Write slowlog-max-len."},
    {"commandlog-request-larger-than", "Valkey 8.1", NEWER},
    {"commandlog-large-request-max-len", "Valkey 8.1", NEWER},
    {"commandlog-reply-larger-than", "Valkey 8.1", NEWER},
    {"commandlog-large-reply-max-len", "Valkey 8.1", NEWER},
};
const unsigned foreign_option_count = sizeof foreign_options / sizeof *foreign_options;

const struct foreign_option *foreign_option_find(struct bytes name)
{
    for (unsigned i = 0; i < foreign_option_count; i++)
        if (bytes_is_word(name, foreign_options[i].name)) return &foreign_options[i];
    return NULL;
}
