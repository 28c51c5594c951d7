-- Forget a task that was registered and never queued.
-- KEYS: result hash, expiry index, total of bytes; ARGV: task id
local held = redis.call('HGET', KEYS[1], 'held')
if held then
  redis.call('DEL', KEYS[1])
  if redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. held) == 1 then
    redis.call('DECRBY', KEYS[3], tonumber(held))
  end
end
return 1
