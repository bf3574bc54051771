/* SPDX-License-Identifier: MIT
 *
 * Doubles in few digits: text that reads back as the same double, nearly always the shortest there is, in the digits
 * and the layout of redis-server 7.2 ("0.1", "1e+17", "5e-324").
 */
#ifndef SERVER_DS_SHORTEST_H
#define SERVER_DS_SHORTEST_H

#define SHORTEST_SIZE 32 /* 17 digits, a sign and seven zeros are 25 */

/* v is finite and not 0. Writes no NUL; returns the number of bytes. */
unsigned shortest_format(char *buf /* SHORTEST_SIZE */, double v);

#endif
