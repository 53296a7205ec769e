-- The arithmetic of admission, one atomic step in Redis or Valkey. counters.py is the same for one process.
-- This is the second part of the script. redis_flow.lua precedes it (labels and tools), redis_kept.lua follows (changes
-- by an operator, the vault, idempotency keys, and the table of operations).
--
-- ARGV[1] operation, ARGV[2] time in microseconds ("" in production: the server's own clock, so that replicas agree).
-- reserve and settle take their arguments as one JSON text and reply in one string: packing forty arguments for the
-- wire would cost the client more than everything else.
-- Integers stay below 2^53, which a Lua number holds exactly; they are written with %.0f, because tostring() keeps
-- only 14 digits.
--
-- The keys of a workflow, all in the slot of its team ({team} is the hash tag):
--   mg1:{team}:w:<correlation id>  hash: state reason first last since ends ended (microseconds), a:<agent> =
--                                  its parent, path (agents in the order of their calls, each name as JSON after a
--                                  line feed), limits = maximum age and idle time in seconds by its last call, "-":
--                                  unlimited; u|h|l:<unit>:<quota key> = used, held, lapsed;
--                                  fields that few workflows have, and always together with `more`: over (closed or
--                                  expired: then state is frozen, which older releases refuse too), opened, turn
--                                  (until when, call), t:<quota key> = top-ups, stripped = tools taken out of requests,
--                                  as a JSON list;
--                                  rn and r<slot>, the ring of its counters of repeats;
--                                  labels, cleared, tools = names, each after a line feed, and fv, their version;
--                                  changed, the name of the last change by an operator
--   mg1:{team}:open                zset: reservations in flight, scored by when they lapse; the member contains
--                                  everything that the end of the reservation needs. If ZREM removes the member, the
--                                  reservation had not ended before
--   mg1:{team}:seen                zset: correlation ids by last call
--   mg1:{team}:alone               zset: calls that were admitted without Redis and entered later, by when they are
--                                  dropped; the workflow's field `alone` counts them
--   mg1:{team}:v:<correlation id>  hash, the vault: ends, first (that of the workflow's record, where there is one),
--                                  n:<entity>, d:<entity>:<digest>, c:<entity>:<number>; spellings s:<digest>, their
--                                  digests in order sd:<number>, sn and so, the newest and the oldest number, sb, bytes
--   mg1:{team}:i:<key>             hash, an answer kept under an idempotency key: digest, ends, and owner or sealed
--   mg1:{team}:o:<digest>          hash, the owner of an id that a provider gave: ends, record
--   mg1:{team}:agents              hash, the registered agents: o:<name> = owner, r:<name> = record
--   mg1:{team}:agents:ends         zset: names of registered agents, by when their entries end
--   mg1:{..}:b:<bucket>            string: level and time of a token bucket
--   mg1:{grants}                   hash, the tokens of users at tool servers, sealed: by a digest of server and user
--   mg1:{dues}                     hash, the answers that are made in the background, sealed: by a digest of the id
--   mg1:{dues}:times               zset: the same digests, by when somebody is to ask for the answer again
--   mg1:{pins}:<server>            string, what operators accepted of the tools of a server
-- A bucket that teams share has a slot of its own:
--   mg1:{<bucket>}:b               string: the same
--   mg1:{<bucket>}:b:taken         zset, Cluster only: calls that took from the bucket, and "-call" for calls whose
--                                  "give back" arrived before their "take", by when they are dropped

local MICRO = 1000000
local DUST = 1e-6
local FOREVER = 2 ^ 53 - 1
local REPEATS = 512
local PATH = 128
local FAR, AMPLE = 100, 8 -- amounts.py has the same
local ALONE = 7 * 24 * 3600 * 1000 -- milliseconds that a call admitted without Redis is remembered
-- The turn of a call that has waited long ends after this time without a try: the caller may have gone.
local TURN = 2 * MICRO

local operation, now = ARGV[1], tonumber(ARGV[2])
if not now then
  local time = redis.call("TIME")
  now = time[1] * MICRO + time[2]
end

-- Adding 0 turns minus zero into zero: no command accepts "-0" as an integer.
local function int(number) return string.format("%.0f", number + 0) end

local function keep_level(bucket)
  -- A full bucket need not be kept: the key expires when the bucket is full again.
  local full = math.ceil((bucket.limit - bucket.level) / bucket.refill * 1000) + 1000
  local state = string.format("%.17g %.0f", bucket.level, bucket.at)
  redis.call("SET", bucket.key, state, "PX", int(math.min(full, 2 ^ 53)))
end

local function level_of(key, limit, refill)
  local bucket = { level = limit, at = now, limit = limit, refill = refill, key = key }
  local state = redis.call("GET", key)
  if state then
    local level, at = string.match(state, "^(%S+) (%S+)$")
    level, at = tonumber(level), tonumber(at)
    bucket.level = math.min(limit, level + math.max(0, now - at) / MICRO * refill)
    -- The clock was set back: count from now on, even if this call is refused. Otherwise nothing would be refilled until
    -- the clock has reached the old time.
    if at > now then keep_level(bucket) end
  end
  return bucket
end

-- Drops a workflow that is older than its ttl, unless it has calls in flight.
local function forget_expired(key, ends)
  if not ends or tonumber(ends) >= now then return false end
  local all = redis.call("HGETALL", key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == "h:" and tonumber(all[i + 1]) > 0 then return false end
  end
  redis.call("DEL", key)
  return true
end

local function vault_of(work) return (string.gsub(work, "}:w:", "}:v:", 1)) end

-- The vault of a workflow lives as long as the record of the workflow. Both are in one slot.
local function keep_vault(work, kept_ms) redis.call("PEXPIRE", vault_of(work), kept_ms) end

-- How many spellings the vault has had of a workflow whose record began at `first`: "first count". See redis_vault.py.
local function spelled_of(work, first)
  local got = redis.call("HMGET", vault_of(work), "sn", "first", "ends")
  local alive = got[1] and (got[2] and got[2] == first or not got[2] and tonumber(got[3]) >= now)
  return first .. " " .. (alive and got[1] or "0")
end

-- `at`: the name of another time to set. Replicas with waiting calls poll `ended`.
local function touch(key, seen, id, ends, kept_ms, at)
  ends = math.max(tonumber(ends or 0), now + kept_ms * 1000)
  redis.call("HSET", key, at or "last", int(now), "last", int(now), "ends", int(ends))
  local kept = int(math.ceil((ends - now) / 1000))
  redis.call("PEXPIRE", key, kept)
  keep_vault(key, kept)
  redis.call("ZADD", seen, int(now), id)
end

local function refusal(reason, index, used, held, retry, limit)
  return table.concat({ reason, int(index - 1), int(used or 0), int(held or 0), int(retry or -1), int(limit or 0) }, " ")
end

local function is_hops(field) return string.sub(field, 1, 5) == "hops:" end
local function is_repeats(field) return string.sub(field, 1, 8) == "repeats:" end
local function quota_key(field) return string.sub(field, string.find(field, ":", 1, true) + 1) end
local function is_share(field) return string.sub(quota_key(field), 1, 6) == "share:" end

-- A new counter of repeats takes the slot of the oldest.
local function begin_repeats(work, field)
  local slot = "r" .. int((redis.call("HINCRBY", work, "rn", "1") - 1) % REPEATS)
  local oldest = redis.call("HGET", work, slot)
  if oldest then redis.call("HDEL", work, "u:" .. oldest, "h:" .. oldest, "l:" .. oldest) end
  redis.call("HSET", work, slot, field)
end

-- The ids of workflows with calls in flight, in an operation that looks at many workflows.
local calling

-- Whether calls of the workflow are in flight, including calls that hold nothing. Scans all open reservations, so only
-- for rare cases.
local function in_flight(open, id)
  if calling then return calling[id] end
  for _, member in ipairs(redis.call("ZRANGE", open, 0, -1)) do
    if string.find(member, id, 1, true) and cjson.decode(member)[2] == id then return true end
  end
  return false
end

-- The maximum age and idle time of a workflow, as kept in its field `limits`.
local function limits_of(seconds, idle)
  return (seconds and int(seconds) or "-") .. " " .. (idle and int(idle) or "-")
end

-- Which time limit of an open workflow ran out first, if any; a workflow with calls in flight is not idle.
local function outlived(open, id, since, last, seconds, idle)
  local age_ends = seconds and since + seconds * MICRO or math.huge
  local rest_ends = idle and math.max(last, since) + idle * MICRO or math.huge
  if now > rest_ends and rest_ends < age_ends and not in_flight(open, id) then return "quotas.idle" end
  return now > age_ends and "quotas.seconds"
end

-- The same, with the limits as kept in the record. `got` begins with state, since, last, limits.
local function outlived_by_now(open, id, got)
  if got[1] ~= "open" or not got[4] then return false end
  local seconds, idle = string.match(got[4], "^(%S+) (%S+)$")
  return outlived(open, id, tonumber(got[2]), tonumber(got[3]), tonumber(seconds), tonumber(idle))
end

-- Of all short buckets from debit `first` on, the refusal with the longest wait, so that Retry-After suffices for all of
-- them. An amount that never fits (-1) counts as the longest wait.
local function longest_wait(debits, first, buckets)
  local index, wait, short = 0, 0, nil
  for i = first, #debits do
    local bucket, _, amount, limit, refill = unpack(debits[i])
    local it = bucket > 0 and (buckets[bucket] or level_of(KEYS[bucket], limit, refill))
    if it and it.level + DUST < amount and wait >= 0 then
      local retry = -1
      if amount <= limit then retry = math.ceil((amount - it.level) / refill * 1000) end
      if index == 0 or retry < 0 or retry > wait then index, wait, short = i, retry, it end
    end
  end
  return refusal("rate", index, short.limit - math.floor(short.level + DUST), 0, wait, short.limit)
end

-- The agents from the first of a workflow to this agent, as JSON. An agent without a known parent is the first.
local function chain_of(work, agent, parent)
  local chain = cjson.encode(agent)
  while parent ~= "" do
    local above = redis.call("HGET", work, "a:" .. parent)
    if not above then break end
    chain = cjson.encode(parent) .. "," .. chain
    parent = above
  end
  return "[" .. chain .. "]"
end

-- KEYS: workflow, open, seen, buckets...
-- ARGV: 3 JSON [correlation id, agent, seconds or false, ttl ms, lapse ms, debits, idle or false, strict, first, call,
--       chained, look, history, tools, firm, spelled, excess], 4 member; a debit is [bucket (index into KEYS, 0: quota), unit:key,
--       amount, limit, refill, name]
-- Returns "ok" and for each debit "remaining reset_ms" ("more" and "remaining reset_ms topped_up" with top-ups), or
-- "reason index used held retry_ms limit" (index, retry -1: none). If asked for, NUL and the history follow; if tools
-- were taken out of the workflow's requests, SOH and those tools follow; then, if asked for, STX and `spelled_of`
local function reserve()
  local work, open, seen = KEYS[1], KEYS[2], KEYS[3]
  local id, agent, seconds, ttl, lapse, debits, idle, strict, insists, call, chained, look, history, tools, firm, spelled,
    excess =
    unpack(cjson.decode(ARGV[3]))
  local member = ARGV[4]
  local stripped = false

  local fields = { "state", "reason", "first", "since", "ends", "last", "more", "a:" .. agent, "path", "limits" }
  for i = 1, #debits do
    fields[#fields + 1] = "u:" .. debits[i][2]
    fields[#fields + 1] = "h:" .. debits[i][2]
  end
  local got = redis.call("HMGET", work, unpack(fields))
  local state, reason, first, since, ends, last = got[1], got[2], got[3], got[4], got[5], got[6]
  local fresh = not first or forget_expired(work, ends)
  if fresh then state, reason, first, since, ends, last = "open", "", now, now, 0, now end
  local function with_history(answer)
    answer = history and answer .. "\0" .. history_of(work) or answer
    answer = stripped and answer .. "\1" .. stripped or answer
    return spelled and answer .. "\2" .. spelled_of(work, int(first)) or answer
  end
  local again = false
  -- Whether the limit of a debit is near that holds `level` before it. `excess` 0, or from an older gateway: none is.
  local function is_near(field, amount, level)
    if not excess or excess == 0 or again then return false end
    local tokens = string.sub(field, 1, 7) == "tokens:"
    if not tokens and string.sub(field, 1, 5) ~= "cost:" then return false end
    return level < FAR * (tokens and excess or amount) or level < AMPLE * amount
  end
  local function used_of(i) return fresh and 0 or tonumber(got[9 + i * 2] or 0) end
  local function held_of(i) return fresh and 0 or tonumber(got[10 + i * 2] or 0) end

  local over, opened, turn, topups = false, false, false, false
  if got[7] and not fresh then
    local names = { "over", "opened", "turn", "stripped" }
    for i = 1, #debits do names[4 + i] = "t:" .. quota_key(debits[i][2]) end
    local more = redis.call("HMGET", work, unpack(names))
    over, opened, turn, stripped, topups = more[1], more[2], more[3], more[4], { unpack(more, 5, 4 + #debits) }
  end
  local function limit_of(i)
    return topups and topups[i] and math.min(FOREVER, debits[i][4] + topups[i]) or debits[i][4]
  end

  -- Each entry of the path stands after a line feed, which JSON text never holds.
  local entry, path, parent = "\n" .. cjson.encode(agent), "", false
  if not fresh then path, parent = got[9] or "", got[8] end
  local known = parent
  if not known then parent = path ~= "" and cjson.decode(string.match(path, "\n([^\n]*)$")) or "" end

  local function stand(kept_ms)
    if fresh then
      redis.call("HSET", work, "state", "open", "reason", "", "first", int(now), "since", int(now))
    end
    if not known then redis.call("HSET", work, "a:" .. agent, parent) end
    local limits = limits_of(seconds, idle)
    if limits ~= (not fresh and got[10] or "- -") then redis.call("HSET", work, "limits", limits) end
    touch(work, seen, id, ends, kept_ms)
  end
  local function freeze(why)
    stand(ttl)
    redis.call("HSET", work, "state", "frozen", "reason", why)
    if over then redis.call("HDEL", work, "over") end -- left by an older release that reopened a closed workflow
  end

  -- The same call again (the reply was lost): take nothing more.
  again = redis.call("ZSCORE", open, member)

  if not again then
    if state == "frozen" then
      stand(ttl)
      if over == "closed" then return refusal("closed", 0) end
      if over == "expired" then return refusal("idle", 0, 0, 0, -1, idle or 0) end
      for i = 1, #debits do
        if debits[i][1] == 0 and debits[i][6] == reason then
          return refusal("frozen", i, used_of(i), held_of(i), -1, limit_of(i))
        end
      end
      return refusal("frozen", 0)
    end
    if strict and not opened then return refusal("unknown", 0) end
    local over = outlived(open, id, since, last, seconds, idle)
    if over == "quotas.seconds" then
      freeze("quotas.seconds")
      return refusal("expired", 0, math.floor((now - since) / MICRO), 0, -1, seconds)
    end
    if over then
      freeze("quotas.idle")
      redis.call("HSET", work, "over", "expired", "more", "1")
      return refusal("idle", 0, 0, 0, -1, idle)
    end
    if look then return with_history("ok\n" .. chain_of(work, agent, parent)) end
    if #debits == 0 and not (seconds or idle or strict or chained or history) then return "ok" end -- a bare ask
  end

  local turn_ends, turn_of = string.match(turn or "", "^(%d+) (.*)$")
  local behind = turn_of and turn_of ~= call and now < tonumber(turn_ends)

  local buckets, taken, fresh_repeats, answer = {}, {}, {}, { topups and "more" or "ok" }
  for i = 1, #debits do
    local bucket, field, amount, limit, refill, name = unpack(debits[i])
    if again then amount = 0 end
    if bucket > 0 then
      local it = buckets[bucket] or level_of(KEYS[bucket], limit, refill)
      buckets[bucket] = it
      if not again and it.level + DUST < amount then return longest_wait(debits, i, buckets) end
      if is_near(field, amount, math.floor(it.level - amount + DUST) + amount) then return refusal("near", i) end
      it.level = it.level - amount
      answer[#answer + 1] = int(math.max(0, math.floor(it.level + DUST)))
      answer[#answer + 1] = int(math.ceil((it.limit - it.level) / refill * 1000))
    elseif is_hops(field) then
      limit = limit_of(i)
      if amount > limit then return refusal("exceeded", i, used_of(i), 0, -1, limit) end
      answer[#answer + 1] = int(limit - debits[i][3])
      answer[#answer + 1] = "0"
    else
      local used, held, repeats = used_of(i), held_of(i) + (taken[field] or 0), is_repeats(field)
      limit = limit_of(i)
      if not again then
        if used + amount > limit then
          if firm and not repeats and not is_share(field) then freeze(name) end
          return refusal("exceeded", i, used, held, -1, limit)
        end
        if repeats and used + held + amount > limit then return refusal("exceeded", i, used, held, -1, limit) end
        if used + held + amount > limit or (behind and not repeats) then
          if insists and not behind then
            redis.call("HSET", work, "turn", int(now + TURN) .. " " .. call, "more", "1")
          end
          return refusal("busy", i, used, held, -1, limit)
        end
      end
      if is_near(field, amount, limit - used - held) then return refusal("near", i) end
      if repeats and (fresh or not (got[9 + i * 2] or got[10 + i * 2])) then fresh_repeats[field] = true end
      taken[field] = (taken[field] or 0) + amount
      answer[#answer + 1] = int(limit - used - held - amount)
      answer[#answer + 1] = "0"
    end
    if topups then answer[#answer + 1] = int(tonumber(topups[i] or 0)) end
  end
  if string.sub(path, -#entry) ~= entry and not again then
    path = path .. entry
    local _, entries = string.gsub(path, "\n", "")
    if entries > PATH then path = string.match(path, "^\n[^\n]*(.*)$") end
    redis.call("HSET", work, "path", path)
  end
  answer = table.concat(answer, " ")
  if path ~= entry then answer = answer .. "\n" .. chain_of(work, agent, parent) .. path end
  if again then return with_history(answer) end

  -- The record is kept at least until its reservations have lapsed, even if the ttl is shorter.
  stand(math.max(ttl, lapse))
  if turn_of == call then redis.call("HDEL", work, "turn") end
  for field in pairs(fresh_repeats) do begin_repeats(work, field) end
  for field, amount in pairs(taken) do
    redis.call("HINCRBY", work, "h:" .. field, int(amount))
  end
  for _, bucket in pairs(buckets) do keep_level(bucket) end
  redis.call("ZADD", open, int(now + lapse * 1000), member)
  if tools and #tools > 0 then show_tools(work, tools) end
  return with_history(answer)
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
    elseif ends and is_hops(field) then
      local deepest = math.max(actual, tonumber(redis.call("HGET", work, "u:" .. field) or 0))
      redis.call("HSET", work, "u:" .. field, int(deepest))
    elseif ends then
      -- A counter of repeats may be gone, or younger than the call: the previous counter of this name was dropped.
      local held = is_repeats(field) and redis.call("HGET", work, "h:" .. field)
      if held or not is_repeats(field) then
        if held then amount = math.min(amount, tonumber(held)) end
        redis.call("HINCRBY", work, "h:" .. field, int(-amount))
        redis.call("HINCRBY", work, "u:" .. field, int(actual))
        if state == "lapsed" then redis.call("HINCRBY", work, "l:" .. field, int(actual)) end
      end
    end
  end
  if ends then touch(work, seen, id, ends, ttl, "ended") end
  return 1
end

local BOOKKEEPING = { first = true, last = true, since = true, ends = true, ended = true, reason = true,
  path = true, limits = true, tools = true, fv = true }

-- Undoes a reservation as if the call had never asked, because a bucket in another slot refused the call. Arguments and
-- result as for settle. A workflow without any other call is dropped again.
local function undo()
  local work, seen = KEYS[1], KEYS[3]
  local times = redis.call("HMGET", work, "first", "last")
  if settle() == 0 then return 0 end
  if not times[1] or times[1] ~= times[2] then return 1 end
  local all = redis.call("HGETALL", work)
  for i = 1, #all, 2 do
    local name, value = all[i], all[i + 1]
    local kind = string.match(name, "^([uhla]):")
    local blank = BOOKKEEPING[name] or kind == "a" or (kind and value == "0") or (name == "state" and value == "open")
    if not blank then return 1 end
  end
  redis.call("DEL", work)
  redis.call("ZREM", seen, (cjson.decode(ARGV[3]))[1])
  return 1
end

-- Adds to a zset whose members are scored by when they may be dropped, and drops members whose time has come.
local function remember(key, member, kept_ms)
  redis.call("ZREMRANGEBYSCORE", key, "-inf", int(now))
  redis.call("ZADD", key, int(now + kept_ms * 1000), member)
  if redis.call("PTTL", key) < kept_ms then redis.call("PEXPIRE", key, int(kept_ms)) end
end

-- Reserves for a call (or several, summed) that a gateway admitted alone while Redis was unreachable: once, and
-- regardless of the limits.
-- KEYS: workflow, open, seen, alone. ARGV: 3 JSON [correlation id, agent, ttl ms, lapse ms, call, debits, how many],
-- 4 member; a debit is [unit:key, amount]. Returns 1, or 0 if it was adopted before
local function adopt()
  local work, open, seen, alone = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
  local id, agent, ttl, lapse, call, debits, calls = unpack(cjson.decode(ARGV[3]))
  if redis.call("ZSCORE", alone, call) then return 0 end
  remember(alone, call, ALONE)
  local got = redis.call("HMGET", work, "first", "ends")
  if not got[1] or forget_expired(work, got[2]) then
    redis.call("HSET", work, "state", "open", "reason", "", "first", int(now), "since", int(now))
    got[2] = 0
  end
  if not redis.call("HGET", work, "a:" .. agent) then
    local path = redis.call("HGET", work, "path")
    redis.call("HSET", work, "a:" .. agent, path and cjson.decode(string.match(path, "\n([^\n]*)$")) or "")
  end
  redis.call("HINCRBY", work, "alone", int(calls))
  touch(work, seen, id, got[2], math.max(ttl, lapse))
  for i = 1, #debits do
    local field, amount = unpack(debits[i])
    if not is_hops(field) then
      if is_repeats(field) and not redis.call("HGET", work, "h:" .. field) then begin_repeats(work, field) end
      redis.call("HINCRBY", work, "h:" .. field, int(amount))
    end
  end
  redis.call("ZADD", open, int(now + lapse * 1000), ARGV[4])
  return 1
end

-- KEYS: bucket, taken; ARGV: 3 JSON [call, kept ms, limit, refill, amounts]. Returns the same as reserve.
-- `peek` returns the same and takes nothing.
local function take(peek)
  local call, kept, limit, refill, amounts = unpack(cjson.decode(ARGV[3]))
  if redis.call("ZSCORE", KEYS[2], "-" .. call) then return refusal("rate", 1) end
  local again = redis.call("ZSCORE", KEYS[2], call)
  local it, answer = level_of(KEYS[1], limit, refill), { "ok" }
  for i = 1, #amounts do
    local amount = again and 0 or amounts[i]
    if not again and it.level + DUST < amount then
      local retry = -1
      if amount <= limit then retry = math.ceil((amount - it.level) / refill * 1000) end
      return refusal("rate", i, limit - math.floor(it.level + DUST), 0, retry, limit)
    end
    it.level = it.level - amount
    answer[#answer + 1] = int(math.max(0, math.floor(it.level + DUST)))
    answer[#answer + 1] = int(math.ceil((limit - it.level) / refill * 1000))
  end
  if not again and not peek then
    keep_level(it)
    remember(KEYS[2], call, kept)
  end
  return table.concat(answer, " ")
end

-- KEYS: bucket, taken; ARGV: 3 JSON [call, kept ms, limit, refill, amount taken, amount charged].
-- Returns 1, or 0 if the call had taken nothing, or had given back before; a later "take" of the call takes nothing.
local function give()
  local call, kept, limit, refill, amount, actual = unpack(cjson.decode(ARGV[3]))
  if redis.call("ZREM", KEYS[2], call) == 0 then
    remember(KEYS[2], "-" .. call, kept)
    return 0
  end
  if amount ~= actual then
    local it = level_of(KEYS[1], limit, refill)
    it.level = math.min(it.limit, it.level + amount - actual)
    keep_level(it)
  end
  return 1
end

