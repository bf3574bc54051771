/* SPDX-License-Identifier: MIT
 *
 * Reads what the loader reads, by the loader's own functions, and keeps nothing of it but libraries of functions: a
 * value is freed as soon as it is whole. What only a keyspace would know (a key that is there twice, more databases
 * than the server has) is not looked for.
 */
#include "server/persist/check_rdb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "server/conf/conf.h"
#include "server/mem.h"
#include "server/persist/check_file.h"
#include "server/rdb/frame.h"
#include "server/rdb/libraries.h"
#include "server/rdb/read.h"
#include "server/version.h"

struct rdb_check {
    struct check_file *f;
    struct rdb_source s;
    struct rdb_frame frame;
    struct libraries libraries; /* of functions: their names must differ */
    struct config cfg;
    struct quicklist_options lists;
    struct rdb_rules rules;
    int64_t now_ms;
    uint64_t keys, expires, already_expired;
};

static const char *type_word(unsigned type)
{
    static const char *const words[] = {
        [RDB_STRING] = "string",
        [RDB_LIST] = "list-linked",
        [RDB_SET] = "set-hashtable",
        [RDB_ZSET] = "zset-v1",
        [RDB_HASH] = "hash-hashtable",
        [RDB_ZSET_2] = "zset-v2",
        [RDB_MODULE] = "module-pre-release",
        [RDB_MODULE_2] = "module-value",
        [RDB_HASH_ZIPMAP] = "hash-zipmap",
        [RDB_LIST_ZIPLIST] = "list-ziplist",
        [RDB_SET_INTSET] = "set-intset",
        [RDB_ZSET_ZIPLIST] = "zset-ziplist",
        [RDB_HASH_ZIPLIST] = "hash-ziplist",
        [RDB_LIST_QUICKLIST] = "quicklist",
        [RDB_STREAM_LISTPACKS] = "stream",
        [RDB_HASH_LISTPACK] = "hash-listpack",
        [RDB_ZSET_LISTPACK] = "zset-listpack",
        [RDB_LIST_QUICKLIST_2] = "quicklist-v2",
        [RDB_STREAM_LISTPACKS_2] = "stream-v2",
        [RDB_SET_LISTPACK] = "set-listpack",
        [RDB_STREAM_LISTPACKS_3] = "stream-v3",
    };
    return type < sizeof words / sizeof *words && words[type] ? words[type] : "unknown";
}

