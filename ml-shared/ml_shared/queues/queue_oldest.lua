-- When the task at the end of the queue that is worked off first was put there: Unix seconds as text, or nothing.
-- KEYS[1] the queue. A message may be tens of megabytes; its headers are at its end.
local message = redis.call('LINDEX', KEYS[1], -1)
if not message then
    return false
end
return string.match(string.sub(message, -8192), '"ml_queued_at": ?([%d.]+)') or false
