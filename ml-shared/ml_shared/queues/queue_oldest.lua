-- When the task that has waited longest was put into the queue: Unix seconds as text, or nothing.
-- KEYS: the queue's lists. A message may be tens of megabytes; its headers are at its end.
local oldest = false
for _, list in ipairs(KEYS) do
  local message = redis.call('LINDEX', list, -1)
  local since = message and string.match(string.sub(message, -8192), '"ml_queued_at": ?([%d.]+)')
  if since and (not oldest or tonumber(since) < tonumber(oldest)) then
    oldest = since
  end
end
return oldest
