// All requests to Redis: three scripts. One call may bring several keys, each with its own arguments, and
// answers for each in turn: so a gate makes a tenth of the calls. In a cluster each key takes a call of its
// own. All use the time of Redis, so that gates whose clocks differ agree. Each key expires by itself once
// that loses nothing.
//
// The arguments of all keys are one text, and so is the answer, with spaces between: a number by itself costs
// a gate as much to write, and three times as much to read, as all the rest of its lease.

/** Arguments of each key. */
const ARGS = 5

/** Reads the arguments into `args`. */
const READ_ARGS = `
local args = {}
for word in string.gmatch(ARGV[1], '%S+') do args[#args + 1] = word end
`

/**
 * Buckets as generic cell rates: each key holds the time at which its bucket is full again, in microseconds.
 * For each key the script subtracts tokens that were already spent (even below zero), adds those given back,
 * and draws as many as there are.
 *
 * Arguments of each key: microseconds a token, burst, spent, back, want. Returns the drawn tokens, and
 * milliseconds until the missing ones will be there.
 */
export const DRAW = `${READ_ARGS}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local at = (i - 1) * ${ARGS}
  local cost, burst = tonumber(args[at + 1]), tonumber(args[at + 2])
  local spent, back, want = tonumber(args[at + 3]), tonumber(args[at + 4]), tonumber(args[at + 5])
  local full = math.max(now, tonumber(redis.call('GET', key) or 0))
  full = math.max(now, full - back * cost) + spent * cost
  local free = math.floor(burst - (full - now) / cost + 0.000001)
  local drawn = math.max(0, math.min(want, free))
  full = full + drawn * cost
  if full > now then
    redis.call('SET', key, string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
  else
    redis.call('DEL', key)
  end
  answers[2 * i - 1] = drawn
  answers[2 * i] = math.ceil(math.max(0, want - drawn - math.max(0, free - drawn)) * cost / 1000)
end
return table.concat(answers, ' ')
`

/**
 * The places of clients: for each a hash of how many each gate has, and until when. The places of a gate that
 * does not renew them are free again.
 *
 * Arguments of each key: gate, places in use, places wanted, the maximum of all gates, milliseconds that they are
 * kept. Returns the gate's places from now on, no fewer than it uses, and how many of them exceed the
 * maximum: first contacts are admitted before Redis answers.
 */
export const PLACES = `${READ_ARGS}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local answers = {}
for i, key in ipairs(KEYS) do
  local at = (i - 1) * ${ARGS}
  local gate, used, want = args[at + 1], tonumber(args[at + 2]), tonumber(args[at + 3])
  local max, ttl = tonumber(args[at + 4]), tonumber(args[at + 5])
  local others = 0
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    if all[j] ~= gate then
      local count, untilMs = string.match(all[j + 1], '^(%d+):(%d+)$')
      if tonumber(untilMs) > now then others = others + tonumber(count) else redis.call('HDEL', key, all[j]) end
    end
  end
  local have = math.max(used, math.min(want, max - others))
  if have > 0 then
    redis.call('HSET', key, gate, string.format('%d:%.0f', have, now + ttl))
    redis.call('PEXPIRE', key, ttl)
  else
    redis.call('HDEL', key, gate)
    have = 0
  end
  answers[2 * i - 1] = have
  answers[2 * i] = math.max(0, math.min(have, others + have - max))
end
return table.concat(answers, ' ')
`

/**
 * A sign of life: which gates there are, and the secret of the prefix, which the first gate sets.
 *
 * Arguments: gate, milliseconds without a sign after which a gate is gone, a secret. Returns the number of gates,
 * whether this one was known, and the secret. A gate that stops sends 0 and is forgotten at once.
 */
export const BEAT = `${READ_ARGS}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ttl = tonumber(args[2])
local known = redis.call('HEXISTS', KEYS[1], args[1])
if ttl > 0 then
  redis.call('HSET', KEYS[1], args[1], string.format('%.0f', now))
  redis.call('HSETNX', KEYS[1], 'secret', args[3])
  redis.call('PEXPIRE', KEYS[1], 86400000)
else
  redis.call('HDEL', KEYS[1], args[1])
  return '0 ' .. known .. ' -'
end
local gates = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= 'secret' then
    if now - tonumber(all[i + 1]) <= ttl then gates = gates + 1 else redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return gates .. ' ' .. known .. ' ' .. redis.call('HGET', KEYS[1], 'secret')
`
