-- Keep a task's outcome in the room that was held for it, or in more where there is more.
-- KEYS: result hash, expiry index, total of bytes
-- ARGV: task id, bytes of the body, most bytes in all, seconds to keep, body, HTTP status, media type, Retry-After
-- Returns 1 kept, 0 no room, -1 nobody waits for it (never registered, or expired).
local held = tonumber(redis.call('HGET', KEYS[1], 'held') or '-1')
if held < 0 then
  return -1
end
local size = tonumber(ARGV[2])
local counted = math.max(size, held)
local total = tonumber(redis.call('GET', KEYS[3]) or '0') - held + counted
if counted > held and total > tonumber(ARGV[3]) then
  return 0
end
local now = tonumber(redis.call('TIME')[1])
local keep = tonumber(ARGV[4])
redis.call('HSET', KEYS[1], 'state', 'done', 'held', counted, 'body', ARGV[5], 'status', ARGV[6],
  'media_type', ARGV[7], 'retry_after', ARGV[8])
redis.call('EXPIRE', KEYS[1], keep)
redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. held)
redis.call('ZADD', KEYS[2], now + keep, ARGV[1] .. ':' .. counted)
redis.call('INCRBY', KEYS[3], counted - held)
return 1
