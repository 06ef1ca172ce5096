"""Scripts of the event bus in Redis: each is one step that happens whole or not at all.

Keys: the stream; what a group set aside as dead, a hash by position; ids published in this minute
and the last one, a set each. All carry one hash tag, so that a cluster keeps them together.
"""

from __future__ import annotations

from typing import Final

STREAM: Final = "optiinfra:{events}"
SEEN_S: Final = 60  # for so long at least an event that is published again is known

PUBLISH: Final = """
local stream, window = KEYS[1], tonumber(ARGV[1])
local minute = math.floor(tonumber(redis.call('TIME')[1]) / window)
local seen, before = stream .. ':seen:' .. minute, stream .. ':seen:' .. (minute - 1)
local added = 0
for _, event in ipairs(cjson.decode(ARGV[2])) do
    if redis.call('SISMEMBER', before, event[1]) == 0
        and redis.call('SADD', seen, event[1]) == 1 then
        redis.call('XADD', stream, '*', 'id', event[1], 'customer', event[2],
                   'name', event[3], 'data', event[4], 'at', event[5])
        added = added + 1
    end
end
redis.call('EXPIRE', seen, 2 * window)
return added
"""

# Returns the last position of the stream and, for each event, its position, attempt and fields: as
# one JSON text, since the client's parser takes longer than all else.
CLAIM: Final = """
local stream, dead = KEYS[1], KEYS[2]
local group, consumer, limit, idle = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local max_attempts, alone_after = tonumber(ARGV[5]), tonumber(ARGV[6])
local last, out = redis.call('XINFO', 'STREAM', stream), {}
for i = 1, #last, 2 do
    if last[i] == 'last-generated-id' then last = last[i + 1] break end
end
local attempts, chosen, alone = {}, {}, nil
for _, p in ipairs(redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', limit)) do
    local id, count = p[1], p[4]
    attempts[id] = count + 1
    if count >= max_attempts then
        local found = redis.call('XRANGE', stream, id, id)
        if #found == 1 then
            redis.call('HSET', dead, id, cjson.encode({count, found[1][2]}))
        end
        redis.call('XACK', stream, group, id)
    elseif count < alone_after then
        chosen[#chosen + 1] = id
    elseif alone == nil then
        alone = id
    end
end
if #chosen == 0 and alone ~= nil then chosen = {alone} end
if #chosen > 0 then
    for _, id in ipairs(chosen) do
        local found = redis.call('XCLAIM', stream, group, consumer, 0, id)
        if #found == 1 and found[1] and found[1][2] then
            out[#out + 1] = {id, attempts[id], found[1][2]}
        else
            redis.call('XACK', stream, group, id)
        end
    end
end
if #out == 0 then
    local found = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', limit,
                             'STREAMS', stream, '>')
    local has_dead = redis.call('EXISTS', dead) == 1
    if found and found[1] then
        for _, entry in ipairs(found[1][2]) do
            out[#out + 1] = {entry[1], 1, entry[2]}
            if has_dead then redis.call('HDEL', dead, entry[1]) end
        end
    end
end
return {last, #out == 0 and '[]' or cjson.encode(out)}
"""

READ: Final = """
local out = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
    out[#out + 1] = {entry[1], 0, entry[2]}
end
return #out == 0 and '[]' or cjson.encode(out)
"""

REWIND: Final = """
local stream, group, after, first = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
redis.call('XGROUP', 'SETID', stream, group, after)
if after == '$' then return end
while true do
    local pending = redis.call('XPENDING', stream, group, first, '+', 1000)
    if #pending == 0 then return end
    for _, p in ipairs(pending) do redis.call('XACK', stream, group, p[1]) end
end
"""

DESCRIBE: Final = """
local stream, dead, group = KEYS[1], KEYS[2], ARGV[1]
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['name'] == group then
        local waiting, from = 0, '(' .. fields['last-delivered-id']
        while true do
            local found = redis.call('XRANGE', stream, from, '+', 'COUNT', 1000)
            if #found == 0 then break end
            waiting, from = waiting + #found, '(' .. found[#found][1]
        end
        return {waiting, fields['pending'], redis.call('HLEN', dead)}
    end
end
return false
"""

# Nothing goes that a group was not handed out, or has not acknowledged.
PRUNE: Final = """
local stream, floor = KEYS[1], ARGV[1]
local function parse(id)
    local dash = string.find(id, '-', 1, true)
    return tonumber(string.sub(id, 1, dash - 1)), tonumber(string.sub(id, dash + 1))
end
local function lower(a, b)
    local am, as = parse(a)
    local bm, bs = parse(b)
    if am < bm or (am == bm and as < bs) then return a end
    return b
end
if redis.call('EXISTS', stream) == 0 then return 0 end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    local ms, seq = parse(fields['last-delivered-id'])
    floor = lower(floor, string.format('%.0f-%.0f', ms, seq + 1))
    local pending = redis.call('XPENDING', stream, fields['name'])
    if pending[1] > 0 then floor = lower(floor, pending[2]) end
end
return redis.call('XTRIM', stream, 'MINID', floor)
"""
