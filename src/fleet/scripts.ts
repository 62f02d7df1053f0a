// All requests to Redis: three scripts, each of one key, so that they run in a cluster too. All use the time
// of Redis, so that gates whose clocks differ agree. Each key expires by itself once that loses nothing.

/**
 * A bucket as a generic cell rate: the key holds the time at which it is full again, in microseconds. The
 * script takes tokens that were already spent (however few there are), takes tokens back, and draws as many
 * as there are.
 *
 * ARGV: microseconds a token, burst, spent, back, want. Returns the drawn tokens, and milliseconds until the
 * missing ones will be there.
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
 * The places of one client: a hash of how many each gate has, and until when. The places of a gate that does
 * not renew them are free again.
 *
 * ARGV: gate, places in use, places wanted, the maximum of all gates, milliseconds that they are kept.
 * Returns the gate's places from now on, no fewer than it uses, and how many of them exceed the maximum:
 * first contacts are admitted before Redis answers.
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
 * A sign of life: which gates there are, and the secret of the prefix, which the first gate sets.
 *
 * ARGV: gate, milliseconds without a sign after which a gate is gone, a secret. Returns the number of gates,
 * whether this one was known, and the secret. A gate that stops sends 0 and is forgotten at once.
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
