/* SPDX-License-Identifier: MIT
 *
 * The configuration as the rest of the server reads it: one plain field an option, named as in redis.conf with '_' for
 * '-'. Commands read fields ("cfg->hash_max_listpack_entries"); only server/conf/ writes them, through conf_load() at
 * the start and conf_set() later, so a value that is here is a valid one. Once it is published (store.h) it never
 * changes: CONFIG SET publishes another. What follows from a changed value elsewhere (a socket to open, a limit to
 * raise) is done by the hooks the server registers (conf.h).
 *
 * Numbers of bytes are bytes whatever unit they were written in. Strings end with NUL and are NULL where the option is
 * not set and an empty value means just that; they belong to their configuration and live as long as it does.
 */
#ifndef SERVER_CONF_CONFIG_H
#define SERVER_CONF_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "alloc/base/list.h"

struct conf_hook;
struct server;

enum maxmemory_policy {
    MAXMEMORY_VOLATILE_LRU,
    MAXMEMORY_VOLATILE_LFU,
    MAXMEMORY_VOLATILE_RANDOM,
    MAXMEMORY_VOLATILE_TTL,
    MAXMEMORY_ALLKEYS_LRU,
    MAXMEMORY_ALLKEYS_LFU,
    MAXMEMORY_ALLKEYS_RANDOM,
    MAXMEMORY_NOEVICTION,
};

enum syslog_facility {
    SYSLOG_USER,
    SYSLOG_LOCAL0,
    SYSLOG_LOCAL1,
    SYSLOG_LOCAL2,
    SYSLOG_LOCAL3,
    SYSLOG_LOCAL4,
    SYSLOG_LOCAL5,
    SYSLOG_LOCAL6,
    SYSLOG_LOCAL7,
};

enum loglevel {
    LOGLEVEL_DEBUG,
    LOGLEVEL_VERBOSE,
    LOGLEVEL_NOTICE,
    LOGLEVEL_WARNING,
    LOGLEVEL_NOTHING,
};

enum log_format {
    LOG_FORMAT_LEGACY,
    LOG_FORMAT_LOGFMT,
    LOG_FORMAT_JSON,
};

enum log_timestamp {
    LOG_TIMESTAMP_LEGACY,
    LOG_TIMESTAMP_ISO8601,
    LOG_TIMESTAMP_MILLISECONDS,
};

enum libos_files {
    LIBOS_FILES_AUTO,
    LIBOS_FILES_THREADS,
};

enum supervised_mode {
    SUPERVISED_UPSTART,
    SUPERVISED_SYSTEMD,
    SUPERVISED_AUTO,
    SUPERVISED_NO,
};

enum appendfsync {
    APPENDFSYNC_EVERYSEC,
    APPENDFSYNC_ALWAYS,
    APPENDFSYNC_NO,
};

/* Several may be given: a sum. */
enum shutdown_on_sig {
    SHUTDOWN_ON_SIG_DEFAULT = 0,
    SHUTDOWN_ON_SIG_SAVE = 1,
    SHUTDOWN_ON_SIG_NOSAVE = 2,
    SHUTDOWN_ON_SIG_NOW = 4,
    SHUTDOWN_ON_SIG_FORCE = 8,
};

enum repl_diskless_load {
    DISKLESS_LOAD_DISABLED,
    DISKLESS_LOAD_ON_EMPTY_DB,
    DISKLESS_LOAD_SWAPDB,
};

enum tls_auth_clients {
    TLS_AUTH_NO,
    TLS_AUTH_YES,
    TLS_AUTH_OPTIONAL,
};

enum oom_score_adj {
    OOM_SCORE_ADJ_NO,
    OOM_SCORE_ADJ_RELATIVE,
    OOM_SCORE_ADJ_ABSOLUTE,
};

enum acl_pubsub_default {
    ACL_PUBSUB_ALLCHANNELS,
    ACL_PUBSUB_RESETCHANNELS,
};

