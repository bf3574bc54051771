/* SPDX-License-Identifier: MIT
 *
 * cjson: any text is decoded or refused; what was decoded is encoded, and that decodes to what encodes to the same. The
 * same text as a string, a key and a list of bytes comes back as it was.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef SCRIPT_LUA

#include "tests/fuzz/script_fuzz.h"

static const char program[] =
    "local other = cjson.new() "
    "other.encode_sparse_array(true, 1, 1) other.encode_invalid_numbers(true) other.encode_max_depth(2^31 - 1) "
    "other.decode_max_depth(2^31 - 1) "
    "local function around(c, s) "
    "  local ok, v = pcall(c.decode, s) if not ok then return end "
    "  local ok, t = pcall(c.encode, v) if not ok then return end "
    "  local ok, w = pcall(c.decode, t) if not ok then error('broken: ' .. w) end "
    "  local ok, u = pcall(c.encode, w) if ok and u ~= t then error('broken: ' .. t .. ' became ' .. u) end "
    "end "
    "return function(s) "
    "  around(cjson, s) around(other, s) "
    "  local v = cjson.decode(cjson.encode({s, {[s] = s}})) "
    "  if v[1] ~= s or v[2][s] ~= s then error('broken: a string changed') end "
    "  local b = {s:byte(1, 100)} local w = cjson.decode(cjson.encode(b)) "
    "  for i = 1, #b do if w[i] ~= b[i] then error('broken: a number changed') end end "
    "end";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 1 << 16) script_fuzz_input(program, data, size);
    return 0;
}

#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data, (void)size;
    return 0;
}

#endif
