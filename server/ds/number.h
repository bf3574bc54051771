/* SPDX-License-Identifier: MIT
 *
 * Numbers as text and back, in exactly the spellings Redis reads and writes. Parsers take the whole of the
 * string or nothing and write *out only on success. Formatters write no NUL and return the number of bytes.
 */
#ifndef SERVER_DS_NUMBER_H
#define SERVER_DS_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

#define NUMBER_I64_SIZE     20   /* "-9223372036854775808" */
#define NUMBER_DOUBLE_SIZE  32   /* "-2.2250738585072014e-308" is the longest, 24 */
#define NUMBER_LDOUBLE_SIZE 5120 /* %.17Lf of the largest long double: 4,951 bytes */

/* Canonical decimal only: no spaces, '+', leading zeros or "-0"; so the text can be had back from the number. */
bool number_parse_i64(struct bytes s, int64_t *out);

/* What strtod() reads (decimal, hex, exponents, "inf", "infinity" in any case, '+'), without leading spaces; NaN is
 * refused, and so are over- and underflow to infinity or zero. */
bool number_parse_double(struct bytes s, double *out);
/* The same for INCRBYFLOAT's long double; 5,120 bytes or more are refused. */
bool number_parse_ldouble(struct bytes s, long double *out);

/* Return the number of bytes written. */
unsigned number_format_u64(char *buf /* NUMBER_I64_SIZE */, uint64_t v);
unsigned number_format_i64(char *buf /* NUMBER_I64_SIZE */, int64_t v);
/* How many bytes the above would write. */
unsigned number_i64_width(int64_t v);

/* A score in a reply, RESP2 and RESP3 alike (after ","): whole numbers within +-2^62 in full, the rest in few digits
 * (shortest.h), "-0", "inf", "-inf", "nan". */
unsigned number_format_double(char *buf /* NUMBER_DOUBLE_SIZE */, double v);
/* A score as a listpack keeps it and DUMP shows it: as above, but -0 is 0. */
unsigned number_format_stored_double(char *buf /* NUMBER_DOUBLE_SIZE */, double v);
/* As DEBUG DIGEST reads it: whole numbers, too, in few digits (1e+8). Not for NaN. */
unsigned number_format_bare_double(char *buf /* NUMBER_DOUBLE_SIZE */, double v);
/* "%.17g", as ZSCAN shows the scores of a skiplist. Not for NaN. */
unsigned number_format_g17(char *buf /* NUMBER_DOUBLE_SIZE */, double v);
/* INCRBYFLOAT, HINCRBYFLOAT, GEOPOS: "%.17Lf" without trailing zeros; "-0" becomes "0". */
unsigned number_format_ldouble(char *buf /* NUMBER_LDOUBLE_SIZE */, long double v);

#endif
