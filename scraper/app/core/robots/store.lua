-- Keeps a robots.txt, and drops the oldest ones when there are more than the Redis of a queue has room for.
-- KEYS: the entry, the index; ARGV: the value, its life in seconds, the most entries
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[2], redis.call('TIME')[1], KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
local over = redis.call('ZCARD', KEYS[2]) - ARGV[3]
if over > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[2], over)
  for position = 1, #oldest, 2 do
    redis.call('DEL', oldest[position])
  end
end
return over
