// All that Redis is asked: three scripts, each of one key, so that they run in a cluster too. Time is Redis's own in all of them: gates
// whose clocks differ agree. Each key expires by itself once nothing would be lost.

/**
 * A bucket as a generic cell rate: the key holds when it is full again, in microseconds. Tokens are taken that were spent already
 * (whatever is there), given back, and drawn as far as they are there.
 *
 * ARGV: microseconds a token, burst, spent, back, want. Gives what was drawn, and milliseconds until the rest will be there.
 */
export const DRAW = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local cost, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local spent, back, want = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
full = math.max(now, full - back * cost) + spent * cost
local free = math.floor(burst - (full - now) / cost + 0.000001)
local drawn = math.max(0, math.min(want, free))
full = full + drawn * cost
if full > now then
  redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
else
  redis.call('DEL', KEYS[1])
end
return { drawn, math.ceil(math.max(0, want - drawn - math.max(0, free - drawn)) * cost / 1000) }
`

/**
 * The places of one client: a hash of how many each gate has, and until when. A gate's are gone when it does not renew them.
 *
 * ARGV: gate, places in use, places wanted, the most for all gates, milliseconds that they are kept. Gives what the gate has from now on,
 * no less than it uses, and how many of those are more than the most for all: first contacts were let on unasked.
 */
export const PLACES = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local used, want, max, ttl = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local others = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ARGV[1] then
    local count, untilMs = string.match(all[i + 1], '^(%d+):(%d+)$')
    if tonumber(untilMs) > now then others = others + tonumber(count) else redis.call('HDEL', KEYS[1], all[i]) end
  end
end
local have = math.max(used, math.min(want, max - others))
if have > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d:%.0f', have, now + ttl))
  redis.call('PEXPIRE', KEYS[1], ttl)
else
  redis.call('HDEL', KEYS[1], ARGV[1])
  have = 0
end
return { have, math.max(0, math.min(have, others + have - max)) }
`

/**
 * A sign of life: which gates there are, and the secret of the prefix, which the first gate brings.
 *
 * ARGV: gate, milliseconds without a sign after which one is gone, a secret. Gives the number of gates, whether this one was known, and
 * the secret. A gate that stops sends 0 and is forgotten at once.
 */
export const BEAT = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ttl = tonumber(ARGV[2])
local known = redis.call('HEXISTS', KEYS[1], ARGV[1])
if ttl > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now))
  redis.call('HSETNX', KEYS[1], 'secret', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], 86400000)
else
  redis.call('HDEL', KEYS[1], ARGV[1])
  return { 0, known, '' }
end
local gates = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= 'secret' then
    if now - tonumber(all[i + 1]) <= ttl then gates = gates + 1 else redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return { gates, known, redis.call('HGET', KEYS[1], 'secret') }
`
