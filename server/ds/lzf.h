/* SPDX-License-Identifier: MIT
 *
 * The LZF format (liblzf's) as RDB files and compressed list nodes hold it. The compressor makes the choices Redis's
 * makes, so that DUMP gives the same bytes.
 */
#ifndef SERVER_DS_LZF_H
#define SERVER_DS_LZF_H

#include <stddef.h>

/* Compresses into at most out_size bytes. Returns the compressed size, 0 when it does not fit (or n is under 4 or
 * over 4 GiB - 1). Allocates 256 KiB of working memory for the call. */
size_t lzf_compress(const void *in, size_t n, void *out, size_t out_size);

/* The same with working memory of the caller's, for many strings in a row: LZF_WORK_SIZE bytes, all zero at first,
 * and all zero again afterwards. */
#define LZF_WORK_SIZE ((size_t)262144)
size_t lzf_compress_in(void *work, const void *in, size_t n, void *out, size_t out_size);

/* Returns the number of bytes written to out; 0: the input is malformed or the output would pass out_size. Safe on
 * any input. */
size_t lzf_decompress(const void *in, size_t n, void *out, size_t out_size);

#endif