#define INFO(c, format, ...)                                                                                           \
    check_say((c)->f, "[offset %llu] " format "\n", (unsigned long long)rdb_source_offset(&(c)->s), ##__VA_ARGS__)

static void say_counts(struct rdb_check *c)
{
    check_say(c->f, "[info] %llu keys read\n", (unsigned long long)c->keys);
    check_say(c->f, "[info] %llu expires\n", (unsigned long long)c->expires);
    check_say(c->f, "[info] %llu already expired\n", (unsigned long long)c->already_expired);
}

/* The cause, in Redis's words where it has some. */
static void say_cause(struct rdb_check *c)
{
    const struct rdb_frame *f = &c->frame;
    if (c->f->error) INFO(c, "Reading failed: %s", strerror(-c->f->error));
    else if (c->f->ended) INFO(c, "Unexpected EOF reading RDB file");
    else if (f->step == RDB_AT_START && f->version) INFO(c, "Can't handle RDB format version %u", f->version);
    else if (f->step == RDB_AT_START) INFO(c, "Wrong signature trying to load DB from file");
    else if (f->step == RDB_AT_TYPE) INFO(c, "Invalid object type: %u", f->type);
    else INFO(c, "%s", c->s.why);
}

static void say_failure(struct rdb_check *c)
{
    char shown[CHECK_SHOWN_SIZE];
    const struct rdb_frame *f = &c->frame;
    check_say(c->f, "--- RDB ERROR DETECTED ---\n");
    say_cause(c);
    check_say(c->f, "[additional info] While doing: %s\n", rdb_step_word(f->step));
    if (f->step == RDB_AT_VALUE) check_say(c->f, "[additional info] Reading key '%s'\n", check_shown(f->name, shown));
    if (f->step == RDB_AT_VALUE || f->step == RDB_AT_KEY)
        check_say(c->f, "[additional info] Reading type %u (%s)\n", f->type, type_word(f->type));
    say_counts(c);
}

static bool check_key(struct rdb_check *c)
{
    char shown[CHECK_SHOWN_SIZE];
    struct value v;
    c->keys++;
    int err = rdb_read_value(&c->s, c->frame.type, &c->rules, &v);
    if (err == 0) {
        value_free(v);
    } else if (err == -ENOENT) { /* as the loader: old versions left such keys behind */
        c->s.error = 0;
        INFO(c, "Empty key '%s', which loading leaves out", check_shown(c->frame.name, shown));
    } else {
        return false;
    }
    if (c->frame.expire_ms == -1) return true;
    c->expires++;
    if (c->frame.expire_ms < c->now_ms) c->already_expired++;
    return true;
}

static bool check_item(struct rdb_check *c, enum rdb_item item)
{
    char name[CHECK_SHOWN_SIZE], value[CHECK_SHOWN_SIZE];
    switch (item) {
    case RDB_ITEM_DB: INFO(c, "Selecting DB ID %llu", (unsigned long long)c->frame.number); break;
    case RDB_ITEM_AUX:
        INFO(c, "AUX FIELD %s = '%s'", check_shown(c->frame.name, name), check_shown(c->frame.value, value));
        break;
    case RDB_ITEM_KEY: return check_key(c);
    case RDB_ITEM_LIBRARY: return libraries_add(&c->libraries, &c->s, c->frame.value, false);
    case RDB_ITEM_SIZES:
    case RDB_ITEM_END: break;
    }
    return true;
}

static bool check_all(struct rdb_check *c)
{
    enum rdb_item item = RDB_ITEM_SIZES;
    if (!rdb_frame_begin(&c->frame, &c->s)) return false;
    while (item != RDB_ITEM_END)
        if (!rdb_frame_next(&c->frame, &item) || !check_item(c, item)) return false;
    if (!rdb_frame_end(&c->frame)) return false;
    if (c->frame.version < 5) return true;
    if (c->frame.unsummed) INFO(c, "RDB file was saved with checksum disabled: no check performed.");
    else INFO(c, "Checksum OK");
    return true;
}

bool check_rdb_file(struct check_file *f, const char *path, uint64_t *end)
{
    struct timespec now;
    struct rdb_check *c = mem_calloc(sizeof *c);
    c->f = f;
    conf_init(&c->cfg);
    clock_gettime(CLOCK_REALTIME, &now);
    c->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    c->rules = (struct rdb_rules){.cfg = &c->cfg, .lists = &c->lists, .deep = true};
    if (getrandom(&c->rules.seed, sizeof c->rules.seed, 0) < 0) c->rules.seed = (uint64_t)c->now_ms;
    rdb_source_of_stream(&c->s, check_file_read, f);
    c->s.checksum = true;
    INFO(c, "Checking RDB file %s", path);
    bool ok = check_all(c);
    if (ok) {
        INFO(c, "\\o/ RDB looks OK! \\o/");
        say_counts(c);
    } else {
        say_failure(c);
    }
    *end = rdb_source_offset(&c->s);
    rdb_source_fini(&c->s);
    libraries_clear(&c->libraries);
    conf_fini(&c->cfg);
    mem_free(c);
    return ok;
}

int check_rdb_main(int argc, char **argv)
{
    struct check_file f;
    uint64_t end;
    if (argc != 2) {
        fprintf(stderr, "Usage: %s <rdb-file-name>\n", argv[0]);
        return 1;
    }
    if (!strcmp(argv[1], "-v") || !strcmp(argv[1], "--version")) {
        printf("demikv-check-rdb %s (of Redis %s)\n", DEMIKV_VERSION, REDIS_VERSION);
        return 0;
    }
    int err = check_file_open(&f, argv[1], CHECK_FILE_BAR);
    if (err) {
        printf("Cannot open file %s: %s\n", argv[1], strerror(-err));
        return 1;
    }
    bool ok = check_rdb_file(&f, argv[1], &end);
    check_file_close(&f);
    return ok ? 0 : 1;
}
