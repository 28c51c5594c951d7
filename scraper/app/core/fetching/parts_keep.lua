-- Keeps something that pages are made of for as long as it is fresh, and drops the oldest ones when all would be too much.
-- KEYS: the entry, the index of when each was kept, how long each is, how long all are; ARGV: the value, its life in seconds,
-- the most bytes of all.
local function forget(key)
  local length = redis.call('HGET', KEYS[3], key)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[2], key)
  if length then
    redis.call('HDEL', KEYS[3], key)
    redis.call('DECRBY', KEYS[4], length)
  end
end

forget(KEYS[1])
-- with what Redis itself takes for an entry: many small ones have a bound, too
local length, most = #ARGV[1] + 512, tonumber(ARGV[3])
if length > most then
  return 0
end
-- one that has expired by itself still counts here until it is the oldest: the bound is never exceeded
while tonumber(redis.call('GET', KEYS[4]) or 0) + length > most do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not oldest then
    break
  end
  forget(oldest)
end
local now = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[2], now[1] + now[2] / 1000000, KEYS[1])
redis.call('HSET', KEYS[3], KEYS[1], length)
redis.call('INCRBY', KEYS[4], length)
return 1
