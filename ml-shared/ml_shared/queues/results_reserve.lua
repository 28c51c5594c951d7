-- Register a task whose outcome will be asked for, and hold room for it.
-- KEYS: result hash, expiry index (sorted set of "<bytes>:<1 until it has ended, then 0>:<task>:<owner>" by time), total
--       of bytes, bytes by owner, tasks that have not ended by owner
-- ARGV: task id, owner, bytes to hold, most bytes in all, seconds to keep, most bytes of an owner, most tasks of an owner
-- Returns 1, or 0 when there is no room, -1 when the owner has no more room, -2 when it has no more tasks.
local function less(key, owner, by)
  if redis.call('HINCRBY', key, owner, -by) <= 0 then
    redis.call('HDEL', key, owner)
  end
end

local now = tonumber(redis.call('TIME')[1])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  local bytes, open, owner = string.match(member, '^(%d+):([01]):[^:]*:(.*)$')
  redis.call('ZREM', KEYS[2], member)
  redis.call('DECRBY', KEYS[3], bytes)
  less(KEYS[4], owner, tonumber(bytes))
  if open == '1' then
    less(KEYS[5], owner, 1)
  end
end
local held = tonumber(ARGV[3])
if tonumber(redis.call('GET', KEYS[3]) or '0') + held > tonumber(ARGV[4]) then
  return 0
end
if tonumber(redis.call('HGET', KEYS[4], ARGV[2]) or '0') + held > tonumber(ARGV[6]) then
  return -1
end
if tonumber(redis.call('HGET', KEYS[5], ARGV[2]) or '0') >= tonumber(ARGV[7]) then
  return -2
end
local keep = tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'state', 'queued', 'held', held)
redis.call('EXPIRE', KEYS[1], keep)
-- a second after the hash, whose time is exact: a task that still has its hash is counted here
redis.call('ZADD', KEYS[2], now + keep + 1, held .. ':1:' .. ARGV[1] .. ':' .. ARGV[2])
redis.call('INCRBY', KEYS[3], held)
redis.call('HINCRBY', KEYS[4], ARGV[2], held)
redis.call('HINCRBY', KEYS[5], ARGV[2], 1)
return 1
