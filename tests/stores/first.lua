-- The arithmetic of admission, one atomic step in Redis or Valkey. counters.py is the same for one process.
--
-- ARGV[1] operation, ARGV[2] time in microseconds ("" in production: the server's own clock, so that replicas agree).
-- reserve and settle take their arguments as one JSON text and answer in one string: packing forty arguments for the
-- wire cost the client more than all the rest.
-- Integers stay below 2^53, which a Lua number holds exactly; they are written with %.0f, because tostring() keeps
-- only 14 digits.
--
-- The keys of a workflow, all in the slot of its team ({team} is the hash tag):
--   mg1:{team}:w:<correlation id>  hash: state reason first last since ends (microseconds), a:<agent>,
--                                  u|h|l:<unit>:<quota key> = used, held, lapsed
--   mg1:{team}:open                zset: reservations in flight, scored by when they lapse; the member says all
--                                  that ending one needs, so ZREM is the proof that it had not ended before
--   mg1:{team}:seen                zset: correlation ids by last call
--   mg1:{team}:v:<correlation id>  hash, the vault: ends, n:<entity>, d:<entity>:<digest>, c:<entity>:<number>
--   mg1:{..}:b:<bucket>            string: level and time of a token bucket

local MICRO = 1000000
local DUST = 1e-6

local operation, now = ARGV[1], tonumber(ARGV[2])
if not now then
  local time = redis.call("TIME")
  now = time[1] * MICRO + time[2]
end

-- Adding nothing makes of minus zero, which no command takes for an integer, zero.
local function int(number) return string.format("%.0f", number + 0) end

local function level_of(key, limit, refill)
  local level, at = limit, now
  local state = redis.call("GET", key)
  if state then
    local a, b = string.match(state, "^(%S+) (%S+)$")
    level, at = tonumber(a), tonumber(b)
    level = math.min(limit, level + math.max(0, now - at) / MICRO * refill)
    at = math.max(at, now)
  end
  return { level = level, at = at, limit = limit, refill = refill, key = key }
end

local function keep_level(bucket)
  -- A bucket that would be full again is as good as none, so it may expire then.
  local full = math.ceil((bucket.limit - bucket.level) / bucket.refill * 1000) + 1000
  local state = string.format("%.17g %.0f", bucket.level, bucket.at)
  redis.call("SET", bucket.key, state, "PX", int(math.min(full, 2 ^ 53)))
end

-- A workflow that has outlived its ttl is forgotten, unless calls of it are in flight.
local function forget_expired(key, ends)
  if not ends or tonumber(ends) >= now then return false end
  local all = redis.call("HGETALL", key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == "h:" and tonumber(all[i + 1]) > 0 then return false end
  end
  redis.call("DEL", key)
  return true
end

local function touch(key, seen, id, ends, kept_ms)
  ends = math.max(tonumber(ends or 0), now + kept_ms * 1000)
  redis.call("HSET", key, "last", int(now), "ends", int(ends))
  redis.call("PEXPIRE", key, int(math.ceil((ends - now) / 1000)))
  redis.call("ZADD", seen, int(now), id)
end

local function refusal(reason, index, used, held, retry)
  return table.concat({ reason, int(index - 1), int(used or 0), int(held or 0), int(retry or -1) }, " ")
end

-- KEYS: workflow, open, seen, buckets...
-- ARGV: 3 JSON [correlation id, agent, seconds or false, ttl ms, lapse ms, debits], 4 member;
--       a debit is [bucket (index into KEYS, 0: quota), unit:key, amount, limit, refill, name]
-- Returns "ok" and for each debit "remaining reset_ms", or "reason index used held retry_ms" (-1: none)
local function reserve()
  local work, open, seen = KEYS[1], KEYS[2], KEYS[3]
  local id, agent, seconds, ttl, lapse, debits = unpack(cjson.decode(ARGV[3]))
  local member = ARGV[4]

  local fields = { "state", "reason", "first", "since", "ends" }
  for i = 1, #debits do
    fields[#fields + 1] = "u:" .. debits[i][2]
    fields[#fields + 1] = "h:" .. debits[i][2]
  end
  local got = redis.call("HMGET", work, unpack(fields))
  local state, reason, first, since, ends = got[1], got[2], got[3], got[4], got[5]
  local fresh = not first or forget_expired(work, ends)
  if fresh then state, reason, first, since, ends = "open", "", now, now, 0 end
  local function used_of(i) return fresh and 0 or tonumber(got[4 + i * 2] or 0) end
  local function held_of(i) return fresh and 0 or tonumber(got[5 + i * 2] or 0) end

  local function stand(kept_ms)
    if fresh then
      redis.call("HSET", work, "state", "open", "reason", "", "first", int(now), "since", int(now))
    end
    redis.call("HSET", work, "a:" .. agent, "1")
    touch(work, seen, id, ends, kept_ms)
  end
  local function freeze(why)
    stand(ttl)
    redis.call("HSET", work, "state", "frozen", "reason", why)
  end

  -- The same call again (its answer was lost on the way): it has what it took.
  local again = redis.call("ZSCORE", open, member)

  if not again then
    if state == "frozen" then
      stand(ttl)
      for i = 1, #debits do
        if debits[i][1] == 0 and debits[i][6] == reason then
          return refusal("frozen", i, used_of(i), held_of(i))
        end
      end
      return refusal("frozen", 0)
    end
    local age = now - since
    if seconds and age > seconds * MICRO then
      freeze("quotas.seconds")
      return refusal("expired", 0, math.floor(age / MICRO))
    end
  end

  local buckets, taken, answer = {}, {}, { "ok" }
  for i = 1, #debits do
    local bucket, field, amount, limit, refill, name = unpack(debits[i])
    if again then amount = 0 end
    if bucket > 0 then
      local it = buckets[bucket] or level_of(KEYS[bucket], limit, refill)
      buckets[bucket] = it
      if not again and it.level + DUST < amount then
        local retry = -1
        if amount <= limit then retry = math.ceil((amount - it.level) / refill * 1000) end
        return refusal("rate", i, limit - math.floor(it.level + DUST), 0, retry)
      end
      it.level = it.level - amount
      answer[#answer + 1] = int(math.max(0, math.floor(it.level + DUST)))
      answer[#answer + 1] = int(math.ceil((it.limit - it.level) / refill * 1000))
    else
      local used, held = used_of(i), held_of(i) + (taken[field] or 0)
      if not again and used + amount > limit then
        freeze(name)
        return refusal("exceeded", i, used, held)
      end
      if not again and used + held + amount > limit then
        return refusal("busy", i, used, held)
      end
      taken[field] = (taken[field] or 0) + amount
      answer[#answer + 1] = int(limit - used - held - amount)
      answer[#answer + 1] = "0"
    end
  end
  if again then return table.concat(answer, " ") end

  -- Kept at least until its reservations have lapsed, however short the ttl.
  stand(math.max(ttl, lapse))
  for field, amount in pairs(taken) do
    redis.call("HINCRBY", work, "h:" .. field, int(amount))
  end
  for _, bucket in pairs(buckets) do keep_level(bucket) end
  redis.call("ZADD", open, int(now + lapse * 1000), member)
  return table.concat(answer, " ")
end

-- KEYS: workflow, open, seen, buckets...
-- ARGV: 3 JSON [correlation id, state, ttl ms, charges], 4 member;
--       a charge is [bucket, unit:key, amount reserved, amount charged, limit, refill]
-- Returns 1, or 0 if the reservation had ended before
local function settle()
  local work, open, seen = KEYS[1], KEYS[2], KEYS[3]
  local id, state, ttl, charges = unpack(cjson.decode(ARGV[3]))
  if redis.call("ZREM", open, ARGV[4]) == 0 then return 0 end
  local ends = redis.call("HGET", work, "ends")
  for i = 1, #charges do
    local bucket, field, amount, actual, limit, refill = unpack(charges[i])
    if bucket > 0 then
      if amount ~= actual then
        local it = level_of(KEYS[bucket], limit, refill)
        it.level = math.min(it.limit, it.level + amount - actual)
        keep_level(it)
      end
    elseif ends then
      redis.call("HINCRBY", work, "h:" .. field, int(-amount))
      redis.call("HINCRBY", work, "u:" .. field, int(actual))
      if state == "lapsed" then redis.call("HINCRBY", work, "l:" .. field, int(actual)) end
    end
  end
  if ends then touch(work, seen, id, ends, ttl) end
  return 1
end

-- KEYS: workflow, seen; ARGV: 3 correlation id, 4 "frozen" or "open", 5 reason, 6 ttl ms. Returns whether it is known.
local function change()
  local work, seen = KEYS[1], KEYS[2]
  local id, state, reason, ttl = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
  local got = redis.call("HMGET", work, "first", "ends", "last")
  local known = got[1] and not forget_expired(work, got[2])
  if not known then
    if state == "open" then return 0 end
    redis.call("HSET", work, "first", int(now), "since", int(now), "last", int(now))
    redis.call("ZADD", seen, int(now), id)
  end
  redis.call("HSET", work, "state", state, "reason", reason)
  if state == "open" then
    redis.call("HSET", work, "since", int(now))
  else
    local ends = math.max(known and tonumber(got[2]) or 0, now + ttl * 1000)
    redis.call("HSET", work, "ends", int(ends))
    redis.call("PEXPIRE", work, int(math.ceil((ends - now) / 1000)))
  end
  return 1
end

-- KEYS: workflow. Returns the hash as it stands, empty if it has expired.
local function show()
  if forget_expired(KEYS[1], redis.call("HGET", KEYS[1], "ends")) then return {} end
  return redis.call("HGETALL", KEYS[1])
end

-- KEYS: open, seen. ARGV: 3 how many. Returns the members that are overdue.
local function overdue()
  return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", int(now), "LIMIT", "0", ARGV[3])
end

local function expire_vault(key)
  local ends = redis.call("HGET", key, "ends")
  if ends and tonumber(ends) < now then redis.call("DEL", key) end
end

-- KEYS: vault. ARGV: 3 ttl ms, then for each item: entity, digest, ciphertext. Returns the numbers.
local function seal()
  local vault, ttl = KEYS[1], tonumber(ARGV[3])
  expire_vault(vault)
  local numbers = {}
  for at = 4, #ARGV, 3 do
    local entity, digest, ciphertext = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local field = "d:" .. entity .. ":" .. digest
    local number = redis.call("HGET", vault, field)
    if not number then
      number = redis.call("HINCRBY", vault, "n:" .. entity, "1")
      redis.call("HSET", vault, field, int(number), "c:" .. entity .. ":" .. int(number), ciphertext)
    end
    numbers[#numbers + 1] = tonumber(number)
  end
  redis.call("HSET", vault, "ends", int(now + ttl * 1000))
  redis.call("PEXPIRE", vault, int(ttl))
  return numbers
end

-- KEYS: vault. Returns the hash.
local function unseal()
  expire_vault(KEYS[1])
  return redis.call("HGETALL", KEYS[1])
end

local operations = {
  reserve = reserve,
  settle = settle,
  change = change,
  show = show,
  overdue = overdue,
  seal = seal,
  unseal = unseal,
}
return operations[operation]()
