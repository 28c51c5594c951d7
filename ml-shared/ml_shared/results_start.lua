-- Count a delivery of a registered task. KEYS: result hash. Returns how many there have been, 0 when nobody waits.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'running')
return redis.call('HINCRBY', KEYS[1], 'deliveries', 1)
