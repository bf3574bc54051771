/* SPDX-License-Identifier: MIT
 *
 * Every command handler by name: GET is cmd_get, CLIENT NO-EVICT is cmd_client_no_evict.
 */
#ifndef SERVER_COMMAND_HANDLERS_H
#define SERVER_COMMAND_HANDLERS_H

#include "server/command/command.h"

/* acl */
cmd_handler cmd_acl_cat;
cmd_handler cmd_acl_deluser;
cmd_handler cmd_acl_dryrun;
cmd_handler cmd_acl_genpass;
cmd_handler cmd_acl_getuser;
cmd_handler cmd_acl_help;
cmd_handler cmd_acl_list;
cmd_handler cmd_acl_load;
cmd_handler cmd_acl_log;
cmd_handler cmd_acl_save;
cmd_handler cmd_acl_setuser;
cmd_handler cmd_acl_users;
cmd_handler cmd_acl_whoami;

/* string */
cmd_handler cmd_append;
cmd_handler cmd_decr;
cmd_handler cmd_decrby;
cmd_handler cmd_get;
cmd_handler cmd_getdel;
cmd_handler cmd_getex;
cmd_handler cmd_getrange;
cmd_handler cmd_getset;
cmd_handler cmd_incr;
cmd_handler cmd_incrby;
cmd_handler cmd_incrbyfloat;
cmd_handler cmd_lcs;
cmd_handler cmd_mget;
cmd_handler cmd_mset;
cmd_handler cmd_msetnx;
cmd_handler cmd_psetex;
cmd_handler cmd_set;
cmd_handler cmd_setex;
cmd_handler cmd_setnx;
cmd_handler cmd_setrange;
cmd_handler cmd_strlen;
cmd_handler cmd_substr;

/* list */
cmd_handler cmd_blmove;
cmd_handler cmd_blmpop;
cmd_handler cmd_blpop;
cmd_handler cmd_brpop;
cmd_handler cmd_brpoplpush;
cmd_handler cmd_lindex;
cmd_handler cmd_linsert;
cmd_handler cmd_llen;
cmd_handler cmd_lmove;
cmd_handler cmd_lmpop;
cmd_handler cmd_lpop;
cmd_handler cmd_lpos;
cmd_handler cmd_lpush;
cmd_handler cmd_lpushx;
cmd_handler cmd_lrange;
cmd_handler cmd_lrem;
cmd_handler cmd_lset;
cmd_handler cmd_ltrim;
cmd_handler cmd_rpop;
cmd_handler cmd_rpoplpush;
cmd_handler cmd_rpush;
cmd_handler cmd_rpushx;

/* hash */
cmd_handler cmd_hdel;
cmd_handler cmd_hexists;
cmd_handler cmd_hget;
cmd_handler cmd_hgetall;
cmd_handler cmd_hincrby;
cmd_handler cmd_hincrbyfloat;
cmd_handler cmd_hkeys;
cmd_handler cmd_hlen;
cmd_handler cmd_hmget;
cmd_handler cmd_hmset;
cmd_handler cmd_hrandfield;
cmd_handler cmd_hscan;
cmd_handler cmd_hset;
cmd_handler cmd_hsetnx;
cmd_handler cmd_hstrlen;
cmd_handler cmd_hvals;

/* set */
cmd_handler cmd_sadd;
cmd_handler cmd_scard;
cmd_handler cmd_sdiff;
cmd_handler cmd_sdiffstore;
cmd_handler cmd_sinter;
cmd_handler cmd_sintercard;
cmd_handler cmd_sinterstore;
cmd_handler cmd_sismember;
cmd_handler cmd_smembers;
cmd_handler cmd_smismember;
cmd_handler cmd_smove;
cmd_handler cmd_spop;
cmd_handler cmd_srandmember;
cmd_handler cmd_srem;
cmd_handler cmd_sscan;
cmd_handler cmd_sunion;
cmd_handler cmd_sunionstore;

/* geo */
cmd_handler cmd_geoadd;
cmd_handler cmd_geodist;
cmd_handler cmd_geohash;
cmd_handler cmd_geopos;
cmd_handler cmd_georadius;
cmd_handler cmd_georadius_ro;
cmd_handler cmd_georadiusbymember;
cmd_handler cmd_georadiusbymember_ro;
cmd_handler cmd_geosearch;
cmd_handler cmd_geosearchstore;

