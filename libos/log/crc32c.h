/* SPDX-License-Identifier: MIT
 *
 * CRC32C (Castagnoli, RFC 3720 appendix B.4): by the processor's instruction where there is one, else by tables.
 */
#ifndef LOG_CRC32C_H
#define LOG_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what crc was computed of followed by n bytes at p; crc 0: of those alone. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same by tables, for the test that compares them. */
uint32_t crc32c_by_table(uint32_t crc, const void *p, size_t n);

#endif
