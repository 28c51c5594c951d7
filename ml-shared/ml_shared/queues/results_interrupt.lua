-- Take back that a delivery was counted: its worker was stopped, and the task will be delivered again.
-- KEYS: result hash
if redis.call('HEXISTS', KEYS[1], 'deliveries') == 1 then
  redis.call('HINCRBY', KEYS[1], 'deliveries', -1)
  if redis.call('HGET', KEYS[1], 'state') == 'running' then
    redis.call('HSET', KEYS[1], 'state', 'queued')
  end
end
return 1
