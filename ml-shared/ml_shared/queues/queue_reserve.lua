-- Make room for one task that is about to be queued: the one place where the queue's bounds are decided, so that they
-- hold over all processes of the API.
-- KEYS: what workers hold, epoch, arriving (sorted set of "<bytes>:<task>" by expiry), direct tasks (sorted set by
--       expiry), "<bytes>:<owner>" by direct task, bytes by owner ('' for all), tasks by owner, count of hand-outs, then
--       the queue's lists: the hand-outs', and those of direct tasks in the order in which they are worked off
-- ARGV: task id, bytes, owner ('' for a hand-out), an epoch if there is none, most tasks, most bytes, parts of which an
--       owner may have one, seconds to arrive, seconds to hold, seconds that a hold outlives an empty queue, hand-outs
--       for one direct task, a hand-out's message, then of each list of direct tasks but the last how many of an owner's
--       go there or before
-- A message that comes along is queued here and now, so that nothing has to be kept for its arrival.
-- Returns {verdict, what was counted for it, epoch, list}. Verdict 1: taken; 0, -1: the queue has no room for more tasks,
-- or bytes; -2, -3: direct tasks have none; -4, -5: the owner has none.
local held, epoch_key, arriving, direct, known, owner_bytes, owner_tasks, hand_outs = unpack(KEYS, 1, 8)
local LISTS = 9
local task, size, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local most_tasks, most_bytes, parts = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local hold = tonumber(ARGV[9])
local now = tonumber(redis.call('TIME')[1])

local function less(key, name, by)
  if redis.call('HINCRBY', key, name, -by) <= 0 then
    redis.call('HDEL', key, name)
  end
end

local function used(key)
  return redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) or 0 -- 0: exact, by looking at every message's length
end

local depth, bytes = redis.call('HLEN', held), used(held)
for index = LISTS, #KEYS do
  depth = depth + redis.call('LLEN', KEYS[index])
  bytes = bytes + used(KEYS[index])
end

-- Forget what expired. A release may be lost, so where nothing is queued nothing older is counted either.
local passed = now
if depth == 0 then
  passed = now + hold - tonumber(ARGV[10])
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', direct, '-inf', passed)) do
  local its_bytes, its_owner = string.match(redis.call('HGET', known, gone) or '0:', '^(%d+):(.*)$')
  redis.call('ZREM', direct, gone)
  redis.call('HDEL', known, gone)
  less(owner_bytes, its_owner, tonumber(its_bytes))
  less(owner_bytes, '', tonumber(its_bytes))
  less(owner_tasks, its_owner, 1)
end

redis.call('ZREMRANGEBYSCORE', arriving, '-inf', now)
for _, member in ipairs(redis.call('ZRANGE', arriving, 0, -1)) do
  depth = depth + 1
  bytes = bytes + tonumber(string.match(member, '^%d+'))
end
redis.call('SET', epoch_key, ARGV[4], 'NX')
local epoch = redis.call('GET', epoch_key)
if depth + 1 > most_tasks then
  return {0, depth, epoch, 0}
end
if bytes + size > most_bytes then
  return {-1, bytes, epoch, 0}
end

local list = 1
if owner ~= '' then
  local tasks = tonumber(redis.call('HGET', owner_tasks, owner) or '0')
  local taken = tonumber(redis.call('HGET', owner_bytes, owner) or '0')
  local all_tasks, all_bytes = redis.call('ZCARD', direct), tonumber(redis.call('HGET', owner_bytes, '') or '0')
  if tasks > 0 then -- one always gets in, however long it is
    if tasks + 1 > most_tasks / parts then
      return {-4, tasks, epoch, 0}
    end
    if taken + size > most_bytes / parts then
      return {-5, taken, epoch, 0}
    end
  end
  if all_tasks > 0 then
    if all_tasks + 1 > most_tasks - most_tasks / parts then
      return {-2, all_tasks, epoch, 0}
    end
    if all_bytes + size > most_bytes - most_bytes / parts then
      return {-3, all_bytes, epoch, 0}
    end
  end
  redis.call('ZADD', direct, now + hold, task)
  redis.call('HSET', known, task, size .. ':' .. owner)
  redis.call('HINCRBY', owner_bytes, owner, size)
  redis.call('HINCRBY', owner_bytes, '', size)
  redis.call('HINCRBY', owner_tasks, owner, 1)
  -- the first few of an owner stand before the many of another
  list = 2
  while ARGV[11 + list] and tasks >= tonumber(ARGV[11 + list]) do
    list = list + 1
  end
elseif redis.call('INCR', hand_outs) % tonumber(ARGV[11]) == 0 and redis.call('LLEN', KEYS[LISTS]) > 0 then
  -- hand-outs without end keep direct tasks waiting, but not out: the next of those goes in between
  for index = LISTS + 1, #KEYS do
    if redis.call('RPOPLPUSH', KEYS[index], KEYS[LISTS]) then
      break
    end
  end
end
if ARGV[12] ~= '' then
  redis.call('LPUSH', KEYS[LISTS], ARGV[12])
else
  redis.call('ZADD', arriving, now + tonumber(ARGV[8]), size .. ':' .. task)
end
return {1, depth, epoch, list}
