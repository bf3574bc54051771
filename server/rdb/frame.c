/* SPDX-License-Identifier: MIT
 *
 * What a key has in front of it (when it expires, how it was used) belongs to the next key, whatever stands between; as
 * in redis-server, an expiry survives even a change of the database.
 */
#include "server/rdb/frame.h"

#include <errno.h>

#include "server/rdb/format.h"
#include "server/rdb/module_name.h"
#include "server/rdb/read.h"

#define MAGIC_SIZE 9

const char *rdb_step_word(enum rdb_step step)
{
    static const char *const words[] = {
        [RDB_AT_START] = "start",
        [RDB_AT_TYPE] = "read-type",
        [RDB_AT_EXPIRE] = "read-expire",
        [RDB_AT_KEY] = "read-key",
        [RDB_AT_VALUE] = "read-object-value",
        [RDB_AT_CHECKSUM] = "check-sum",
        [RDB_AT_LENGTH] = "read-len",
        [RDB_AT_AUX] = "read-aux",
        [RDB_AT_MODULE_AUX] = "read-module-aux",
        [RDB_AT_FUNCTIONS] = "read-functions",
    };
    return words[step];
}

bool rdb_frame_begin(struct rdb_frame *f, struct rdb_source *s)
{
    char magic[MAGIC_SIZE];
    *f = (struct rdb_frame){.s = s, .expire_ms = -1, .idle_s = -1, .freq = -1};
    if (!rdb_get_raw(s, magic, sizeof magic)) return false;
    if (memcmp(magic, "REDIS", 5) != 0) return rdb_source_fail(s, -EINVAL, "wrong signature");
    for (int i = 5; i < MAGIC_SIZE; i++) {
        if (magic[i] < '0' || magic[i] > '9') return rdb_source_fail(s, -EINVAL, "wrong signature");
        f->version = f->version * 10 + (unsigned)(magic[i] - '0');
    }
    if (f->version < 1 || f->version > RDB_VERSION)
        return rdb_source_fail(s, -EINVAL, "a version of RDB that is not known here");
    return true;
}

static bool read_expiry(struct rdb_frame *f, bool seconds)
{
    uint64_t v;
    char le[4];
    f->step = RDB_AT_EXPIRE;
    if (!seconds) {
        if (!rdb_get_u64(f->s, &v)) return false;
        f->expire_ms = (int64_t)v;
        return true;
    }
    if (!rdb_get_raw(f->s, le, sizeof le)) return false;
    f->expire_ms = (int64_t)(int32_t)load_u32(le) * 1000;
    return true;
}

static bool read_idle(struct rdb_frame *f)
{
    uint64_t v;
    if (!rdb_get_length(f->s, &v)) return false;
    f->idle_s = v > INT64_MAX ? INT64_MAX : (int64_t)v;
    return true;
}

static bool read_freq(struct rdb_frame *f)
{
    unsigned char b;
    if (!rdb_get_byte(f->s, &b)) return false;
    f->freq = b;
    return true;
}

static bool read_aux(struct rdb_frame *f)
{
    f->step = RDB_AT_AUX;
    return rdb_get_string(f->s, RDB_NAME, &f->name) && rdb_get_string(f->s, RDB_VIEW, &f->value);
}

static bool read_sizes(struct rdb_frame *f)
{
    uint64_t expires;
    f->step = RDB_AT_LENGTH;
    return rdb_get_length(f->s, &f->number) && rdb_get_length(f->s, &expires);
}

static bool read_key(struct rdb_frame *f, unsigned type)
{
    f->type = type;
    if (!rdb_type_is_known(type)) return rdb_source_fail(f->s, -EBADMSG, "unknown type of a value");
    f->step = RDB_AT_KEY;
    if (!rdb_get_string(f->s, RDB_NAME, &f->name)) return false;
    f->step = RDB_AT_VALUE;
    return true;
}

static bool read_library(struct rdb_frame *f, bool released)
{
    f->step = RDB_AT_FUNCTIONS;
    if (!released) return rdb_source_fail(f->s, -EOPNOTSUPP, "functions in a format from before the release of 7.0");
    return rdb_get_string(f->s, RDB_VIEW, &f->value);
}

/* What a module keeps beside the keys; only the module knows how long that is. */
static bool refuse_module(struct rdb_frame *f)
{
    uint64_t id, kind, when;
    char name[MODULE_NAME_SIZE];
    f->step = RDB_AT_MODULE_AUX;
    if (!rdb_get_length(f->s, &id) || !rdb_get_length(f->s, &kind) || !rdb_get_length(f->s, &when)) return false;
    if (kind != RDB_MODULE_UINT) return rdb_source_fail(f->s, -EBADMSG, "bad when_opcode in the data of a module");
    return rdb_source_failf(f->s, -EOPNOTSUPP, "data of the module type '%s', and there are no modules here",
                            module_name(name, id));
}

bool rdb_frame_next(struct rdb_frame *f, enum rdb_item *item)
{
    bool ok = true;
    if (f->step == RDB_AT_VALUE) f->expire_ms = f->idle_s = f->freq = -1;
    while (ok) {
        unsigned char op;
        f->step = RDB_AT_TYPE;
        if (!rdb_get_byte(f->s, &op)) return false;
        switch (op) {
        case RDB_OP_EXPIRE: ok = read_expiry(f, true); break;
        case RDB_OP_EXPIRE_MS: ok = read_expiry(f, false); break;
        case RDB_OP_IDLE: ok = read_idle(f); break;
        case RDB_OP_FREQ: ok = read_freq(f); break;
        case RDB_OP_EOF: *item = RDB_ITEM_END; return true;
        case RDB_OP_SELECTDB:
            *item = RDB_ITEM_DB;
            f->step = RDB_AT_LENGTH;
            return rdb_get_length(f->s, &f->number);
        case RDB_OP_RESIZEDB: *item = RDB_ITEM_SIZES; return read_sizes(f);
        case RDB_OP_AUX: *item = RDB_ITEM_AUX; return read_aux(f);
        case RDB_OP_FUNCTION:
        case RDB_OP_FUNCTION2: *item = RDB_ITEM_LIBRARY; return read_library(f, op == RDB_OP_FUNCTION2);
        case RDB_OP_MODULE_AUX: return refuse_module(f);
        default: *item = RDB_ITEM_KEY; return read_key(f, op);
        }
    }
    return false;
}

bool rdb_frame_end(struct rdb_frame *f)
{
    uint64_t is = rdb_source_crc(f->s), should;
    f->step = RDB_AT_CHECKSUM;
    f->unsummed = true;
    if (f->version < 5) return true;
    if (!rdb_get_u64(f->s, &should)) return false;
    f->unsummed = should == 0;
    if (!f->s->checksum || should == 0 || is == should) return true;
    return rdb_source_fail(f->s, -EBADMSG, "RDB CRC error: wrong checksum");
}
