-- Count a direct task no longer: it has ended, or was not queued after all.
-- KEYS: direct tasks, "<bytes>:<owner>" by direct task, bytes by owner, tasks by owner; ARGV: task id
local known = redis.call('HGET', KEYS[2], ARGV[1])
if not known then
  return 0 -- a hand-out, or it ran twice
end
local bytes, owner = string.match(known, '^(%d+):(.*)$')
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
for _, less in ipairs({{KEYS[3], owner, bytes}, {KEYS[3], '', bytes}, {KEYS[4], owner, 1}}) do
  if redis.call('HINCRBY', less[1], less[2], -tonumber(less[3])) <= 0 then
    redis.call('HDEL', less[1], less[2])
  end
end
return 1
