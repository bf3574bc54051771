/* SPDX-License-Identifier: MIT
 *
 * See image.h: logs and their segments in memory. Reading them from a device is load.c, finding a log's end recover.c.
 */
#include "libos/log/image.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int alog_image_add(struct alog_image *im, const char *name, struct alog_log **out)
{
    struct alog_super *s = &im->super;
    ASSERT(alog_name_is_good(name));
    if (s->log_count == ALOG_LOGS_MAX || s->next_id >= ALOG_ID_MAX) return -ENOSPC;
    struct alog_log *log = calloc(1, sizeof *log);
    if (!log) return -ENOMEM;
    struct alog_entry *e = &s->logs[s->log_count];
    *e = (struct alog_entry){.id = s->next_id++};
    strcpy(e->name, name);
    log->slot = s->log_count++;
    log->seed = alog_seed(s->uuid, e->id);
    list_init(&log->batches);
    list_init(&log->queues);
    im->logs[log->slot] = log;
    *out = log;
    return 0;
}

struct alog_log *alog_image_find(const struct alog_image *im, const char *name)
{
    for (uint32_t i = 0; i < im->super.log_count; i++)
        if (!strcmp(im->super.logs[i].name, name)) return im->logs[i];
    return NULL;
}

void alog_image_fini(struct alog_image *im)
{
    for (uint32_t i = 0; i < ALOG_LOGS_MAX; i++) {
        if (im->logs[i]) free(im->logs[i]->segments);
        free(im->logs[i]);
        im->logs[i] = NULL;
    }
    free(im->taken);
    im->taken = NULL;
}

const struct alog_segment *alog_segment_find(const struct alog_log *log, uint64_t index)
{
    if (!log->segment_count || index < log->segments[0].index) return NULL;
    uint64_t i = index - log->segments[0].index;
    return i < log->segment_count ? &log->segments[i] : NULL;
}

int alog_segment_take(struct alog_image *im, struct alog_log *log, uint64_t index, const struct alog_segment **out)
{
    if (!im->free_count) return -ENOSPC;
    if (log->segment_count == log->segment_room) {
        uint32_t room = log->segment_room ? log->segment_room * 2 : 8;
        struct alog_segment *more = realloc(log->segments, room * sizeof *more);
        if (!more) return -ENOMEM;
        log->segments = more;
        log->segment_room = room;
    }
    ASSERT(!log->segment_count || index == log->segments[log->segment_count - 1].index + 1);
    while (im->taken[im->next_free]) im->next_free = (im->next_free + 1) % im->super.segment_count;
    im->taken[im->next_free] = 1;
    im->free_count--;
    log->segments[log->segment_count] = (struct alog_segment){.index = index,
                                                              .first_seq = log->seq + 1,
                                                              .durable = log->durable,
                                                              .number = im->next_free,
                                                              .epoch = im->super.epoch};
    *out = &log->segments[log->segment_count++];
    return 0;
}

void alog_segments_give(struct alog_image *im, struct alog_log *log)
{
    uint64_t first = log->trim / alog_capacity(&im->super);
    uint32_t n = 0;
    while (n + 1 < log->segment_count && log->segments[n].index < first) {
        ASSERT(im->taken[log->segments[n].number]);
        im->taken[log->segments[n++].number] = 0;
        im->free_count++;
    }
    if (!n) return;
    log->segment_count -= n;
    memmove(log->segments, log->segments + n, log->segment_count * sizeof *log->segments);
}
