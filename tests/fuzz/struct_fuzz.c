/* SPDX-License-Identifier: MIT
 *
 * struct, string.format and patterns: up to the first newline the input is a format, behind it what is packed, unpacked
 * or looked through. What was unpacked packs to bytes that unpack to the same; the patterns of Lua's own library find
 * the same as ours (but for zero bytes and %g, which Lua 5.1 has not).
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef SCRIPT_LUA

#include "tests/fuzz/script_fuzz.h"

static const char program[] =
    "local function same(a, b) if #a ~= #b then return false end "
    "  for i = 1, #a do if a[i] ~= b[i] and a[i] == a[i] then return false end end return true end "
    "return function(s) "
    "  local at = s:find('\\n', 1, true) or #s + 1 "
    "  local format, rest = s:sub(1, at - 1), s:sub(at + 1) "
    "  pcall(struct.size, format) "
    "  pcall(struct.pack, format, rest, #rest, rest, 1.5, -1, 2^70, rest) "
    "  pcall(string.format, format, #rest, rest, 0.125, -#rest, rest) "
    "  pcall(struct.unpack, format, rest, #rest % 5) "
    "  local got = {pcall(struct.unpack, format, rest)} "
    "  if got[1] and not format:find('c0') then "
    "    local packed = {pcall(struct.pack, format, unpack(got, 2, #got - 1))} "
    "    if packed[1] and not format:find('[iIlLTf]') then "
    "      local again = {pcall(struct.unpack, format, packed[2])} "
    "      if not again[1] or not same(again, got) then error('broken: another value') end "
    "    end "
    "  end "
    "  local ours = {pcall(string.find, rest:sub(1, 20), format:sub(1, 8))} "
    "  local theirs = {pcall(lua_find, rest:sub(1, 20), format:sub(1, 8))} "
    "  if not same(ours, theirs) and not format:find('\\0', 1, true) and not format:find('%%[gG]') then error('broken: "
    "found otherwise') end "
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