enum sanitize_dump_payload {
    SANITIZE_DUMP_NO,
    SANITIZE_DUMP_YES,
    SANITIZE_DUMP_CLIENTS,
};

enum protected_action {
    PROTECTED_ACTION_NO,
    PROTECTED_ACTION_YES,
    PROTECTED_ACTION_LOCAL,
};

enum cluster_endpoint {
    CLUSTER_ENDPOINT_IP,
    CLUSTER_ENDPOINT_HOSTNAME,
    CLUSTER_ENDPOINT_UNKNOWN_ENDPOINT,
};

enum propagation_error {
    PROPAGATION_ERROR_IGNORE,
    PROPAGATION_ERROR_PANIC,
    PROPAGATION_ERROR_PANIC_ON_REPLICAS,
};

enum {
    CONF_BIND_MAX = 16,
    CONF_SAVE_MAX = 64,
    CONF_PERCENTILE_MAX = 32,
    OUTPUT_CLASS_COUNT = 3,
};

/* A snapshot is due `seconds` after the last one when at least `changes` were made. */
struct save_point {
    int64_t seconds, changes;
};

/* In the order normal, replica, pubsub. 0: no limit. */
struct output_limit {
    int64_t hard_bytes, soft_bytes, soft_seconds;
};

struct config {
    /* network */
    bool protected_mode;
    char *unixsocket;
    char *shm_path; /* where processes of this host find us by shared memory; NULL: nowhere */
    char *bind_source_addr;
    int64_t port;          /* 0: none */
    int64_t tcp_keepalive; /* seconds */
    int64_t timeout;       /* seconds; 0: never */
    int64_t tcp_backlog;
    int64_t maxclients;
    int64_t unixsocketperm; /* 0: as umask says */
    int64_t shm_path_perm;  /* the same */
    int64_t socket_mark_id;
    char *bind[CONF_BIND_MAX]; /* "-" in front: may be missing; "*": all */
    unsigned bind_count;
    int64_t metrics_port; /* 0: none */
    char *metrics_bind[CONF_BIND_MAX];
    unsigned metrics_bind_count;
    int64_t rdma_port; /* 0: none */
    char *rdma_bind[CONF_BIND_MAX];
    unsigned rdma_bind_count;
    int64_t rdma_rx_size; /* bytes that each client of Valkey's framing may write ahead */
    char *rdma_device;    /* NULL: the only one */

    /* general */
    bool daemonize;
    bool io_threads_do_reads;
    bool always_show_logo;
    bool set_proc_title;
    bool dynamic_hz;
    bool jemalloc_bg_thread;
    bool syslog_enabled;
    bool crash_log_enabled;
    bool crash_memcheck_enabled;
    bool use_exit_on_panic;
    bool disable_thp;
    char *pidfile;
    char *syslog_ident;
    char *server_cpulist;
    char *bio_cpulist;
    char *aof_rewrite_cpulist;
    char *bgsave_cpulist;
    char *ignore_warnings;
    char *proc_title_template;
    char *logfile;
    enum supervised_mode supervised;
    enum syslog_facility syslog_facility;
    enum loglevel loglevel;
    enum log_format log_format;
    enum log_timestamp log_timestamp_format;
    enum oom_score_adj oom_score_adj;
    enum protected_action enable_protected_configs;
    enum protected_action enable_debug_command;
    enum protected_action enable_module_command;
    unsigned shutdown_on_sigint;
    unsigned shutdown_on_sigterm;
    int64_t databases;
    int64_t io_threads;
    int64_t hz;               /* 1 ... 500 */
    int64_t watchdog_period;  /* milliseconds */
    int64_t shutdown_timeout; /* seconds */
    int oom_score_adj_values[3];
    unsigned notify_keyspace_events; /* enum notify_class */

