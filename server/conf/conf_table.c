/* SPDX-License-Identifier: MIT
 *
 * Every option of redis-server 7.0.15, and ours at the end of their kind. Bounds, defaults and words are Redis's:
 * scripts and operators rely on them.
 */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "server/conf/option.h"

#define MB (INT64_C(1) << 20)

#define OPTION(n, a, t, f, field)                                                                                      \
    .name = (n), .alias = (a), .type = (t), .flags = (f), .offset = offsetof(struct config, field)
#define BOOL(n, a, f, field, v)                                                                                        \
    {                                                                                                                  \
        OPTION(n, a, CONF_BOOL, f, field), .initial = (v)                                                              \
    }
#define STRING(n, a, f, field, v, valid)                                                                               \
    {                                                                                                                  \
        OPTION(n, a, CONF_STRING, f, field), .initial_text = (v), .text_is_valid = (valid)                             \
    }
#define ANY_BYTES(n, a, f, field)                                                                                      \
    {                                                                                                                  \
        OPTION(n, a, CONF_BYTES, f, field)                                                                             \
    }
#define ENUM(n, a, f, field, w, v, valid)                                                                              \
    {                                                                                                                  \
        OPTION(n, a, CONF_ENUM, f, field), .words = (w), .initial = (v), .word_is_valid = (valid)                      \
    }
#define NUMBER(n, a, f, field, low, high, v, u)                                                                        \
    {                                                                                                                  \
        OPTION(n, a, CONF_NUMBER, f, field), .min = (low), .max = (high), .initial = (v), .unit = (u)                  \
    }
#define SPECIAL(n, a, f, how)                                                                                          \
    {                                                                                                                  \
        .name = (n), .alias = (a), .type = CONF_SPECIAL, .flags = (f), .special = &conf_special_##how                  \
    }

static const struct conf_word maxmemory_policy_words[] = {
    {"volatile-lru", MAXMEMORY_VOLATILE_LRU},
    {"volatile-lfu", MAXMEMORY_VOLATILE_LFU},
    {"volatile-random", MAXMEMORY_VOLATILE_RANDOM},
    {"volatile-ttl", MAXMEMORY_VOLATILE_TTL},
    {"allkeys-lru", MAXMEMORY_ALLKEYS_LRU},
    {"allkeys-lfu", MAXMEMORY_ALLKEYS_LFU},
    {"allkeys-random", MAXMEMORY_ALLKEYS_RANDOM},
    {"noeviction", MAXMEMORY_NOEVICTION},
    {NULL, 0},
};
static const struct conf_word syslog_facility_words[] = {
    {"user", SYSLOG_USER},     {"local0", SYSLOG_LOCAL0},
    {"local1", SYSLOG_LOCAL1}, {"local2", SYSLOG_LOCAL2},
    {"local3", SYSLOG_LOCAL3}, {"local4", SYSLOG_LOCAL4},
    {"local5", SYSLOG_LOCAL5}, {"local6", SYSLOG_LOCAL6},
    {"local7", SYSLOG_LOCAL7}, {NULL, 0},
};
static const struct conf_word loglevel_words[] = {
    {"debug", LOGLEVEL_DEBUG},     {"verbose", LOGLEVEL_VERBOSE}, {"notice", LOGLEVEL_NOTICE},
    {"warning", LOGLEVEL_WARNING}, {"nothing", LOGLEVEL_NOTHING}, {NULL, 0},
};
static const struct conf_word log_format_words[] = {
    {"legacy", LOG_FORMAT_LEGACY},
    {"logfmt", LOG_FORMAT_LOGFMT},
    {"json", LOG_FORMAT_JSON},
    {NULL, 0},
};
static const struct conf_word log_timestamp_words[] = {
    {"legacy", LOG_TIMESTAMP_LEGACY},
    {"iso8601", LOG_TIMESTAMP_ISO8601},
    {"milliseconds", LOG_TIMESTAMP_MILLISECONDS},
    {NULL, 0},
};
static const struct conf_word libos_files_words[] = {
    {"auto", LIBOS_FILES_AUTO},
    {"threads", LIBOS_FILES_THREADS},
    {NULL, 0},
};
static const struct conf_word supervised_mode_words[] = {
    {"upstart", SUPERVISED_UPSTART},
    {"systemd", SUPERVISED_SYSTEMD},
    {"auto", SUPERVISED_AUTO},
    {"no", SUPERVISED_NO},
    {NULL, 0},
};
static const struct conf_word aof_fsync_words[] = {
    {"everysec", APPENDFSYNC_EVERYSEC},
    {"always", APPENDFSYNC_ALWAYS},
    {"no", APPENDFSYNC_NO},
    {NULL, 0},
};
static const struct conf_word shutdown_on_sig_words[] = {
    {"default", SHUTDOWN_ON_SIG_DEFAULT}, {"save", SHUTDOWN_ON_SIG_SAVE},   {"nosave", SHUTDOWN_ON_SIG_NOSAVE},
    {"now", SHUTDOWN_ON_SIG_NOW},         {"force", SHUTDOWN_ON_SIG_FORCE}, {NULL, 0},
};
static const struct conf_word repl_diskless_load_words[] = {
    {"disabled", DISKLESS_LOAD_DISABLED},
    {"on-empty-db", DISKLESS_LOAD_ON_EMPTY_DB},
    {"swapdb", DISKLESS_LOAD_SWAPDB},
    {NULL, 0},
};
static const struct conf_word tls_auth_clients_words[] = {
    {"no", TLS_AUTH_NO},
    {"yes", TLS_AUTH_YES},
    {"optional", TLS_AUTH_OPTIONAL},
    {NULL, 0},
};
static const struct conf_word oom_score_adj_words[] = {
    {"no", OOM_SCORE_ADJ_NO},
    {"yes", OOM_SCORE_ADJ_RELATIVE},
    {"relative", OOM_SCORE_ADJ_RELATIVE},
    {"absolute", OOM_SCORE_ADJ_ABSOLUTE},
    {NULL, 0},
};
static const struct conf_word acl_pubsub_default_words[] = {
    {"allchannels", ACL_PUBSUB_ALLCHANNELS},
    {"resetchannels", ACL_PUBSUB_RESETCHANNELS},
    {NULL, 0},
};
static const struct conf_word sanitize_dump_payload_words[] = {
    {"no", SANITIZE_DUMP_NO},
    {"yes", SANITIZE_DUMP_YES},
    {"clients", SANITIZE_DUMP_CLIENTS},
    {NULL, 0},
};
static const struct conf_word protected_action_words[] = {
    {"no", PROTECTED_ACTION_NO},
    {"yes", PROTECTED_ACTION_YES},
    {"local", PROTECTED_ACTION_LOCAL},
    {NULL, 0},
};
static const struct conf_word cluster_preferred_endpoint_type_words[] = {
    {"ip", CLUSTER_ENDPOINT_IP},
    {"hostname", CLUSTER_ENDPOINT_HOSTNAME},
    {"unknown-endpoint", CLUSTER_ENDPOINT_UNKNOWN_ENDPOINT},
    {NULL, 0},
};
static const struct conf_word propagation_error_behavior_words[] = {
    {"ignore", PROPAGATION_ERROR_IGNORE},
    {"panic", PROPAGATION_ERROR_PANIC},
    {"panic-on-replicas", PROPAGATION_ERROR_PANIC_ON_REPLICAS},
    {NULL, 0},
};

