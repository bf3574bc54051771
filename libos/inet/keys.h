/* SPDX-License-Identifier: MIT
 *
 * Reading a raw libOS's configuration: where a key may stand, and what Demikernel calls the same.
 */
#ifndef INET_KEYS_H
#define INET_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct demi_config;

struct keys {
    const struct demi_config *conf;
    const char *section; /* "packet" */
    char *why;           /* 256 bytes, or NULL */
};

#define KEYS_WHY_SIZE 256

/* What was set by the program, then KEY of the environment, then "section.key", "key", and Demikernel's name for it.
 * NULL: nothing, or an empty text. */
const char *keys_get(const struct keys *k, const char *key);
/* Whether Demikernel's name was the one that is set. */
bool keys_is_demikernels(const struct keys *k, const char *key);

/* These leave *out alone when the key is not set; -EINVAL and the reason in k->why when it is nonsense. */
int keys_bool(const struct keys *k, const char *key, bool *out);
int keys_number(const struct keys *k, const char *key, int64_t least, int64_t most, int64_t *out);
/* A number with k, m or g behind it (1,024s). */
int keys_size(const struct keys *k, const char *key, uint32_t least, uint32_t most, uint32_t *out);

/* The i-th of a list: "key.0"…, or the words of "key" between blanks and commas. False: no more. out holds n bytes. */
bool keys_item(const struct keys *k, const char *key, unsigned i, char *out, size_t n);

/* Writes the reason; returns -err. */
int keys_refuse(const struct keys *k, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
