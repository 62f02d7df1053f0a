// All requests to Redis: two scripts. One call may bring several keys, each with its own arguments, and
// answers for each in turn: so a gate makes a tenth of the calls. In a cluster each key takes a call of its
// own. All use the time of Redis, so that gates whose clocks differ agree. Each key expires by itself once
// that loses nothing.
//
// The arguments of all keys are one text, and so is the answer, with spaces between: a number by itself costs
// a gate about as much to write, and to read, as all the rest of its lease.

/** Reads the arguments into `args`. */
const READ_ARGS = `
local args = {}
for word in string.gmatch(ARGV[1], '%S+') do args[#args + 1] = word end
`

/**
 * Buckets as generic cell rates: each key holds the time at which its bucket is full again, in microseconds.
 * It subtracts tokens that were already spent (even below zero), adds those given back, and draws as many as
 * there are.
 *
 * Arguments: microseconds a token, burst, spent, back, want. Returns the drawn tokens, and milliseconds until
 * the missing ones will be there.
 */
const DRAW_ARGS = 5
const DRAW = `
local function draw(key, at)
  local now = t[1] * 1000000 + t[2]
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
  return drawn .. ' ' .. math.ceil(math.max(0, want - drawn - math.max(0, free - drawn)) * cost / 1000)
end
`

/**
 * The places of clients: for each a hash of how many each gate uses, and until when. Those that it keeps
 * for the client's next connections have a field of their own, with a plus after the name of the gate. The
 * places of a gate that does not renew them are free again, spare ones sooner.
 *
 * Arguments: gate, places in use, places that a connection waits for, spare ones wanted, the maximum of all
 * gates, their number, milliseconds that places in use are kept, and others. Spare ones are never the last,
 * and more than one only where each gate may have as many: a client that comes to another gate would wait for
 * places that nobody uses. Returns the gate's places from now on, no fewer than it uses; how many of them
 * exceed the maximum: first contacts are admitted before Redis answers; and how many spare ones others have.
 */
const PLACES_ARGS = 8
const PLACES = `
local function keep(key, field, count, untilMs)
  if count > 0 then
    redis.call('HSET', key, field, string.format('%d:%.0f', count, untilMs))
  else
    redis.call('HDEL', key, field)
  end
end
local function places(key, at)
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local gate, used, need, spare = args[at + 1], tonumber(args[at + 2]), tonumber(args[at + 3]), tonumber(args[at + 4])
  local max, gates = tonumber(args[at + 5]), tonumber(args[at + 6])
  local ttl, spareTtl = tonumber(args[at + 7]), tonumber(args[at + 8])
  local others, theirs = 0, 0
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    local name = all[j]
    if name ~= gate and name ~= gate .. '+' then
      local count, untilMs = string.match(all[j + 1], '^(%d+):(%d+)$')
      if tonumber(untilMs) <= now then
        redis.call('HDEL', key, name)
      else
        others = others + count
        if string.sub(name, -1) == '+' then theirs = theirs + count end
      end
    end
  end
  local have = math.max(used, math.min(used + need, max - others))
  local left = max - others - have
  local more = math.max(0, math.min(spare, left - 1, math.max(1, math.floor(left / gates))))
  keep(key, gate, used, now + ttl)
  keep(key, gate .. '+', have + more - used, now + spareTtl)
  redis.call('PEXPIRE', key, ttl)
  return (have + more) .. ' ' .. math.max(0, math.min(have, others + have - max)) .. ' ' .. theirs
end
`

/**
 * Draws and places of as many keys as there are: a newcomer asks for both, and a call costs more than a key
 * in it. The arguments of each key begin with the word for its kind, and answers have a comma between them.
 */
export const LEASES = `${READ_ARGS}
local t = redis.call('TIME')
${DRAW}
${PLACES}
local answers = {}
local at = 1
for i, key in ipairs(KEYS) do
  if args[at] == 'draw' then
    answers[i] = draw(key, at)
    at = at + ${DRAW_ARGS} + 1
  else
    answers[i] = places(key, at)
    at = at + ${PLACES_ARGS} + 1
  end
end
return table.concat(answers, ',')
`

/**
 * A sign of life: which gates there are, and the secret of the prefix, which the first gate sets.
 *
 * Arguments: gate, milliseconds without a sign after which a gate is gone, a secret. Returns the number of
 * gates, whether this one was known, and the secret. A gate that stops sends 0 and is forgotten at once.
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