/* sorted_set */
cmd_handler cmd_bzmpop;
cmd_handler cmd_bzpopmax;
cmd_handler cmd_bzpopmin;
cmd_handler cmd_zadd;
cmd_handler cmd_zcard;
cmd_handler cmd_zcount;
cmd_handler cmd_zdiff;
cmd_handler cmd_zdiffstore;
cmd_handler cmd_zincrby;
cmd_handler cmd_zinter;
cmd_handler cmd_zintercard;
cmd_handler cmd_zinterstore;
cmd_handler cmd_zlexcount;
cmd_handler cmd_zmpop;
cmd_handler cmd_zmscore;
cmd_handler cmd_zpopmax;
cmd_handler cmd_zpopmin;
cmd_handler cmd_zrandmember;
cmd_handler cmd_zrange;
cmd_handler cmd_zrangebylex;
cmd_handler cmd_zrangebyscore;
cmd_handler cmd_zrangestore;
cmd_handler cmd_zrank;
cmd_handler cmd_zrem;
cmd_handler cmd_zremrangebylex;
cmd_handler cmd_zremrangebyrank;
cmd_handler cmd_zremrangebyscore;
cmd_handler cmd_zrevrange;
cmd_handler cmd_zrevrangebylex;
cmd_handler cmd_zrevrangebyscore;
cmd_handler cmd_zrevrank;
cmd_handler cmd_zscan;
cmd_handler cmd_zscore;
cmd_handler cmd_zunion;
cmd_handler cmd_zunionstore;

/* generic */
cmd_handler cmd_copy;
cmd_handler cmd_del;
cmd_handler cmd_dump;
cmd_handler cmd_exists;
cmd_handler cmd_expire;
cmd_handler cmd_expireat;
cmd_handler cmd_expiretime;
cmd_handler cmd_keys;
cmd_handler cmd_migrate;
cmd_handler cmd_move;
cmd_handler cmd_object_encoding;
cmd_handler cmd_object_freq;
cmd_handler cmd_object_help;
cmd_handler cmd_object_idletime;
cmd_handler cmd_object_refcount;
cmd_handler cmd_persist;
cmd_handler cmd_pexpire;
cmd_handler cmd_pexpireat;
cmd_handler cmd_pexpiretime;
cmd_handler cmd_pttl;
cmd_handler cmd_randomkey;
cmd_handler cmd_rename;
cmd_handler cmd_renamenx;
cmd_handler cmd_restore;
cmd_handler cmd_scan;
cmd_handler cmd_sort;
cmd_handler cmd_sort_ro;
cmd_handler cmd_touch;
cmd_handler cmd_ttl;
cmd_handler cmd_type;
cmd_handler cmd_unlink;
cmd_handler cmd_wait;
cmd_handler cmd_waitaof;

/* connection */
cmd_handler cmd_auth;
cmd_handler cmd_client_caching;
cmd_handler cmd_client_getname;
cmd_handler cmd_client_getredir;
cmd_handler cmd_client_help;
cmd_handler cmd_client_id;
cmd_handler cmd_client_info;
cmd_handler cmd_client_kill;
cmd_handler cmd_client_list;
cmd_handler cmd_client_no_evict;
cmd_handler cmd_client_no_touch;
cmd_handler cmd_client_pause;
cmd_handler cmd_client_reply;
cmd_handler cmd_client_setinfo;
cmd_handler cmd_client_setname;
cmd_handler cmd_client_tracking;
cmd_handler cmd_client_trackinginfo;
cmd_handler cmd_client_unblock;
cmd_handler cmd_client_unpause;
cmd_handler cmd_echo;
cmd_handler cmd_hello;
cmd_handler cmd_ping;
cmd_handler cmd_quit;
cmd_handler cmd_reset;
cmd_handler cmd_select;

/* server */
cmd_handler cmd_command;
cmd_handler cmd_command_count;
cmd_handler cmd_command_docs;
cmd_handler cmd_command_getkeys;
cmd_handler cmd_command_getkeysandflags;
cmd_handler cmd_command_help;
cmd_handler cmd_command_info;
cmd_handler cmd_command_list;
cmd_handler cmd_config_get;
cmd_handler cmd_config_help;
cmd_handler cmd_config_resetstat;
cmd_handler cmd_config_rewrite;
cmd_handler cmd_config_set;
cmd_handler cmd_dbsize;
cmd_handler cmd_debug;
cmd_handler cmd_flushall;
cmd_handler cmd_flushdb;
cmd_handler cmd_info;
cmd_handler cmd_latency_doctor;
cmd_handler cmd_latency_graph;
cmd_handler cmd_latency_help;
cmd_handler cmd_latency_histogram;
cmd_handler cmd_latency_history;
cmd_handler cmd_latency_latest;
cmd_handler cmd_latency_reset;
cmd_handler cmd_lolwut;
cmd_handler cmd_memory_doctor;
cmd_handler cmd_memory_help;
cmd_handler cmd_memory_malloc_stats;
cmd_handler cmd_memory_purge;
cmd_handler cmd_memory_stats;
cmd_handler cmd_memory_usage;
cmd_handler cmd_monitor;
cmd_handler cmd_role;
cmd_handler cmd_shutdown;
cmd_handler cmd_slowlog_get;
cmd_handler cmd_slowlog_help;
cmd_handler cmd_slowlog_len;
cmd_handler cmd_slowlog_reset;
cmd_handler cmd_swapdb;
cmd_handler cmd_replconf;
cmd_handler cmd_save;
cmd_handler cmd_bgsave;
cmd_handler cmd_bgrewriteaof;
cmd_handler cmd_lastsave;
cmd_handler cmd_sync;
cmd_handler cmd_time;

