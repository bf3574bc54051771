/* SPDX-License-Identifier: MIT
 *
 * demikv-check-conf: what of a redis.conf is different here? The configuration is read as the server reads it, by the
 * server's own table of options, and each line gets a verdict.
 */
#ifndef SERVER_CHECK_CONF_CHECK_CONF_H
#define SERVER_CHECK_CONF_CHECK_CONF_H

/* The program; its exit status: 0 nothing is different, 1 something is, 2 the server would not start. */
int check_conf_main(int argc, char **argv);

#endif
