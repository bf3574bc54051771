/* SPDX-License-Identifier: MIT
 *
 * The 16,384 registers of a HyperLogLog, all at once: packed, six bits each, as the dense form has them, or a byte each
 * to be worked on. Where the processor has AVX2 that is used; the _portable ones do the same on any machine.
 */
#ifndef SERVER_DS_HLL_REGISTERS_H
#define SERVER_DS_HLL_REGISTERS_H

#include <stdint.h>

#define HLL_REGISTERS     16384
#define HLL_REGISTER_BITS 6
#define HLL_REGISTER_MAX  63
#define HLL_PACKED_BYTES  (HLL_REGISTERS * HLL_REGISTER_BITS / 8)
#define HLL_PACKED_BEFORE 4 /* bytes in front of the packed ones that have to be readable: the header is there */

/* registers[i] = packed[i] */
void hll_registers_unpack(uint8_t registers[HLL_REGISTERS], const char *packed);
void hll_registers_unpack_portable(uint8_t registers[HLL_REGISTERS], const char *packed);
/* max[i] = the larger of max[i] and packed[i] */
void hll_registers_merge(uint8_t max[HLL_REGISTERS], const char *packed);
void hll_registers_merge_portable(uint8_t max[HLL_REGISTERS], const char *packed);
/* packed[i] = registers[i], each of which is HLL_REGISTER_MAX at most */
void hll_registers_pack(char *packed, const uint8_t registers[HLL_REGISTERS]);
void hll_registers_pack_portable(char *packed, const uint8_t registers[HLL_REGISTERS]);
/* How many registers have each value. */
void hll_registers_tally(uint32_t counts[HLL_REGISTER_MAX + 1], const uint8_t registers[HLL_REGISTERS]);
void hll_registers_tally_portable(uint32_t counts[HLL_REGISTER_MAX + 1], const uint8_t registers[HLL_REGISTERS]);

#endif