/* transactions */
cmd_handler cmd_discard;
cmd_handler cmd_exec;
cmd_handler cmd_multi;
cmd_handler cmd_unwatch;
cmd_handler cmd_watch;

/* scripting */
cmd_handler cmd_eval;
cmd_handler cmd_eval_ro;
cmd_handler cmd_evalsha;
cmd_handler cmd_evalsha_ro;
cmd_handler cmd_fcall;
cmd_handler cmd_fcall_ro;
cmd_handler cmd_function_delete;
cmd_handler cmd_function_dump;
cmd_handler cmd_function_flush;
cmd_handler cmd_function_help;
cmd_handler cmd_function_kill;
cmd_handler cmd_function_list;
cmd_handler cmd_function_load;
cmd_handler cmd_function_restore;
cmd_handler cmd_function_stats;
cmd_handler cmd_script_debug;
cmd_handler cmd_script_exists;
cmd_handler cmd_script_flush;
cmd_handler cmd_script_help;
cmd_handler cmd_script_kill;
cmd_handler cmd_script_load;

/* pubsub */
cmd_handler cmd_psubscribe;
cmd_handler cmd_publish;
cmd_handler cmd_pubsub_channels;
cmd_handler cmd_pubsub_help;
cmd_handler cmd_pubsub_numpat;
cmd_handler cmd_pubsub_numsub;
cmd_handler cmd_pubsub_shardchannels;
cmd_handler cmd_pubsub_shardnumsub;
cmd_handler cmd_punsubscribe;
cmd_handler cmd_spublish;
cmd_handler cmd_ssubscribe;
cmd_handler cmd_subscribe;
cmd_handler cmd_sunsubscribe;
cmd_handler cmd_unsubscribe;

/* bitmap */
cmd_handler cmd_bitcount;
cmd_handler cmd_bitfield;
cmd_handler cmd_bitfield_ro;
cmd_handler cmd_bitop;
cmd_handler cmd_bitpos;
cmd_handler cmd_getbit;
cmd_handler cmd_setbit;

/* hyperloglog */
cmd_handler cmd_pfadd;
cmd_handler cmd_pfcount;
cmd_handler cmd_pfdebug;
cmd_handler cmd_pfmerge;
cmd_handler cmd_pfselftest;

/* stream */
cmd_handler cmd_xack;
cmd_handler cmd_xadd;
cmd_handler cmd_xautoclaim;
cmd_handler cmd_xclaim;
cmd_handler cmd_xdel;
cmd_handler cmd_xgroup_create;
cmd_handler cmd_xgroup_createconsumer;
cmd_handler cmd_xgroup_delconsumer;
cmd_handler cmd_xgroup_destroy;
cmd_handler cmd_xgroup_help;
cmd_handler cmd_xgroup_setid;
cmd_handler cmd_xinfo_consumers;
cmd_handler cmd_xinfo_groups;
cmd_handler cmd_xinfo_help;
cmd_handler cmd_xinfo_stream;
cmd_handler cmd_xlen;
cmd_handler cmd_xpending;
cmd_handler cmd_xrange;
cmd_handler cmd_xread;
cmd_handler cmd_xreadgroup;
cmd_handler cmd_xrevrange;
cmd_handler cmd_xsetid;
cmd_handler cmd_xtrim;

/* cluster: all of it */
cmd_handler cmd_cluster_disabled;

/* replication */
cmd_handler cmd_failover;
cmd_handler cmd_psync;
cmd_handler cmd_replicaof;

/* module */
cmd_handler cmd_module_help;
cmd_handler cmd_module_list;
cmd_handler cmd_module_load;
cmd_handler cmd_module_loadex;
cmd_handler cmd_module_unload;

#endif
