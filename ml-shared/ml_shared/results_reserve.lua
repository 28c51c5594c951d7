-- Register a task whose outcome will be asked for, and hold room for it.
-- KEYS: result hash, expiry index (sorted set of "<task>:<bytes>" by time), total of bytes
-- ARGV: task id, owner, bytes to hold, most bytes in all, seconds to keep
-- Returns 1, or 0 when there is no room.
local now = tonumber(redis.call('TIME')[1])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[2], member)
  redis.call('DECRBY', KEYS[3], tonumber(string.match(member, ':(%d+)$')))
end
local held = tonumber(ARGV[3])
if tonumber(redis.call('GET', KEYS[3]) or '0') + held > tonumber(ARGV[4]) then
  return 0
end
local keep = tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'state', 'queued', 'held', held)
redis.call('EXPIRE', KEYS[1], keep)
redis.call('ZADD', KEYS[2], now + keep, ARGV[1] .. ':' .. held)
redis.call('INCRBY', KEYS[3], held)
return 1