    /* encodings */
    int64_t list_max_listpack_size; /* entries, or -1 ... -5: 4, 8, 16, 32, 64 KiB */
    int64_t list_compress_depth;
    int64_t stream_node_max_entries;
    int64_t hash_max_listpack_entries;
    int64_t set_max_intset_entries;
    int64_t set_max_listpack_entries;
    int64_t set_max_listpack_value;
    int64_t zset_max_listpack_entries;
    int64_t hash_max_listpack_value; /* bytes */
    int64_t stream_node_max_bytes;   /* bytes */
    int64_t zset_max_listpack_value; /* bytes */
    int64_t hll_sparse_max_bytes;    /* bytes */

    /* clients */
    char *aclfile;
    struct bytes requirepass; /* p NULL: none */
    enum acl_pubsub_default acl_pubsub_default;
    enum propagation_error propagation_error_behavior;
    int64_t acllog_max_len;
    int64_t busy_reply_threshold; /* milliseconds */
    int64_t proto_max_bulk_len;   /* bytes */
    int64_t tracking_table_max_keys;
    int64_t client_query_buffer_limit; /* bytes */
    int64_t maxmemory_clients;         /* bytes, or percent of maxmemory when negative; 0: no limit */
    struct output_limit client_output_buffer_limit[OUTPUT_CLASS_COUNT];

    /* memory */
    bool activerehashing;
    bool lazyfree_lazy_eviction;
    bool lazyfree_lazy_expire;
    bool lazyfree_lazy_server_del;
    bool lazyfree_lazy_user_del;
    bool lazyfree_lazy_user_flush;
    bool activedefrag;
    enum maxmemory_policy maxmemory_policy;
    int64_t active_defrag_cycle_min;
    int64_t active_defrag_cycle_max;
    int64_t active_defrag_threshold_lower;
    int64_t active_defrag_threshold_upper;
    int64_t lfu_log_factor;
    int64_t lfu_decay_time; /* minutes */
    int64_t maxmemory_samples;
    int64_t maxmemory_eviction_tenacity;
    int64_t active_expire_effort;
    int64_t active_defrag_max_scan_fields;
    int64_t maxmemory;                  /* bytes; 0: no limit */
    int64_t active_defrag_ignore_bytes; /* bytes */

    /* observing */
    bool latency_tracking;
    int64_t slowlog_max_len;
    int64_t slowlog_log_slower_than;   /* microseconds; -1: off */
    int64_t latency_monitor_threshold; /* milliseconds; 0: off */
    double latency_tracking_info_percentiles[CONF_PERCENTILE_MAX];
    unsigned latency_tracking_info_percentile_count;

    /* persistence */
    bool rdbchecksum;
    bool rdbcompression;
    bool rdb_del_sync_files;
    bool stop_writes_on_bgsave_error;
    bool aof_rewrite_incremental_fsync;
    bool no_appendfsync_on_rewrite;
    bool rdb_save_incremental_fsync;
    int64_t snapshot_memory_limit; /* bytes; 0: a tenth of what is used */
    bool aof_load_truncated;
    bool aof_use_rdb_preamble;
    bool aof_timestamp_enabled;
    bool appendonly;
    bool aof_disable_auto_gc;
    char *dbfilename;
    char *appendfilename;
    char *appenddirname;
    char *aof_device; /* empty: files */
    enum appendfsync appendfsync;
    enum sanitize_dump_payload sanitize_dump_payload;
    int64_t auto_aof_rewrite_percentage;
    int64_t rdb_key_save_delay;        /* microseconds */
    int64_t key_load_delay;            /* microseconds */
    int64_t auto_aof_rewrite_min_size; /* bytes */
    int64_t loading_process_events_interval_bytes;
    struct save_point save[CONF_SAVE_MAX];
    unsigned save_count;

