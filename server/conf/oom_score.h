/* SPDX-License-Identifier: MIT
 *
 * oom-score-adj: how willing the kernel is to kill this process when the machine's memory runs out
 * (proc(5), oom_score_adj).
 */
#ifndef SERVER_CONF_OOM_SCORE_H
#define SERVER_CONF_OOM_SCORE_H

#include "server/conf/config.h"

/* Whether the process's score is ours, and what it was before. Zeros at the start. */
struct oom_score {
    bool is_ours;
    int before;
};

enum oom_score_role { OOM_SCORE_PRIMARY, OOM_SCORE_REPLICA, OOM_SCORE_BACKGROUND };

/* Makes the process's score what the configuration says for its role; back to what it was before
 * the first call that changed it when oom-score-adj is "no". 0 or -errno (EACCES: lowering it takes
 * privileges). */
int oom_score_apply(struct oom_score *s, const struct config *cfg, enum oom_score_role role);

#endif