const struct conf_option conf_options[] = {
    /* yes or no */
    BOOL("rdbchecksum", NULL, CONF_IMMUTABLE, rdbchecksum, true),
    BOOL("daemonize", NULL, CONF_IMMUTABLE, daemonize, false),
    BOOL("io-threads-do-reads", NULL, CONF_IMMUTABLE | CONF_FIXED, io_threads_do_reads, false),
    BOOL("always-show-logo", NULL, CONF_IMMUTABLE, always_show_logo, false),
    BOOL("protected-mode", NULL, 0, protected_mode, true),
    BOOL("rdbcompression", NULL, 0, rdbcompression, true),
    BOOL("rdb-del-sync-files", NULL, 0, rdb_del_sync_files, false),
    BOOL("activerehashing", NULL, 0, activerehashing, true),
    BOOL("stop-writes-on-bgsave-error", NULL, 0, stop_writes_on_bgsave_error, true),
    BOOL("set-proc-title", NULL, CONF_IMMUTABLE, set_proc_title, true),
    BOOL("dynamic-hz", NULL, 0, dynamic_hz, true),
    BOOL("lazyfree-lazy-eviction", NULL, 0, lazyfree_lazy_eviction, false),
    BOOL("lazyfree-lazy-expire", NULL, 0, lazyfree_lazy_expire, false),
    BOOL("lazyfree-lazy-server-del", NULL, 0, lazyfree_lazy_server_del, false),
    BOOL("lazyfree-lazy-user-del", NULL, 0, lazyfree_lazy_user_del, false),
    BOOL("lazyfree-lazy-user-flush", NULL, 0, lazyfree_lazy_user_flush, false),
    BOOL("repl-disable-tcp-nodelay", NULL, 0, repl_disable_tcp_nodelay, false),
    BOOL("repl-refuse-void", NULL, 0, repl_refuse_void, false),
    BOOL("repl-diskless-sync", NULL, 0, repl_diskless_sync, true),
    BOOL("aof-rewrite-incremental-fsync", NULL, 0, aof_rewrite_incremental_fsync, true),
    BOOL("no-appendfsync-on-rewrite", NULL, 0, no_appendfsync_on_rewrite, false),
    BOOL("cluster-require-full-coverage", NULL, 0, cluster_require_full_coverage, true),
    BOOL("rdb-save-incremental-fsync", NULL, 0, rdb_save_incremental_fsync, true),
    BOOL("aof-load-truncated", NULL, 0, aof_load_truncated, true),
    BOOL("aof-use-rdb-preamble", NULL, 0, aof_use_rdb_preamble, true),
    BOOL("aof-timestamp-enabled", NULL, 0, aof_timestamp_enabled, false),
    BOOL("cluster-replica-no-failover", "cluster-slave-no-failover", 0, cluster_replica_no_failover, false),
    BOOL("replica-lazy-flush", "slave-lazy-flush", 0, replica_lazy_flush, false),
    BOOL("replica-serve-stale-data", "slave-serve-stale-data", 0, replica_serve_stale_data, true),
    BOOL("replica-read-only", "slave-read-only", 0, replica_read_only, true),
    BOOL("replica-ignore-maxmemory", "slave-ignore-maxmemory", 0, replica_ignore_maxmemory, true),
    BOOL("jemalloc-bg-thread", NULL, 0, jemalloc_bg_thread, true),
    BOOL("activedefrag", NULL, 0, activedefrag, false),
    BOOL("syslog-enabled", NULL, CONF_IMMUTABLE, syslog_enabled, false),
    BOOL("cluster-enabled", NULL, CONF_IMMUTABLE | CONF_FIXED, cluster_enabled, false),
    BOOL("appendonly", NULL, CONF_DENY_LOADING, appendonly, false),
    BOOL("cluster-allow-reads-when-down", NULL, 0, cluster_allow_reads_when_down, false),
    BOOL("cluster-allow-pubsubshard-when-down", NULL, 0, cluster_allow_pubsubshard_when_down, true),
    BOOL("crash-log-enabled", NULL, 0, crash_log_enabled, true),
    BOOL("crash-memcheck-enabled", NULL, 0, crash_memcheck_enabled, true),
    BOOL("use-exit-on-panic", NULL, CONF_HIDDEN, use_exit_on_panic, false),
    BOOL("disable-thp", NULL, CONF_IMMUTABLE, disable_thp, true),
    BOOL("cluster-allow-replica-migration", NULL, 0, cluster_allow_replica_migration, true),
    BOOL("replica-announced", NULL, 0, replica_announced, true),
    BOOL("latency-tracking", NULL, 0, latency_tracking, true),
    BOOL("aof-disable-auto-gc", NULL, CONF_HIDDEN, aof_disable_auto_gc, false),
    BOOL("replica-ignore-disk-write-errors", NULL, 0, replica_ignore_disk_write_errors, false),
    BOOL("tls-cluster", NULL, 0, tls_cluster, false),
    BOOL("tls-replication", NULL, 0, tls_replication, false),
    BOOL("tls-prefer-server-ciphers", NULL, 0, tls_prefer_server_ciphers, false),
    BOOL("tls-session-caching", NULL, 0, tls_session_caching, true),

    /* strings; a default of NULL: an empty value means "not set" */
    STRING("aclfile", NULL, CONF_IMMUTABLE, aclfile, "", NULL),
    STRING("unixsocket", NULL, CONF_IMMUTABLE, unixsocket, NULL, NULL),
    STRING("shm-path", NULL, CONF_IMMUTABLE | CONF_OURS, shm_path, NULL, NULL),
    STRING("rdma-device", NULL, CONF_IMMUTABLE | CONF_OURS, rdma_device, NULL, NULL),
    STRING("pidfile", NULL, CONF_IMMUTABLE, pidfile, NULL, NULL),
    STRING("replica-announce-ip", "slave-announce-ip", 0, replica_announce_ip, NULL, NULL),
    STRING("masteruser", NULL, CONF_SENSITIVE, masteruser, NULL, NULL),
    STRING("cluster-announce-ip", NULL, 0, cluster_announce_ip, NULL, NULL),
    STRING("cluster-config-file", NULL, CONF_IMMUTABLE, cluster_config_file, "nodes.conf", NULL),
    STRING("cluster-announce-hostname", NULL, 0, cluster_announce_hostname, NULL, conf_valid_hostname),
    STRING("cluster-announce-human-nodename", NULL, 0, cluster_announce_human_nodename, NULL, conf_valid_nodename),
    STRING("syslog-ident", NULL, CONF_IMMUTABLE, syslog_ident, "redis", NULL),
    STRING("dbfilename", NULL, CONF_PROTECTED, dbfilename, "dump.rdb", conf_valid_dbfilename),
    STRING("appendfilename", NULL, CONF_IMMUTABLE, appendfilename, "appendonly.aof", conf_valid_appendfilename),
    STRING("appenddirname", NULL, CONF_IMMUTABLE, appenddirname, "appendonlydir", conf_valid_appenddirname),
    STRING("aof-device", NULL, CONF_IMMUTABLE, aof_device, "", conf_valid_aof_device),
    STRING("server_cpulist", NULL, CONF_IMMUTABLE, server_cpulist, NULL, conf_valid_cpu_list),
    STRING("bio_cpulist", NULL, CONF_IMMUTABLE, bio_cpulist, NULL, conf_valid_cpu_list),
    STRING("aof_rewrite_cpulist", NULL, CONF_IMMUTABLE, aof_rewrite_cpulist, NULL, conf_valid_cpu_list),
    STRING("bgsave_cpulist", NULL, CONF_IMMUTABLE, bgsave_cpulist, NULL, conf_valid_cpu_list),
    STRING("ignore-warnings", NULL, 0, ignore_warnings, "", NULL),
    STRING("proc-title-template", NULL, 0, proc_title_template, "{title} {listen-addr} {server-mode}",
           conf_valid_proc_title),
    STRING("locale-collate", NULL, 0, locale_collate, "", NULL),
    STRING("bind-source-addr", NULL, 0, bind_source_addr, NULL, NULL),
    STRING("logfile", NULL, CONF_IMMUTABLE, logfile, "", NULL),
    ANY_BYTES("masterauth", NULL, CONF_SENSITIVE, masterauth),
    ANY_BYTES("requirepass", NULL, CONF_SENSITIVE, requirepass),
    STRING("tls-cert-file", NULL, CONF_VOLATILE, tls_cert_file, NULL, NULL),
    STRING("tls-key-file", NULL, CONF_VOLATILE, tls_key_file, NULL, NULL),
    STRING("tls-key-file-pass", NULL, 0, tls_key_file_pass, NULL, NULL),
    STRING("tls-client-cert-file", NULL, CONF_VOLATILE, tls_client_cert_file, NULL, NULL),
    STRING("tls-client-key-file", NULL, CONF_VOLATILE, tls_client_key_file, NULL, NULL),
    STRING("tls-client-key-file-pass", NULL, 0, tls_client_key_file_pass, NULL, NULL),
    STRING("tls-dh-params-file", NULL, CONF_VOLATILE, tls_dh_params_file, NULL, NULL),
    STRING("tls-ca-cert-file", NULL, CONF_VOLATILE, tls_ca_cert_file, NULL, NULL),
    STRING("tls-ca-cert-dir", NULL, CONF_VOLATILE, tls_ca_cert_dir, NULL, NULL),
    STRING("tls-protocols", NULL, 0, tls_protocols, NULL, NULL),
    STRING("tls-ciphers", NULL, 0, tls_ciphers, NULL, NULL),
    STRING("tls-ciphersuites", NULL, 0, tls_ciphersuites, NULL, NULL),
    STRING("libos", NULL, CONF_IMMUTABLE | CONF_OURS, libos, NULL, NULL),
    STRING("libos-config", NULL, CONF_IMMUTABLE | CONF_OURS, libos_config, NULL, NULL),
    STRING("libos-interface", NULL, CONF_IMMUTABLE | CONF_OURS, libos_interface, NULL, NULL),
    STRING("libos-address", NULL, CONF_IMMUTABLE | CONF_OURS, libos_address, NULL, NULL),
    STRING("libos-gateway", NULL, CONF_IMMUTABLE | CONF_OURS, libos_gateway, NULL, NULL),
    STRING("libos-eal", NULL, CONF_IMMUTABLE | CONF_OURS, libos_eal, NULL, NULL),
    STRING("libos-settings", NULL, CONF_IMMUTABLE | CONF_OURS, libos_settings, NULL, NULL),
    STRING("libos-pcap", NULL, 0, libos_pcap, NULL, NULL),

    /* one word of several */
    ENUM("supervised", NULL, CONF_IMMUTABLE, supervised, supervised_mode_words, SUPERVISED_NO, NULL),
    ENUM("libos-files", NULL, CONF_IMMUTABLE | CONF_OURS, libos_files, libos_files_words, LIBOS_FILES_AUTO, NULL),
    ENUM("syslog-facility", NULL, CONF_IMMUTABLE, syslog_facility, syslog_facility_words, SYSLOG_LOCAL0, NULL),
    ENUM("repl-diskless-load", NULL, CONF_DENY_LOADING, repl_diskless_load, repl_diskless_load_words,
         DISKLESS_LOAD_DISABLED, NULL),
    ENUM("loglevel", NULL, 0, loglevel, loglevel_words, LOGLEVEL_NOTICE, NULL),
    ENUM("log-format", NULL, 0, log_format, log_format_words, LOG_FORMAT_LEGACY, NULL),
    ENUM("log-timestamp-format", NULL, 0, log_timestamp_format, log_timestamp_words, LOG_TIMESTAMP_LEGACY, NULL),
    ENUM("maxmemory-policy", NULL, 0, maxmemory_policy, maxmemory_policy_words, MAXMEMORY_NOEVICTION, NULL),
    ENUM("appendfsync", NULL, 0, appendfsync, aof_fsync_words, APPENDFSYNC_EVERYSEC, NULL),
    ENUM("oom-score-adj", NULL, 0, oom_score_adj, oom_score_adj_words, OOM_SCORE_ADJ_NO, NULL),
    ENUM("acl-pubsub-default", NULL, 0, acl_pubsub_default, acl_pubsub_default_words, ACL_PUBSUB_RESETCHANNELS, NULL),
    ENUM("sanitize-dump-payload", NULL, 0, sanitize_dump_payload, sanitize_dump_payload_words, SANITIZE_DUMP_NO, NULL),
    ENUM("enable-protected-configs", NULL, CONF_IMMUTABLE, enable_protected_configs, protected_action_words,
         PROTECTED_ACTION_NO, NULL),
    ENUM("enable-debug-command", NULL, CONF_IMMUTABLE, enable_debug_command, protected_action_words,
         PROTECTED_ACTION_NO, NULL),
    ENUM("enable-module-command", NULL, CONF_IMMUTABLE, enable_module_command, protected_action_words,
         PROTECTED_ACTION_NO, NULL),
    ENUM("cluster-preferred-endpoint-type", NULL, 0, cluster_preferred_endpoint_type,
         cluster_preferred_endpoint_type_words, CLUSTER_ENDPOINT_IP, NULL),
    ENUM("propagation-error-behavior", NULL, 0, propagation_error_behavior, propagation_error_behavior_words,
         PROPAGATION_ERROR_IGNORE, NULL),
    ENUM("shutdown-on-sigint", NULL, CONF_MULTI, shutdown_on_sigint, shutdown_on_sig_words, SHUTDOWN_ON_SIG_DEFAULT,
         conf_valid_shutdown),
    ENUM("shutdown-on-sigterm", NULL, CONF_MULTI, shutdown_on_sigterm, shutdown_on_sig_words, SHUTDOWN_ON_SIG_DEFAULT,
         conf_valid_shutdown),
    ENUM("tls-auth-clients", NULL, 0, tls_auth_clients, tls_auth_clients_words, TLS_AUTH_YES, NULL),

    /* numbers */
    NUMBER("databases", NULL, CONF_IMMUTABLE, databases, 1, INT_MAX, 16, UNIT_NONE),
    NUMBER("port", NULL, 0, port, 0, 65535, 6379, UNIT_NONE),
    NUMBER("io-threads", NULL, CONF_IMMUTABLE | CONF_FIXED, io_threads, 1, 128, 1, UNIT_NONE),
    NUMBER("auto-aof-rewrite-percentage", NULL, 0, auto_aof_rewrite_percentage, 0, INT_MAX, 100, UNIT_NONE),
    NUMBER("cluster-replica-validity-factor", "cluster-slave-validity-factor", 0, cluster_replica_validity_factor, 0,
           INT_MAX, 10, UNIT_NONE),
    NUMBER("list-max-listpack-size", "list-max-ziplist-size", 0, list_max_listpack_size, INT_MIN, INT_MAX, -2,
           UNIT_NONE),
    NUMBER("tcp-keepalive", NULL, 0, tcp_keepalive, 0, INT_MAX, 300, UNIT_NONE),
    NUMBER("cluster-migration-barrier", NULL, 0, cluster_migration_barrier, 0, INT_MAX, 1, UNIT_NONE),
    NUMBER("active-defrag-cycle-min", NULL, 0, active_defrag_cycle_min, 1, 99, 1, UNIT_NONE),
    NUMBER("active-defrag-cycle-max", NULL, 0, active_defrag_cycle_max, 1, 99, 25, UNIT_NONE),
    NUMBER("active-defrag-threshold-lower", NULL, 0, active_defrag_threshold_lower, 0, 1000, 10, UNIT_NONE),
    NUMBER("active-defrag-threshold-upper", NULL, 0, active_defrag_threshold_upper, 0, 1000, 100, UNIT_NONE),
    NUMBER("lfu-log-factor", NULL, 0, lfu_log_factor, 0, INT_MAX, 10, UNIT_NONE),
    NUMBER("lfu-decay-time", NULL, 0, lfu_decay_time, 0, INT_MAX, 1, UNIT_NONE),
    NUMBER("replica-priority", "slave-priority", 0, replica_priority, 0, INT_MAX, 100, UNIT_NONE),
    NUMBER("repl-diskless-sync-delay", NULL, 0, repl_diskless_sync_delay, 0, INT_MAX, 5, UNIT_NONE),
    NUMBER("maxmemory-samples", NULL, 0, maxmemory_samples, 1, INT_MAX, 5, UNIT_NONE),
    NUMBER("maxmemory-eviction-tenacity", NULL, 0, maxmemory_eviction_tenacity, 0, 100, 10, UNIT_NONE),
    NUMBER("timeout", NULL, 0, timeout, 0, INT_MAX, 0, UNIT_NONE),
    NUMBER("replica-announce-port", "slave-announce-port", 0, replica_announce_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("tcp-backlog", NULL, CONF_IMMUTABLE, tcp_backlog, 0, INT_MAX, 511, UNIT_NONE),
    NUMBER("cluster-port", NULL, CONF_IMMUTABLE, cluster_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("cluster-announce-bus-port", NULL, 0, cluster_announce_bus_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("cluster-announce-port", NULL, 0, cluster_announce_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("cluster-announce-tls-port", NULL, 0, cluster_announce_tls_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("repl-timeout", NULL, 0, repl_timeout, 1, INT_MAX, 60, UNIT_NONE),
    NUMBER("repl-ping-replica-period", "repl-ping-slave-period", 0, repl_ping_replica_period, 1, INT_MAX, 10,
           UNIT_NONE),
    NUMBER("list-compress-depth", NULL, 0, list_compress_depth, 0, INT_MAX, 0, UNIT_NONE),
    NUMBER("rdb-key-save-delay", NULL, CONF_HIDDEN, rdb_key_save_delay, INT_MIN, INT_MAX, 0, UNIT_NONE),
    NUMBER("key-load-delay", NULL, CONF_HIDDEN, key_load_delay, INT_MIN, INT_MAX, 0, UNIT_NONE),
    NUMBER("active-expire-effort", NULL, 0, active_expire_effort, 1, 10, 1, UNIT_NONE),
    NUMBER("hz", NULL, 0, hz, 0, INT_MAX, 10, UNIT_NONE),
    NUMBER("min-replicas-to-write", "min-slaves-to-write", 0, min_replicas_to_write, 0, INT_MAX, 0, UNIT_NONE),
    NUMBER("min-replicas-max-lag", "min-slaves-max-lag", 0, min_replicas_max_lag, 0, INT_MAX, 10, UNIT_NONE),
    NUMBER("watchdog-period", NULL, CONF_HIDDEN, watchdog_period, 0, INT_MAX, 0, UNIT_NONE),
    NUMBER("shutdown-timeout", NULL, 0, shutdown_timeout, 0, INT_MAX, 10, UNIT_NONE),
    NUMBER("repl-diskless-sync-max-replicas", NULL, 0, repl_diskless_sync_max_replicas, 0, INT_MAX, 0, UNIT_NONE),
    NUMBER("maxclients", NULL, 0, maxclients, 1, UINT_MAX, 10000, UNIT_NONE),
    NUMBER("unixsocketperm", NULL, CONF_IMMUTABLE, unixsocketperm, 0, 0777, 0, UNIT_OCTAL),
    NUMBER("shm-path-perm", NULL, CONF_IMMUTABLE | CONF_OURS, shm_path_perm, 0, 0777, 0, UNIT_OCTAL),
    NUMBER("socket-mark-id", NULL, CONF_IMMUTABLE, socket_mark_id, 0, UINT_MAX, 0, UNIT_NONE),
    NUMBER("active-defrag-max-scan-fields", NULL, 0, active_defrag_max_scan_fields, 1, INT64_MAX, 1000, UNIT_NONE),
    NUMBER("slowlog-max-len", NULL, 0, slowlog_max_len, 0, INT64_MAX, 128, UNIT_NONE),
    NUMBER("acllog-max-len", NULL, 0, acllog_max_len, 0, INT64_MAX, 128, UNIT_NONE),
    NUMBER("busy-reply-threshold", "lua-time-limit", 0, busy_reply_threshold, 0, INT64_MAX, 5000, UNIT_NONE),
    NUMBER("cluster-node-timeout", NULL, 0, cluster_node_timeout, 0, INT64_MAX, 15000, UNIT_NONE),
    NUMBER("slowlog-log-slower-than", NULL, 0, slowlog_log_slower_than, -1, INT64_MAX, 10000, UNIT_NONE),
    NUMBER("latency-monitor-threshold", NULL, 0, latency_monitor_threshold, 0, INT64_MAX, 0, UNIT_NONE),
    NUMBER("proto-max-bulk-len", NULL, 0, proto_max_bulk_len, 1 * MB, INT64_MAX, 512 * MB, UNIT_BYTES),
    NUMBER("stream-node-max-entries", NULL, 0, stream_node_max_entries, 0, INT64_MAX, 100, UNIT_NONE),
    NUMBER("repl-backlog-size", NULL, 0, repl_backlog_size, 1, INT64_MAX, 1 * MB, UNIT_BYTES),
    NUMBER("maxmemory", NULL, 0, maxmemory, 0, INT64_MAX, 0, UNIT_BYTES_AT_MOST),
    NUMBER("cluster-link-sendbuf-limit", NULL, 0, cluster_link_sendbuf_limit, 0, INT64_MAX, 0, UNIT_BYTES_AT_MOST),
    NUMBER("hash-max-listpack-entries", "hash-max-ziplist-entries", 0, hash_max_listpack_entries, 0, INT64_MAX, 512,
           UNIT_NONE),
    NUMBER("set-max-intset-entries", NULL, 0, set_max_intset_entries, 0, INT64_MAX, 512, UNIT_NONE),
    NUMBER("set-max-listpack-entries", NULL, 0, set_max_listpack_entries, 0, INT64_MAX, 128, UNIT_NONE),
    NUMBER("set-max-listpack-value", NULL, 0, set_max_listpack_value, 0, INT64_MAX, 64, UNIT_NONE),
    NUMBER("zset-max-listpack-entries", "zset-max-ziplist-entries", 0, zset_max_listpack_entries, 0, INT64_MAX, 128,
           UNIT_NONE),
    NUMBER("active-defrag-ignore-bytes", NULL, 0, active_defrag_ignore_bytes, 1, INT64_MAX, 100 * MB, UNIT_BYTES),
    NUMBER("hash-max-listpack-value", "hash-max-ziplist-value", 0, hash_max_listpack_value, 0, INT64_MAX, 64,
           UNIT_BYTES),
    NUMBER("stream-node-max-bytes", NULL, 0, stream_node_max_bytes, 0, INT64_MAX, 4096, UNIT_BYTES),
    NUMBER("zset-max-listpack-value", "zset-max-ziplist-value", 0, zset_max_listpack_value, 0, INT64_MAX, 64,
           UNIT_BYTES),
    NUMBER("hll-sparse-max-bytes", NULL, 0, hll_sparse_max_bytes, 0, INT64_MAX, 3000, UNIT_BYTES),
    NUMBER("tracking-table-max-keys", NULL, 0, tracking_table_max_keys, 0, INT64_MAX, 1000000, UNIT_NONE),
    NUMBER("client-query-buffer-limit", NULL, 0, client_query_buffer_limit, 1 * MB, INT64_MAX, 1024 * MB, UNIT_BYTES),
    NUMBER("maxmemory-clients", NULL, 0, maxmemory_clients, -100, INT64_MAX, 0, UNIT_BYTES_OR_PERCENT),
    NUMBER("repl-backlog-ttl", NULL, 0, repl_backlog_ttl, 0, INT64_MAX, 3600, UNIT_NONE),
    NUMBER("repl-sync-write-hold", NULL, 0, repl_sync_write_hold, 0, INT_MAX, 10000, UNIT_NONE),
    NUMBER("snapshot-memory-limit", NULL, 0, snapshot_memory_limit, 0, INT64_MAX, 0, UNIT_BYTES),
    NUMBER("auto-aof-rewrite-min-size", NULL, 0, auto_aof_rewrite_min_size, 0, INT64_MAX, 64 * MB, UNIT_BYTES),
    NUMBER("loading-process-events-interval-bytes", NULL, CONF_HIDDEN, loading_process_events_interval_bytes, 1024,
           INT_MAX, 2 * MB, UNIT_NONE),
    NUMBER("tls-port", NULL, 0, tls_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("tls-session-cache-size", NULL, 0, tls_session_cache_size, 0, INT_MAX, 20480, UNIT_NONE),
    NUMBER("tls-session-cache-timeout", NULL, 0, tls_session_cache_timeout, 0, INT_MAX, 300, UNIT_NONE),
    NUMBER("rdb-version", NULL, 0, rdb_version, 10, 11, 11, UNIT_NONE),
    NUMBER("metrics-port", NULL, 0, metrics_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("rdma-port", NULL, 0, rdma_port, 0, 65535, 0, UNIT_NONE),
    NUMBER("rdma-rx-size", NULL, CONF_IMMUTABLE | CONF_OURS, rdma_rx_size, 65536, 16 * MB, MB, UNIT_BYTES),
    NUMBER("libos-spin-us", NULL, 0, libos_spin_us, -1, 10000, -1, UNIT_NONE),

    /* with a grammar of their own */
    SPECIAL("dir", NULL, CONF_PROTECTED | CONF_DENY_LOADING, dir),
    SPECIAL("save", NULL, CONF_MULTI, save),
    SPECIAL("client-output-buffer-limit", NULL, CONF_MULTI, output_limit),
    SPECIAL("oom-score-adj-values", NULL, CONF_MULTI, oom_score),
    SPECIAL("notify-keyspace-events", NULL, 0, events),
    SPECIAL("bind", NULL, CONF_MULTI, bind),
    SPECIAL("metrics-bind", NULL, CONF_MULTI, metrics_bind),
    SPECIAL("rdma-bind", NULL, CONF_MULTI, rdma_bind),
    SPECIAL("replicaof", "slaveof", CONF_IMMUTABLE | CONF_MULTI, replicaof),
    SPECIAL("latency-tracking-info-percentiles", NULL, CONF_MULTI, percentiles),
};
const unsigned conf_option_count = sizeof conf_options / sizeof *conf_options;

bool conf_is_sensitive(struct bytes name)
{
    const struct conf_option *o = conf_option_find(name);
    return o && (o->flags & CONF_SENSITIVE);
}

void conf_init(struct config *cfg)
{
    *cfg = (struct config){0};
    for (unsigned i = 0; i < conf_option_count; i++) conf_option_reset(cfg, &conf_options[i]);
}

void conf_fini(struct config *cfg)
{
    for (unsigned i = 0; i < conf_option_count; i++) {
        const struct conf_option *o = &conf_options[i];
        if (o->type == CONF_BYTES) conf_option_reset(cfg, o);
        if (o->type != CONF_STRING) continue;
        char *text;
        memcpy(&text, (char *)cfg + o->offset, sizeof text);
        free(text);
    }
    for (unsigned i = 0; i < cfg->bind_count; i++) free(cfg->bind[i]);
    for (unsigned i = 0; i < cfg->metrics_bind_count; i++) free(cfg->metrics_bind[i]);
    for (unsigned i = 0; i < cfg->rdma_bind_count; i++) free(cfg->rdma_bind[i]);
    free(cfg->replicaof_host);
    free(cfg->users);
    free(cfg->file);
    *cfg = (struct config){0};
}

static void bytes_copy(struct bytes *field)
{
    if (field->p) field->p = conf_text_copy(*field);
}

static void text_copy(char **field)
{
    if (*field) *field = conf_text_copy(bytes_of_str(*field));
}

struct config *conf_copy(const struct config *cfg)
{
    struct config *copy = malloc(sizeof *copy);
    ASSERT(copy != NULL);
    *copy = *cfg;
    copy->is_copy = true;
    copy->replaced_epoch = 0;
    for (unsigned i = 0; i < conf_option_count; i++) {
        void *field = (char *)copy + conf_options[i].offset;
        if (conf_options[i].type == CONF_STRING) text_copy(field);
        if (conf_options[i].type == CONF_BYTES) bytes_copy(field);
    }
    for (unsigned i = 0; i < copy->bind_count; i++) text_copy(&copy->bind[i]);
    for (unsigned i = 0; i < copy->metrics_bind_count; i++) text_copy(&copy->metrics_bind[i]);
    for (unsigned i = 0; i < copy->rdma_bind_count; i++) text_copy(&copy->rdma_bind[i]);
    text_copy(&copy->replicaof_host);
    text_copy(&copy->users);
    text_copy(&copy->file);
    return copy;
}

void conf_free(struct config *copy)
{
    if (!copy) return;
    ASSERT(copy->is_copy);
    conf_fini(copy);
    free(copy);
}

void conf_register(struct config *cfg, const struct conf_hook *hooks, unsigned count, struct server *srv)
{
    for (unsigned i = 0; i < count; i++) ASSERT(conf_option_find(bytes_of_str(hooks[i].option)));
    cfg->hooks = hooks;
    cfg->hook_count = count;
    cfg->owner = srv;
}
