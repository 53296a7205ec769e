-- The third part of the script, after redis.lua: changes by an operator, the vault, idempotency keys, and the table of
-- operations.

local SPELLINGS = 1024
local SPELLINGS_SIZE = 512 * 1024

-- An operator sets a label, or removes a label (`off`). False if nothing would change, or there are too many labels.
local function relabel(work, label, off)
  local from, to = "cleared", "labels"
  if off then from, to = to, from end
  local there = (redis.call("HGET", work, from) or "") .. "\n"
  local list, fresh = with_names(redis.call("HGET", work, to) or "", { label })
  local _, count = string.gsub(list, "\n", "")
  local at = string.find(there, "\n" .. label .. "\n", 1, true)
  if not fresh or count > LABELS or (off and not at) then return false end
  if at then
    there = string.sub(there, 1, at) .. string.sub(there, at + #label + 2)
    redis.call("HSET", work, from, string.sub(there, 1, -2))
  end
  redis.call("HSET", work, to, list)
  redis.call("HINCRBY", work, "fv", "1")
  return true
end

-- KEYS: workflow, seen, open
-- ARGV: 3 JSON [correlation id, open|close|freeze|resume|label|unlabel, reason or label, ttl ms, {quota key: top-up},
--       name of this change, seconds or false, idle or false]
-- Returns 1, or 0 if the change does not apply
local function change()
  local work, seen = KEYS[1], KEYS[2]
  local id, kind, reason, ttl, topups, name, seconds, idle = unpack(cjson.decode(ARGV[3]))
  local got = redis.call("HMGET", work, "first", "ends", "state", "over", "changed")
  local known = got[1] and not forget_expired(work, got[2])
  if known and got[5] == name then return 1 end -- the same change again: the reply was lost
  if known then
    if kind == "open" or got[3] == "frozen" and got[4] then return 0 end
    if outlived_by_now(KEYS[3], id, redis.call("HMGET", work, "state", "since", "last", "limits")) == "quotas.idle" then
      return 0
    end
  else
    if kind ~= "open" and kind ~= "freeze" then return 0 end
    redis.call("HSET", work, "state", "open", "reason", "", "first", int(now), "since", int(now), "last", int(now))
    redis.call("ZADD", seen, int(now), id)
  end
  if kind == "label" or kind == "unlabel" then
    if not relabel(work, reason, kind == "unlabel") then return 0 end
    redis.call("HSET", work, "changed", name)
    return 1
  end
  redis.call("HSET", work, "changed", name, "ended", int(now)) -- waiting calls try again
  if kind == "resume" then
    redis.call("HSET", work, "state", "open", "reason", "", "since", int(now))
    local path = redis.call("HGET", work, "path")
    if path then redis.call("HSET", work, "path", string.match(path, "\n[^\n]*$")) end
    for key, amount in pairs(topups) do
      redis.call("HINCRBY", work, "t:" .. key, int(amount))
      redis.call("HSET", work, "more", "1")
    end
    return 1
  end
  if kind == "open" then
    redis.call("HSET", work, "opened", "1", "more", "1", "limits", limits_of(seconds, idle))
  else
    redis.call("HSET", work, "state", "frozen", "reason", reason)
    if kind == "close" then redis.call("HSET", work, "over", "closed", "more", "1") end
  end
  local ends = math.max(known and tonumber(got[2]) or 0, now + ttl * 1000)
  redis.call("HSET", work, "ends", int(ends))
  redis.call("PEXPIRE", work, int(math.ceil((ends - now) / 1000)))
  keep_vault(work, int(math.ceil((ends - now) / 1000)))
  return 1
end

-- KEYS: workflow, open. ARGV: 3 correlation id. Returns the hash, empty without a record. If the workflow's time has run
-- out, the fields that its next call would set follow.
local function show()
  local got = redis.call("HMGET", KEYS[1], "state", "since", "last", "limits", "ends")
  if forget_expired(KEYS[1], got[5]) then return {} end
  local all = redis.call("HGETALL", KEYS[1])
  local over = outlived_by_now(KEYS[2], ARGV[3], got)
  if over then
    for _, it in ipairs({ "state", "frozen", "reason", over }) do all[#all + 1] = it end
  end
  if over == "quotas.idle" then
    all[#all + 1] = "over"
    all[#all + 1] = "expired"
  end
  return all
end

-- KEYS: seen, open, and the beginning of the records' keys. ARGV: 3 first and 4 last place in `seen`, newest first.
-- Returns time of the last call and state of each workflow; "0" and "" of one that has expired.
local function states()
  local all = {}
  for _, id in ipairs(redis.call("ZREVRANGE", KEYS[1], ARGV[3], ARGV[4])) do
    local got = redis.call("HMGET", KEYS[3] .. id, "state", "since", "last", "limits", "ends", "over")
    local seen, state = "0", ""
    if got[1] and tonumber(got[5]) >= now then
      seen, state = got[3], got[1] == "frozen" and got[6] or got[1]
      if not calling and got[4] and string.sub(got[4], -1) ~= "-" then
        calling = {}
        for _, member in ipairs(redis.call("ZRANGE", KEYS[2], 0, -1)) do calling[cjson.decode(member)[2]] = true end
      end
      local over = outlived_by_now(KEYS[2], id, got)
      if over then state = over == "quotas.idle" and "expired" or "frozen" end
    end
    all[#all + 1], all[#all + 2] = seen, state
  end
  return all
end

-- KEYS: open, seen. ARGV: 3 maximum number. Returns the members that are overdue.
local function overdue()
  return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", int(now), "LIMIT", "0", ARGV[3])
end

-- The first step of every operation on a vault: drops the vault unless it belongs to the present record of its workflow
-- or, without a record, has not expired. Returns the record's `first` and `ends`; false and 0 without a record.
local function open_vault(vault, work)
  local kept, record = redis.call("HMGET", vault, "ends", "first"), redis.call("HMGET", work, "first", "ends")
  local first, ends = record[1], tonumber(record[2] or 0)
  if not first or ends < now then first, ends = false, 0 end
  if kept[1] then
    local alive = tonumber(kept[1]) >= now
    if first and kept[2] then alive = first == kept[2] end
    if not alive then redis.call("DEL", vault) end
  end
  return first, ends
end

local function renew_vault(vault, ttl, first, ends)
  redis.call("HSET", vault, "ends", int(now + ttl * 1000))
  if first then redis.call("HSET", vault, "first", first) end
  redis.call("PEXPIRE", vault, int(math.max(ttl, math.ceil((ends - now) / 1000))))
end

-- KEYS: vault, workflow. ARGV: 3 ttl ms, then for each item: entity, digest, ciphertext. Returns the numbers.
local function seal()
  local vault, ttl = KEYS[1], tonumber(ARGV[3])
  local first, ends = open_vault(vault, KEYS[2])
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
  renew_vault(vault, ttl, first, ends)
  return numbers
end

-- KEYS: vault, workflow. Returns the hash.
local function unseal()
  open_vault(KEYS[1], KEYS[2])
  return redis.call("HGETALL", KEYS[1])
end

-- KEYS: vault, workflow. ARGV: 3 ttl ms, then for each spelling: digest, ciphertext. The first ciphertext of a digest
-- stays. Returns when the record of the workflow began, "" without one; how many spellings there were before, and now.
local function spell()
  local vault, ttl = KEYS[1], tonumber(ARGV[3])
  local first, ends = open_vault(vault, KEYS[2])
  local got = redis.call("HMGET", vault, "sn", "so", "sb")
  local newest, oldest, bytes = tonumber(got[1] or 0), tonumber(got[2] or 1), tonumber(got[3] or 0)
  local before = newest
  for at = 4, #ARGV, 2 do
    local digest, ciphertext = ARGV[at], ARGV[at + 1]
    if not redis.call("HGET", vault, "s:" .. digest) then
      newest, bytes = newest + 1, bytes + #ciphertext
      redis.call("HSET", vault, "s:" .. digest, ciphertext, "sd:" .. int(newest), digest)
    end
    while newest - oldest >= SPELLINGS or bytes > SPELLINGS_SIZE do
      local place = "sd:" .. int(oldest)
      local gone = "s:" .. redis.call("HGET", vault, place)
      bytes = bytes - #redis.call("HGET", vault, gone)
      redis.call("HDEL", vault, gone, place)
      oldest = oldest + 1
    end
  end
  redis.call("HSET", vault, "sn", int(newest), "so", int(oldest), "sb", int(bytes))
  renew_vault(vault, ttl, first, ends)
  return { first or "", before, newest }
end

-- KEYS: vault, workflow. ARGV: from 3 on, digests. Returns the ciphertext of each, or nil.
local function spellings()
  open_vault(KEYS[1], KEYS[2])
  local fields = {}
  for at = 3, #ARGV do fields[#fields + 1] = "s:" .. ARGV[at] end
  return redis.call("HMGET", KEYS[1], unpack(fields))
end

-- Answers kept under an idempotency key. KEYS: answer.
-- ARGV: 3 digest, 4 owner, 5 lease ms. Returns {"new" | "running" | "conflict"} or {"kept", sealed}
local function begin()
  local digest, owner, lease = ARGV[3], ARGV[4], tonumber(ARGV[5])
  local got = redis.call("HMGET", KEYS[1], "digest", "owner", "ends", "sealed")
  -- The same owner again: the reply to its first try was lost.
  if got[1] and tonumber(got[3]) > now and got[2] ~= owner then
    if got[1] ~= digest then return { "conflict" } end
    return got[4] and { "kept", got[4] } or { "running" }
  end
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "digest", digest, "owner", owner, "ends", int(now + lease * 1000))
  redis.call("PEXPIRE", KEYS[1], int(lease))
  return { "new" }
end

-- ARGV: 3 digest, 4 owner, 5 ttl ms, 6 sealed. Applies only if the owner still holds the key, or if nobody does.
local function finish()
  local ttl, got = tonumber(ARGV[5]), redis.call("HMGET", KEYS[1], "owner", "ends")
  if got[2] and got[1] ~= ARGV[4] and tonumber(got[2]) > now then return 0 end
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "digest", ARGV[3], "ends", int(now + ttl * 1000), "sealed", ARGV[6])
  redis.call("PEXPIRE", KEYS[1], int(ttl))
  return 1
end

-- ARGV: 3 owner
local function abandon()
  return redis.call("HGET", KEYS[1], "owner") == ARGV[3] and redis.call("DEL", KEYS[1]) or 0
end

-- ARGV: 3 owner, 4 lease ms
local function renew()
  if redis.call("HGET", KEYS[1], "owner") ~= ARGV[3] then return 0 end
  redis.call("HSET", KEYS[1], "ends", int(now + tonumber(ARGV[4]) * 1000))
  return redis.call("PEXPIRE", KEYS[1], int(tonumber(ARGV[4])))
end

-- Owners of ids that providers gave. KEYS: owned. ARGV: 3 ttl ms, 4 record. The first record stays until it expires.
local function own()
  local ends, ttl = redis.call("HGET", KEYS[1], "ends"), tonumber(ARGV[3])
  if ends and tonumber(ends) > now then return 0 end
  redis.call("HSET", KEYS[1], "ends", int(now + ttl * 1000), "record", ARGV[4])
  redis.call("PEXPIRE", KEYS[1], int(ttl))
  return 1
end

-- Returns the record, or nil
local function owned_at(key)
  local got = redis.call("HMGET", key, "ends", "record")
  return got[1] and tonumber(got[1]) > now and got[2] or false
end

local function owned() return owned_at(KEYS[1]) end

-- KEYS: owned, any number. Returns the record of each, or ""
local function owned_of()
  local found = {}
  for at, key in ipairs(KEYS) do found[at] = owned_at(key) or "" end
  return found
end

-- KEYS: owned. ARGV: 3 ttl ms, 4 record, 5 1 if there is one, 6 the record to replace
local function reown()
  local had, ttl = owned_at(KEYS[1]), tonumber(ARGV[3])
  if had == ARGV[4] then return 1 end -- the same again: the reply was lost
  if (had and "1" or "0") ~= ARGV[5] or (had and had ~= ARGV[6]) then return 0 end
  redis.call("HSET", KEYS[1], "ends", int(now + ttl * 1000), "record", ARGV[4])
  redis.call("PEXPIRE", KEYS[1], int(ttl))
  return 1
end

local function disown() return redis.call("DEL", KEYS[1]) end

-- The tools of a server that operators accepted. KEYS: pins. ARGV: 3 record, 4 1 if there is one, 5 the record to replace
local function pin()
  local had = redis.call("GET", KEYS[1])
  if had == ARGV[3] then return 1 end -- the same again: the reply was lost
  if (had and "1" or "0") ~= ARGV[4] or (had and had ~= ARGV[5]) then return 0 end
  redis.call("SET", KEYS[1], ARGV[3])
  return 1
end

-- The tokens of a user at a tool server. KEYS: grants. ARGV: 3 id, 4 1 to keep a record, 5 the record, 6 1 if there is
-- one, 7 the record to replace
local function grant()
  local had = redis.call("HGET", KEYS[1], ARGV[3])
  if ARGV[4] == "1" and had == ARGV[5] then return 1 end -- the same again: the reply was lost
  if ARGV[4] ~= "1" and not had then return 1 end
  if (had and "1" or "0") ~= ARGV[6] or (had and had ~= ARGV[7]) then return 0 end
  if ARGV[4] == "1" then redis.call("HSET", KEYS[1], ARGV[3], ARGV[5]) else redis.call("HDEL", KEYS[1], ARGV[3]) end
  return 1
end

-- Registered agents of a team. KEYS: agents, their ends.
-- ARGV: 3 name, 4 owner, 5 record, 6 ttl ms, 7 maximum number. Returns 0; 1 if the name is another owner's, 2 if full
local function enlist()
  local agents, ends, name, owner, ttl = KEYS[1], KEYS[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
  for _, gone in ipairs(redis.call("ZRANGEBYSCORE", ends, "-inf", int(now))) do
    redis.call("ZREM", ends, gone)
    redis.call("HDEL", agents, "o:" .. gone, "r:" .. gone)
  end
  if redis.call("ZSCORE", ends, name) then
    if redis.call("HGET", agents, "o:" .. name) ~= owner then return 1 end
  elseif #redis.call("ZRANGE", ends, "0", "-1") >= tonumber(ARGV[7]) then
    return 2
  end
  redis.call("HSET", agents, "o:" .. name, owner, "r:" .. name, ARGV[5])
  redis.call("ZADD", ends, int(now + ttl * 1000), name)
  for _, key in ipairs(KEYS) do
    redis.call("PEXPIRE", key, int(math.max(ttl, redis.call("PTTL", key))))
  end
  return 0
end

-- Returns name, owner, record and end of each entry.
local function enlisted()
  local all = {}
  local live = redis.call("ZRANGEBYSCORE", KEYS[2], "(" .. int(now), "+inf", "WITHSCORES")
  for at = 1, #live, 2 do
    local got = redis.call("HMGET", KEYS[1], "o:" .. live[at], "r:" .. live[at])
    for _, it in ipairs({ live[at], got[1], got[2], int(tonumber(live[at + 1])) }) do all[#all + 1] = it end
  end
  return all
end

-- ARGV: 3 name
local function delist()
  redis.call("HDEL", KEYS[1], "o:" .. ARGV[3], "r:" .. ARGV[3])
  return redis.call("ZREM", KEYS[2], ARGV[3])
end

-- Answers that are made in the background. KEYS: dues, their times. ARGV: 3 id, 4 record, 5 ms until it is due
local function put_due()
  redis.call("HSET", KEYS[1], ARGV[3], ARGV[4])
  return redis.call("ZADD", KEYS[2], int(now + tonumber(ARGV[5]) * 1000), ARGV[3])
end

-- ARGV: 3 maximum number, 4 ms until they are due again. Returns id and record of each that is due.
local function take_dues()
  local all = {}
  for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", int(now), "LIMIT", "0", ARGV[3])) do
    redis.call("ZADD", KEYS[2], int(now + tonumber(ARGV[4]) * 1000), id)
    all[#all + 1], all[#all + 2] = id, redis.call("HGET", KEYS[1], id)
  end
  return all
end

-- ARGV: 3 id
local function drop_due()
  redis.call("HDEL", KEYS[1], ARGV[3])
  return redis.call("ZREM", KEYS[2], ARGV[3])
end

local operations = {
  reserve = reserve,
  settle = settle,
  undo = undo,
  adopt = adopt,
  mark = mark,
  enter = enter,
  take = take,
  peek = function() return take(true) end,
  give = give,
  change = change,
  show = show,
  states = states,
  overdue = overdue,
  seal = seal,
  unseal = unseal,
  spell = spell,
  spellings = spellings,
  strip = strip,
  begin = begin,
  finish = finish,
  abandon = abandon,
  renew = renew,
  own = own,
  owned = owned,
  owned_of = owned_of,
  disown = disown,
  reown = reown,
  pin = pin,
  grant = grant,
  enlist = enlist,
  enlisted = enlisted,
  delist = delist,
  put_due = put_due,
  take_dues = take_dues,
  drop_due = drop_due,
  push = push,
  lease = lease,
  postpone = postpone,
  shift = shift,
  measure = measure,
}
return operations[operation]()
