/* SPDX-License-Identifier: MIT
 *
 * Devices of logs that are anything: the input is patches to a small device of two logs, whose checksums are made to
 * hold afterwards where the input says so, so that what lies behind them is reached. It is loaded or refused, each
 * log's end found or its damage told, and every record read; a second reader finds the same ones, and nothing outside
 * of the device is asked for.
 *
 * A patch: one byte what (0, bytes; 1, the superblock's checksum; 2, a segment head's), two bytes where (in steps of
 * 8), one byte how many, then those bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "libos/log/crc32c.h"
#include "libos/log/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { SEGMENT = 64 << 10, SEGMENTS = 5, SIZE = ALOG_START + SEGMENTS * SEGMENT, RECORDS = 40 };

struct memory_store {
    struct alog_store store;
    uint8_t bytes[SIZE];
};

static int run(struct alog_store *s, const struct blockdev_request *r, unsigned n)
{
    uint8_t *bytes = ((struct memory_store *)s)->bytes;
    for (; n; n--, r++) {
        if (r->verb == BLOCKDEV_FLUSH) continue;
        ASSERT(r->at % ALOG_BLOCK == 0 && r->n % ALOG_BLOCK == 0);
        ASSERT(r->n <= r->buf->len);
        uint64_t there = r->at >= SIZE ? 0 : SIZE - r->at;
        if (there > r->n) there = r->n;
        if (r->verb == BLOCKDEV_READ) memset(r->buf->data + there, 0, r->n - there);
        else ASSERT(there == r->n);
        if (r->verb == BLOCKDEV_READ) memcpy(r->buf->data, bytes + r->at, there);
        else memcpy(bytes + r->at, r->buf->data, there);
    }
    return 0;
}

/* A device with records in both logs, the first one over two segments. */
static void make_device(struct memory_store *m)
{
    struct alog_super s;
    static const char *const names[] = {"one", "two"};
    ASSERT(alog_super_plan(&s, SIZE, SEGMENT));
    s.epoch = 3;
    s.next_id = 3;
    s.log_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        s.logs[i] = (struct alog_entry){.id = i + 1};
        strcpy(s.logs[i].name, names[i]);
    }
    alog_super_write(&s, m->bytes);
    s.generation++;
    alog_super_write(&s, m->bytes + ALOG_BLOCK);
    uint32_t number = 0;
    for (uint32_t log = 0; log < 2; log++) {
        uint64_t at = 0, seq = 0, index = UINT64_MAX;
        for (unsigned i = 0; i < RECORDS; i++) {
            struct alog_record rec = {.epoch = 2, .length = log ? 100 : 2500, .durable = at};
            uint64_t place = index == UINT64_MAX ? UINT64_MAX : alog_next_place(at, rec.length, alog_capacity(&s));
            if (place == UINT64_MAX) {
                struct alog_segment_head h = {
                    .id = log + 1, .index = ++index, .first_seq = seq + 1, .epoch = 2, .number = number};
                alog_segment_write(&h, s.uuid, m->bytes + alog_segment_at(&s, number++));
                place = index * alog_capacity(&s);
            }
            rec.offset = place;
            rec.seq = ++seq;
            uint8_t *p = m->bytes + alog_place(&s, number - 1, place);
            memset(p + ALOG_HEAD, (int)i, rec.length);
            alog_record_write(&rec, alog_seed(s.uuid, log + 1), p);
            at = (place + ALOG_HEAD + rec.length + 7) & ~(uint64_t)7;
        }
    }
}

static void put_crc(uint8_t *p, size_t n)
{
    uint32_t crc = crc32c(0, p, n);
    for (int i = 0; i < 4; i++) p[n + (size_t)i] = (uint8_t)(crc >> 8 * i);
}

static void patch(struct memory_store *m, const uint8_t *data, size_t n)
{
    while (n >= 4) {
        size_t at = (size_t)(data[1] | data[2] << 8) * 8 % SIZE, count = data[3];
        unsigned what = data[0] % 3;
        data += 4;
        n -= 4;
        if (count > n) count = n;
        if (count > SIZE - at) count = SIZE - at;
        if (what == 0) memcpy(m->bytes + at, data, count);
        if (what == 1) put_crc(m->bytes + at / 8 % 2 * ALOG_BLOCK, ALOG_BLOCK - 4);
        if (what == 2) put_crc(m->bytes + ALOG_START + at / 8 % SEGMENTS * SEGMENT, 124);
        data += count;
        n -= count;
    }
}

static uint64_t read_all(const struct alog_image *im, struct alog_log *log, struct memory_store *m, uint64_t from)
{
    struct alog_reader r;
    struct alog_record rec;
    uint64_t last_end = 0, seq = 0, sum = 0;
    int what;
    alog_reader_init(&r, im, log, &m->store);
    if (from > log->trim) alog_reader_seek(&r, from);
    while ((what = alog_reader_next(&r, INT64_MAX, &rec)) > 0) {
        ASSERT(rec.length > 0 && rec.length <= alog_record_max(&im->super));
        ASSERT(rec.offset >= last_end && rec.offset >= log->trim);
        ASSERT(!seq || rec.seq == seq + 1);
        seq = rec.seq;
        last_end = rec.offset + ALOG_HEAD + rec.length;
        sum = sum * 31 + crc32c(0, rec.bytes, rec.length) + rec.offset;
    }
    ASSERT(what == 0);
    alog_reader_fini(&r);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct memory_store m;
    struct alog_image im;
    memset(&m, 0, sizeof m);
    m.store = (struct alog_store){.run = run, .size = SIZE, .request_max = 64 << 10, .may_wait = true};
    make_device(&m);
    patch(&m, data, n);
    int err = alog_image_load(&im, &m.store);
    if (err) {
        ASSERT(memchr(im.why, 0, sizeof im.why) != NULL);
        return 0;
    }
    for (uint32_t i = 0; i < im.super.log_count; i++) {
        struct alog_log *log = im.logs[i];
        err = alog_find_end(&im, log, &m.store);
        ASSERT(!err || log->damaged);
        uint64_t all = read_all(&im, log, &m, 0);
        ASSERT(read_all(&im, log, &m, 0) == all);
        read_all(&im, log, &m, log->end / 2);
        if (!log->damaged) {
            err = alog_rewrite_tail(&im, log, &m.store);
            ASSERT(!err);
            ASSERT(read_all(&im, log, &m, 0) == all);
        }
    }
    alog_image_fini(&im);
    return 0;
}
