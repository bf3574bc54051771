/* SPDX-License-Identifier: MIT
 *
 * Compiler annotations of the public headers, named as Demikernel names them.
 *
 * ATTR_NONNULL is empty while the library itself is compiled (DEMI_LIBRARY): GCC takes a nonnull
 * parameter as proof that it is not NULL and deletes the checks behind it, and those checks are what
 * turns a caller's mistake into EINVAL. Callers get the attribute and its warnings.
 */
#ifndef DEMI_CC_H
#define DEMI_CC_H

#define _In_
#define _In_z_
#define _In_opt_
#define _In_reads_(s)
#define _In_reads_bytes_(b)
#define _Out_
#define _Out_writes_to_(s, c)
#define _Deref_pre_z_

#if defined(__GNUC__) && !defined(DEMI_LIBRARY)
#define ATTR_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define ATTR_NODISCARD    __attribute__((warn_unused_result))
#else
#define ATTR_NONNULL(...)
#define ATTR_NODISCARD
#endif

#endif
