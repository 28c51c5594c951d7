-- One request against a caller's sliding window: counted and decided in one atomic step, on the server's clock.
--
-- KEYS[1]  the caller's log: times of accepted requests in microseconds, oldest first
-- KEYS[2]  the active callers: member = caller, score = time of its last accepted request
-- ARGV[1]  the window in microseconds
-- ARGV[2]  the caller
-- ARGV[3…] the limits, three values each: requests, 1 if shared among active callers, floor
--
-- Answers {allowed, index of the tightest limit from 0, that limit, remaining, microseconds until reset}.
--
-- The log is a list of integers and not a sorted set: as exact, and about a tenth of the memory. It never holds more
-- than the caller's limit, since a refused request leaves nothing behind. Only commands of Redis 6.2.

local log, callers = KEYS[1], KEYS[2]
local window, caller = tonumber(ARGV[1]), ARGV[2]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function at(index)
  return tonumber(redis.call('LINDEX', log, index))
end

local count = redis.call('LLEN', log)
if count > 0 then
  local newest = at(-1)
  if newest > now + window then
    -- the server's clock was set back by more than a window: what the log says is of no use
    redis.call('DEL', log)
    count = 0
  elseif newest > now then
    now = newest
  end
end

-- drop what has left the window (now - window, now]; from the old end in growing steps, for as a rule little has
local edge = now - window
local low, high, step = 0, 0, 1
while high < count and at(high) <= edge do
  low, high, step = high + 1, math.min(count, high + step), step * 2
end
while low < high do
  local middle = math.floor((low + high) / 2)
  if at(middle) > edge then high = middle else low = middle + 1 end
end
if low == count then
  if count > 0 then redis.call('DEL', log) end
elseif low > 0 then
  redis.call('LTRIM', log, low, -1)
end
count = count - low

-- %.0f: Lua's own number format keeps 14 digits, and these have 16
redis.call('ZREMRANGEBYSCORE', callers, '-inf', string.format('%.0f', edge))
redis.call('ZREMRANGEBYSCORE', callers, string.format('(%.0f', now + window), '+inf')
local active = redis.call('ZCARD', callers)
if not redis.call('ZSCORE', callers, caller) then active = active + 1 end

local tightest, limit = 0, nil
for index = 0, (#ARGV - 2) / 3 - 1 do
  local requests = tonumber(ARGV[3 + index * 3])
  if ARGV[4 + index * 3] == '1' then
    requests = math.max(tonumber(ARGV[5 + index * 3]), math.floor(requests / active))
  end
  if limit == nil or requests < limit then tightest, limit = index, requests end
end

if count >= limit then
  -- a share that shrank may leave more in the log than the limit: room comes when the surplus has left too
  return {0, tightest, limit, 0, limit > 0 and at(count - limit) + window - now or window}
end

local milliseconds = math.ceil(window / 1000)
redis.call('RPUSH', log, string.format('%.0f', now))
redis.call('PEXPIRE', log, milliseconds)
redis.call('ZADD', callers, string.format('%.0f', now), caller)
redis.call('PEXPIRE', callers, milliseconds)
return {1, tightest, limit, limit - count - 1, at(0) + window - now}
