-- Count a delivery of a task, also of one whose outcome nobody waits for.
-- KEYS: result hash; ARGV: seconds to keep the count of such a one
-- Returns how many there have been, 0 when the outcome is kept already.
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'done' then
  return 0
end
local deliveries = redis.call('HINCRBY', KEYS[1], 'deliveries', 1)
if state then
  redis.call('HSET', KEYS[1], 'state', 'running')
elseif deliveries == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return deliveries