    /* replication */
    bool repl_disable_tcp_nodelay;
    bool repl_refuse_void;
    bool repl_diskless_sync;
    bool replica_lazy_flush;
    bool replica_serve_stale_data;
    bool replica_read_only;
    bool replica_ignore_maxmemory;
    bool replica_announced;
    bool replica_ignore_disk_write_errors;
    char *replica_announce_ip;
    char *masteruser;
    struct bytes masterauth;
    enum repl_diskless_load repl_diskless_load;
    int64_t replica_priority;
    int64_t repl_diskless_sync_delay; /* seconds */
    int64_t replica_announce_port;
    int64_t repl_timeout;             /* seconds */
    int64_t repl_ping_replica_period; /* seconds */
    int64_t min_replicas_to_write;
    int64_t min_replicas_max_lag; /* seconds */
    int64_t repl_diskless_sync_max_replicas;
    int64_t repl_backlog_size;    /* bytes */
    int64_t repl_backlog_ttl;     /* seconds */
    int64_t repl_sync_write_hold; /* milliseconds */
    char *replicaof_host;         /* NULL: a primary */
    int replicaof_port;

    char *locale_collate; /* "": the environment's */

    /* cluster */
    bool cluster_require_full_coverage;
    bool cluster_replica_no_failover;
    bool cluster_enabled;
    bool cluster_allow_reads_when_down;
    bool cluster_allow_pubsubshard_when_down;
    bool cluster_allow_replica_migration;
    char *cluster_announce_ip;
    char *cluster_config_file;
    char *cluster_announce_hostname;
    char *cluster_announce_human_nodename;
    enum cluster_endpoint cluster_preferred_endpoint_type;
    int64_t cluster_replica_validity_factor;
    int64_t cluster_migration_barrier;
    int64_t cluster_port;
    int64_t cluster_announce_bus_port;
    int64_t cluster_announce_port;
    int64_t cluster_announce_tls_port;
    int64_t cluster_node_timeout; /* milliseconds */
    int64_t cluster_link_sendbuf_limit;

    /* tls */
    bool tls_cluster;
    bool tls_replication;
    bool tls_prefer_server_ciphers;
    bool tls_session_caching;
    char *tls_cert_file;
    char *tls_key_file;
    char *tls_key_file_pass;
    char *tls_client_cert_file;
    char *tls_client_key_file;
    char *tls_client_key_file_pass;
    char *tls_dh_params_file;
    char *tls_ca_cert_file;
    char *tls_ca_cert_dir;
    char *tls_protocols;
    char *tls_ciphers;
    char *tls_ciphersuites;
    enum tls_auth_clients tls_auth_clients;
    int64_t tls_port;
    int64_t tls_session_cache_size;
    int64_t tls_session_cache_timeout; /* seconds */

    /* Demikernel */
    char *libos;        /* "posix", "uring", ...; an alias ("catnap") will do */
    char *libos_config; /* configuration file of the libOS; NULL: none */
    /* of raw frames: whose; NULL: as environment and file say, and so on */
    char *libos_interface;
    char *libos_address; /* "10.0.0.2/24 fd00::2/64" */
    char *libos_gateway;
    char *libos_eal;      /* arguments for DPDK */
    char *libos_settings; /* more keys of demikernel.conf(5): "ring=4096 mac=02:00:00:00:00:01" */
    char *libos_pcap;     /* file for frames in and out; NULL or "off": none */
    int64_t rdb_version;
    int64_t libos_spin_us; /* microseconds */
    enum libos_files libos_files;

    char *users; /* its lines "user name rules...", each word quoted; NULL: none */

    /* private to server/conf/ */
    char *file; /* absolute path of the file it came from; NULL: none */
    bool reading_file, save_was_read;
    const struct conf_hook *hooks;
    unsigned hook_count;
    struct server *owner;
    bool is_copy;            /* conf_free() may have it */
    uint64_t replaced_epoch; /* store.h: when, and its place among the replaced ones */
    struct list replaced;
};

#endif
