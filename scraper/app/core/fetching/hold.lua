-- Keeps everybody off a host that asked for quiet.
-- KEYS[1] the host's state; ARGV: hold in milliseconds, remember (see pacing.lua)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local hold = math.max(now + ARGV[1], tonumber(redis.call('HGET', KEYS[1], 'hold') or 0))
redis.call('HSET', KEYS[1], 'hold', string.format('%d', hold))
local expires = math.max(hold - now + tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
redis.call('PEXPIRE', KEYS[1], string.format('%d', expires))
return hold - now
