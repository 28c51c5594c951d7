-- Reserves the next free slot of a host, or says when there will be one. Redis' own clock: no worker's is asked.
-- KEYS[1] the host's state: last (slot given out last for a page), gap (asked for then), robots (slot given out last for a
--         robots.txt), hold (not before)
-- ARGV: gap, patience, insist (1: a slot within the patience, come what may), remember (how long a gap can matter),
--       field (what the slot is for: last or robots)
-- All times in milliseconds. Answers {granted, wait until the slot, wait until the host may be asked after that}.
-- A robots.txt comes a gap after the page before it and after the robots.txt before it; a page may follow it at once.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gap, patience, field = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[5]
local state = redis.call('HMGET', KEYS[1], 'last', 'gap', 'hold', 'robots')
local slot = now
if state[1] then
  slot = math.max(slot, state[1] + math.max(gap, tonumber(state[2])))
end
if state[4] and field == 'robots' then
  slot = math.max(slot, state[4] + math.max(gap, tonumber(state[2] or 0)))
end
if state[3] then
  slot = math.max(slot, tonumber(state[3]))
end
if ARGV[3] == '1' then
  slot = math.min(slot, now + patience)
end
if slot - now > patience then
  return {0, slot - now, slot - now}
end
if field == 'robots' then
  redis.call('HSET', KEYS[1], 'robots', string.format('%d', slot))
else
  redis.call('HSET', KEYS[1], 'last', string.format('%d', slot), 'gap', string.format('%d', gap))
end
local expires = slot - now + math.max(gap, tonumber(ARGV[4]))
if state[3] then
  expires = math.max(expires, state[3] - now)
end
redis.call('PEXPIRE', KEYS[1], string.format('%d', expires))
return {1, slot - now, slot - now + gap}
