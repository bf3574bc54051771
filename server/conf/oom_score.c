/* SPDX-License-Identifier: MIT */
#include "server/conf/oom_score.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char path[] = "/proc/self/oom_score_adj";

static int score_read(int *out)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int rc = n < 0 ? -errno : 0;
    close(fd);
    if (rc < 0) return rc;
    text[n] = 0;
    *out = atoi(text);
    return 0;
}

static int score_write(int score)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int rc = dprintf(fd, "%d\n", score) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int clamped(int score)
{
    if (score > 1000) return 1000;
    return score < -1000 ? -1000 : score;
}

int oom_score_apply(struct oom_score *s, const struct config *cfg, enum oom_score_role role)
{
    if (cfg->oom_score_adj == OOM_SCORE_ADJ_NO) {
        if (!s->is_ours) return 0;
        s->is_ours = false;
        return score_write(s->before);
    }
    if (!s->is_ours) {
        int rc = score_read(&s->before);
        if (rc < 0) return rc;
        s->is_ours = true;
    }
    int score = cfg->oom_score_adj_values[role];
    if (cfg->oom_score_adj == OOM_SCORE_ADJ_RELATIVE) score += s->before;
    return score_write(clamped(score));
}
