/* SPDX-License-Identifier: MIT
 *
 * Who we are, and whom we behave as.
 */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#define DEMIKV_VERSION    "0.1.0"
#define REDIS_VERSION     "7.2.4" /* what clients gate features on */
#define REDIS_VERSION_NUM 0x00070204

#endif
