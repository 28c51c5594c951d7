-- Forget a task that was registered and never queued.
-- KEYS: as in results_reserve.lua; ARGV: task id
local function less(key, owner, by)
  if redis.call('HINCRBY', key, owner, -by) <= 0 then
    redis.call('HDEL', key, owner)
  end
end

local held, owner = unpack(redis.call('HMGET', KEYS[1], 'held', 'owner'))
if held then
  redis.call('DEL', KEYS[1])
  if redis.call('ZREM', KEYS[2], held .. ':1:' .. ARGV[1] .. ':' .. owner) == 1 then
    redis.call('DECRBY', KEYS[3], held)
    less(KEYS[4], owner, tonumber(held))
    less(KEYS[5], owner, 1)
  end
end
return 1
