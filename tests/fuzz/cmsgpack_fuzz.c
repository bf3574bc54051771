/* SPDX-License-Identifier: MIT
 *
 * cmsgpack: any bytes are unpacked or refused; what was unpacked is packed, and that unpacks to what packs to as many
 * bytes (keys that are tables have no order). One value at a time gives what all at once do.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef SCRIPT_LUA

#include "tests/fuzz/script_fuzz.h"

static const char program[] =
    "return function(s) "
    "  local all = {pcall(cmsgpack.unpack, s)} local n = 0 "
    "  if all[1] then "
    "    local at = 0 "
    "    while at ~= -1 and at < #s and n < 1000 do "
    "      local ok, go_on, v = pcall(cmsgpack.unpack_one, s, at) "
    "      if not ok then error('broken: one value is refused, all are not: ' .. go_on) end "
    "      n = n + 1 at = go_on "
    "      if type(v) ~= type(all[n + 1]) then error('broken: another type') end "
    "      if type(v) ~= 'table' and v ~= all[n + 1] and v == v then error('broken: another value') end "
    "    end "
    "  end "
    "  for i = 2, n + 1 do "
    "    local t = cmsgpack.pack(all[i]) "
    "    local ok, w = pcall(cmsgpack.unpack, t) "
    "    if not ok then if w:find('nil') or w:find('NaN') then w = nil else error('broken: ' .. w) end "
    "    elseif #cmsgpack.pack(w) ~= #t and not t:find('\\192') then error('broken: packed otherwise') end "
    "  end "
    "  if cmsgpack.unpack(cmsgpack.pack(s)) ~= s then error('broken: a string changed') end "
    "  local v = cmsgpack.unpack(cmsgpack.pack({[s] = {s:byte(1, 100)}})) "
    "  for i = 1, math.min(#s, 100) do if v[s][i] ~= s:byte(i) then error('broken: a number changed') end end "
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
