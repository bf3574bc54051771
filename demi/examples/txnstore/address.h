/* SPDX-License-Identifier: MIT
 *
 * The three ADDR:PORT of a command line.
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_ADDRESS_H
#define DEMI_EXAMPLES_TXNSTORE_ADDRESS_H

#include "demi/examples/common.h"
#include "demi/examples/txnstore/wire.h"

static inline int addresses_parse(struct sockaddr_in out[TXN_REPLICAS], char *const argv[])
{
    for (int i = 0; i < TXN_REPLICAS; i++) {
        char host[16], rest;
        unsigned port;
        memset(&out[i], 0, sizeof out[i]);
        out[i].sin_family = AF_INET;
        if (sscanf(argv[i], "%15[0-9.]:%5u%c", host, &port, &rest) != 2 || port < 1 || port > 65535 ||
            inet_pton(AF_INET, host, &out[i].sin_addr) != 1)
            return EINVAL;
        out[i].sin_port = htons((unsigned short)port);
    }
    return 0;
}

#endif
