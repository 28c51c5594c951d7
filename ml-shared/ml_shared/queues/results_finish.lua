-- Keep a task's outcome in the room that was held for it, or in more where there is more.
-- KEYS: as in results_reserve.lua
-- ARGV: task id, bytes of the body, most bytes in all, seconds to keep, body, HTTP status, media type, Retry-After, most
--       bytes of an owner
-- Returns 1 kept, 0 no room, -1 nobody waits for it (never registered, or expired).
local held = tonumber(redis.call('HGET', KEYS[1], 'held') or '-1')
if held < 0 then
  return -1
end
local owner = redis.call('HGET', KEYS[1], 'owner')
local counted = math.max(tonumber(ARGV[2]), held)
local more = counted - held
if more > 0 then
  local total = tonumber(redis.call('GET', KEYS[3]) or '0') + more
  local owners = tonumber(redis.call('HGET', KEYS[4], owner) or '0') + more
  if total > tonumber(ARGV[3]) or owners > tonumber(ARGV[9]) then
    return 0
  end
end
local now = tonumber(redis.call('TIME')[1])
local keep = tonumber(ARGV[4])
local named = ':' .. ARGV[1] .. ':' .. owner
if redis.call('ZREM', KEYS[2], held .. ':1' .. named) == 0 then
  redis.call('ZREM', KEYS[2], held .. ':0' .. named) -- it ran twice
elseif redis.call('HINCRBY', KEYS[5], owner, -1) <= 0 then
  redis.call('HDEL', KEYS[5], owner)
end
redis.call('HSET', KEYS[1], 'state', 'done', 'held', counted, 'body', ARGV[5], 'status', ARGV[6],
  'media_type', ARGV[7], 'retry_after', ARGV[8])
redis.call('EXPIRE', KEYS[1], keep)
redis.call('ZADD', KEYS[2], now + keep + 1, counted .. ':0' .. named)
redis.call('INCRBY', KEYS[3], more)
redis.call('HINCRBY', KEYS[4], owner, more)
return 1
