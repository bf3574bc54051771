/* SPDX-License-Identifier: MIT
 *
 * See pcap.h.
 *
 *      file:    magic, 2.4, 0, 0, snap length, 1 (Ethernet)         24 bytes
 *      record:  seconds, nanoseconds, bytes here, bytes in all      16 bytes, and the frame
 *
 * Times are UTC: the runtime's clock is set against the wall's once, when the file is opened. A frame longer than the
 * snap length (one of TSO, before the device cuts it) is cut; its checksums may be left to the device, too. What is
 * held back leaves when the buffer is full, when FLUSH_NS have passed since it was last empty, and at close.
 */
#include "libos/inet/pcap.h"

#include "libos/runtime/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BUFFER_SIZE 65536u
#define SNAP_MAX    16384u
#define FLUSH_NS    200000000u

struct pcap {
    int fd;
    struct counters *counters;
    uint64_t frames, left_out, write_errors;
    uint64_t size, size_max; /* of the file */
    int64_t offset_ns;       /* UTC minus the runtime's clock */
    bool aligned;
    nsec flushed_at;
    uint32_t used;
    char buffer[BUFFER_SIZE];
};

static void put(struct pcap *p, const void *data, uint32_t n)
{
    memcpy(p->buffer + p->used, data, n);
    p->used += n;
}

static void flush(struct pcap *p)
{
    uint32_t at = 0;
    while (at < p->used && p->fd >= 0) {
        ssize_t n = write(p->fd, p->buffer + at, p->used - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            p->write_errors++;
            close(p->fd);
            p->fd = -1;
            break;
        }
        at += (uint32_t)n;
    }
    p->used = 0;
}

/* Splits "file:64m"; 0: no such ending. */
static uint64_t size_of(const char *spec, size_t *name_len)
{
    const char *colon = strrchr(spec, ':');
    *name_len = strlen(spec);
    if (!colon || colon[1] < '0' || colon[1] > '9') return 0;
    char *end;
    uint64_t n = strtoull(colon + 1, &end, 10);
    unsigned shift = !strcasecmp(end, "k")   ? 10
                     : !strcasecmp(end, "m") ? 20
                     : !strcasecmp(end, "g") ? 30
                     : *end                  ? 64
                                             : 0;
    if (shift > 30 || n > UINT64_MAX >> shift) return 0;
    *name_len = (size_t)(colon - spec);
    return n << shift;
}

int pcap_open(struct counters *counters, const char *spec, struct pcap **out)
{
    size_t len;
    uint64_t size_max = size_of(spec, &len);
    char *path = strndup(spec, len);
    struct pcap *p = path ? malloc(sizeof *p) : NULL;
    if (!p) {
        free(path);
        return -ENOMEM;
    }
    memset(p, 0, offsetof(struct pcap, buffer));
    p->counters = counters;
    p->size_max = size_max ? size_max : PCAP_SIZE_DEFAULT;
    p->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int err = p->fd < 0 ? -errno : 0;
    free(path);
    if (!err) err = counters_add(counters, "pcap.frames", &p->frames);
    if (!err) err = counters_add(counters, "pcap.left_out", &p->left_out);
    if (!err) err = counters_add(counters, "pcap.write_errors", &p->write_errors);
    if (err) {
        pcap_close(p);
        return err;
    }
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t zone, accuracy, snap, link;
    } header = {0xa1b23c4d, 2, 4, 0, 0, SNAP_MAX, 1};
    put(p, &header, sizeof header);
    p->size = sizeof header;
    *out = p;
    return 0;
}

void pcap_flush(struct pcap *p)
{
    if (p) flush(p);
}

void pcap_close(struct pcap *p)
{
    if (!p) return;
    flush(p);
    counters_remove(p->counters, p, sizeof *p);
    if (p->fd >= 0) close(p->fd);
    free(p);
}

static void put_frame(struct pcap *p, const struct frame *f, nsec now)
{
    uint32_t kept = f->len < SNAP_MAX ? f->len : SNAP_MAX;
    uint64_t utc = now + (uint64_t)p->offset_ns;
    const uint32_t record[4] = {(uint32_t)(utc / NSEC_PER_SEC), (uint32_t)(utc % NSEC_PER_SEC), kept, f->len};
    if (p->fd < 0 || p->size + sizeof record + kept > p->size_max) {
        p->left_out++;
        return;
    }
    if (p->used + sizeof record + kept > BUFFER_SIZE) flush(p);
    put(p, record, sizeof record);
    p->used += (uint32_t)buf_chain_copy(f->b, 0, p->buffer + p->used, kept);
    p->size += sizeof record + kept;
    p->frames++;
}

void pcap_frames(struct pcap *p, const struct frame *f, unsigned n, nsec now)
{
    if (!p->aligned) {
        p->offset_ns = clock_wall_us() * 1000 - (int64_t)now;
        p->aligned = true;
        p->flushed_at = now;
    }
    for (unsigned i = 0; i < n; i++) put_frame(p, &f[i], now);
    if (now - p->flushed_at < FLUSH_NS) return;
    flush(p);
    p->flushed_at = now;
}
