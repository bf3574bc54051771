/* SPDX-License-Identifier: MIT
 *
 * What is done hz times a second.
 */
#ifndef SERVER_CRON_H
#define SERVER_CRON_H

struct worker;

void cron_run(struct worker *w);

#endif
