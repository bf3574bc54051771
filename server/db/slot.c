/* SPDX-License-Identifier: MIT
 *
 * CRC16 by nibbles: 32 bytes of table instead of 512, since a slot is computed only with several slices or in a
 * cluster, and the keyspace's own table does not want to share its cache with another.
 */
#include "server/db/slot.h"

static const uint16_t crc_of_nibble[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

uint16_t slot_crc16(const void *p, size_t n)
{
    const uint8_t *s = p;
    uint16_t crc = 0;
    for (size_t i = 0; i < n; i++) {
        crc = (uint16_t)(crc << 4) ^ crc_of_nibble[(crc >> 12) ^ (s[i] >> 4)];
        crc = (uint16_t)(crc << 4) ^ crc_of_nibble[(crc >> 12) ^ (s[i] & 15)];
    }
    return crc;
}

struct bytes slot_tag(struct bytes key)
{
    const char *open = key.n ? memchr(key.p, '{', key.n) : NULL;
    if (!open) return key;
    const char *end = key.p + key.n;
    const char *close = memchr(open + 1, '}', (size_t)(end - open - 1));
    if (!close || close == open + 1) return key;
    return bytes_of(open + 1, (size_t)(close - open - 1));
}

unsigned slot_of_key(struct bytes key)
{
    struct bytes tag = slot_tag(key);
    return slot_crc16(tag.p, tag.n) & (SLOT_COUNT - 1);
}
